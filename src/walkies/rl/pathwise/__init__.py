"""Pathwise gradients through the dynamics: of a deterministic rollout, and of short windows with a final value."""

from walkies.rl.pathwise.deterministic import Path, pathwise_return, unroll

__all__ = ["Path", "pathwise_return", "unroll"]
