"""Compiled programs kept between processes: JAX's persistent compilation cache, in the user's cache folder.

Programs that XLA compiled for this processor and this number of threads are read back unchanged, so training gives the
same bits with and without the cache. Custom calls of the native library are stored by name. Programs that call Python
(`jax.pure_callback`) are compiled again in every process.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from walkies.accel import cpu
from walkies.errors import UserError

SWITCH = "WALKIES_CACHE"
"""Environment variable: 0 turns the cache off."""
SETTINGS = {"": True, "1": True, "on": True, "0": False, "off": False}
"""Its values."""
OWN = "JAX_COMPILATION_CACHE_DIR"
"""If it is set, the cache is the user's own and is left alone."""

LIMIT = 256 << 20
"""Bytes; the least recently used programs are removed first. A training with the defaults takes half a MiB."""
LEAST_SECONDS = 0.1
"""Programs that compile faster than this are not kept: reading them takes as long."""
QUIET = 3
"""absl's level above errors. XLA reports one for every program that it reads back on a processor for which LLVM has
preferences (`+prefer-no-gather`), and uses the program (github.com/openxla/xla/issues/44565)."""
IDENTITY = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags",
    "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features")  # fmt: skip
"""Entries of /proc/cpuinfo, x86 and Arm, that determine which instructions a program may use."""


def keep_compiled() -> Path | None:
    """Let JAX cache compiled programs; returns the folder, None if nothing is cached.

    Call before the first compilation of the process. If the cache cannot be read or written, programs are compiled as
    without it.

    Raises:
        UserError: SWITCH has another value than those in SETTINGS.
    """
    if not switched_on() or os.environ.get(OWN):
        return None
    path = folder()
    if not _usable(path):
        return None
    prune(path, LIMIT)

    import jax
    from jaxlib import utils

    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    utils.absl_set_min_log_level(QUIET)
    return path


def switched_on() -> bool:
    """What SWITCH says.

    Raises:
        UserError: another value than those in SETTINGS.
    """
    value = os.environ.get(SWITCH, "").strip().lower()
    if value not in SETTINGS:
        raise UserError(f"{SWITCH} is {os.environ[SWITCH]!r}; expected 0 or 1")
    return SETTINGS[value]


def folder() -> Path:
    """Name of the folder of programs for this jaxlib, this processor and this number of threads.

    JAX's own key holds the processor's features but not the threads, into which XLA divides the loops of a program. The
    processor is in the name all the same: in a home shared between machines, code for another would end in SIGILL.
    """
    from jaxlib.version import __version__

    # A relative path is to be ignored (XDG Base Directory Specification).
    given = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path(os.path.expanduser("~")) / ".cache"
    threads = os.environ.get("NPROC") or str(cpu.available_cores())
    return base / "walkies" / f"xla-{__version__}-{processor_digest()}-{threads}"


def processor_digest() -> str:
    """Tells processors with other instructions apart; where the system does not list these, machines."""
    told = [platform.machine()]
    if cpu.CPUINFO.exists():
        lines = (line.partition(":") for line in cpu.CPUINFO.read_text().partition("\n\n")[0].splitlines())
        told += [f"{name.strip()}={value.strip()}" for name, _, value in lines if name.strip() in IDENTITY]
    else:
        told += [platform.node(), platform.processor()]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _usable(path: Path) -> bool:
    """Whether `path` is there, or now is, may be written, and is the user's own: what lies in it is run."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        mine = not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    except OSError:
        return False
    return mine and os.access(path, os.R_OK | os.W_OK | os.X_OK)


def prune(path: Path, limit: int) -> None:
    """Remove the programs in `path` and in those of other processors beside it that were used longest ago, until
    `limit` bytes are left.

    JAX's own limit needs the package filelock, and without it refuses to work.
    """
    found = []
    for file in path.parent.glob("xla-*/*-cache"):
        try:
            told = file.stat()
        except OSError:  # another process has removed it
            continue
        found.append((max(told.st_atime, told.st_mtime), told.st_size, file))
    total = sum(size for _, size, _ in found)
    for _, size, file in sorted(found):
        if total <= limit:
            return
        try:
            file.unlink(missing_ok=True)
        except OSError:
            continue
        total -= size
