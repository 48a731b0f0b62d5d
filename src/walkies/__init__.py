"""walkies: legged robots learn to walk, on the computer you have."""

__version__ = "0.1.0"
