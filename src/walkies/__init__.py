"""walkies: legged robots learn to walk, on the computer you have."""

from walkies import gl, registration

__version__ = "0.1.0"

gl.postpone()
registration.announce()
