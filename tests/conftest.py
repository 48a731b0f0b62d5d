"""What holds for every test."""

from __future__ import annotations

import os

# The workers of a parallel run share the cores: in each of them a pool of as many threads as the machine has would only
# wait for the others. XLA reads this when it makes its pool, and so does every process that a test starts.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("NPROC", "1")
