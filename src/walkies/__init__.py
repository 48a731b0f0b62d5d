"""walkies: legged robots learn to walk, on the computer you have."""

from walkies import renamed
from walkies.gymnasium import registration
from walkies.show.rendering import gl

__version__ = "0.1.0"

gl.postpone()
registration.announce()
renamed.install()
