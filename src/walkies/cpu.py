"""Settings of the CPU that XLA reads when it starts."""

from __future__ import annotations

import ctypes
import os

from walkies.errors import UserError


def use_cpu(threads: int | None) -> None:
    """Call before the first JAX computation of the process.

    oneDNN about halves the time of small matrix products. `threads` bounds XLA's pool, in which the native engine works
    too.

    Raises:
        UserError: fewer than one thread.
    """
    if threads is not None and threads < 1:
        raise UserError(f"--threads: got {threads}, expected 1 or more; leave it out to use all cores")
    keep_memory()
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_onednn=true")
    if threads is not None:
        os.environ["NPROC"] = str(threads)  # what XLA sizes its pool by


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_memory() -> None:
    """Have glibc keep large blocks instead of returning them to the system after every use; elsewhere do nothing.

    XLA allocates the same arrays in every iteration, and fresh pages cost a fault each.
    """
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        m_trim_threshold, m_mmap_threshold = -1, -3
        allocator.mallopt(m_mmap_threshold, 1 << 30)
        allocator.mallopt(m_trim_threshold, (1 << 31) - 1)
