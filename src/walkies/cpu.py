"""Settings of the CPU that XLA reads when it starts."""

from __future__ import annotations

import os


def use_cpu(threads: int | None) -> None:
    """Call before the first JAX computation of the process.

    oneDNN about halves the time of small matrix products. `threads` bounds XLA's pool, in which the native engine works
    too.
    """
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_onednn=true")
    if threads is not None:
        os.environ["NPROC"] = str(threads)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
