"""Gradients through the world: of a deterministic rollout, and of short windows with a value at the end."""

from walkies.rl.pathwise.deterministic import Path, pathwise_return, unroll

__all__ = ["Path", "pathwise_return", "unroll"]
