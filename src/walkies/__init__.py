"""walkies: legged robots learn to walk, on the computer you have."""

import sys

from walkies import gl

__version__ = "0.1.0"

gl.postpone()

if "gymnasium" in sys.modules:
    # Whoever has Gymnasium loaded expects the environments of a package to be there once the package is imported.
    from walkies import gym as gym
