"""Settings of JAX and of the CPU that are read at start-up."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

from walkies.bounds import Between, refuse
from walkies.errors import UserError

Made = TypeVar("Made")


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


MOST_THREADS = max(1024, 8 * available_cores())
"""Far more than useful here, and no fewer than a run may have had on a larger machine."""
Threads = Annotated[int, Between(1, MOST_THREADS)]
"""Of the CPU."""
MujocoThreads = Annotated[int, Between(0, MOST_THREADS)]
"""Likewise; MuJoCo's 0 stands for all cores."""


def use_cpu(threads: int | None, devices: int = 1) -> None:
    """Call before the first JAX computation of the process.

    `threads` bounds XLA's pool, in which the native engine works too. What is compiled is kept for the next process
    (`walkies.accel.cache`). JAX sees the CPU as so many devices, but not as more than it has threads
    (`walkies.run.devices`). Flags in the environment's XLA_FLAGS come after walkies' own, and so overrule them.

    Raises:
        UserError: a number of threads that is none, or a switch of the cache that is none.
    """
    from walkies.accel.cache import keep_compiled

    refuse(threads, Threads | None, "threads")
    keep_memory()
    devices = min(devices, available_cores() if threads is None else threads)
    given = os.environ.get("XLA_FLAGS", "")
    if XLA_FLAGS not in given:  # otherwise they are ours, of this process or of the one that started it
        # Of a flag that stands there twice, the last counts.
        os.environ["XLA_FLAGS"] = f"{XLA_FLAGS} --xla_force_host_platform_device_count={devices} {given}".strip()
    if threads is not None:
        os.environ["NPROC"] = str(threads)  # what XLA sizes its pool by
    keep_compiled()


def pool_threads() -> int:
    """Threads of XLA's pool, as `use_cpu` has set it up."""
    return int(os.environ.get("NPROC") or available_cores())


XLA_FLAGS = (
    "--xla_cpu_use_onednn=true --xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
    " --xla_backend_extra_options=xla_cpu_disable_loop_unrolling=true"
)
"""oneDNN about halves the time of small matrix products. LLVM's first level of optimization compiles a tenth faster
than its second and trains as fast. XLA's newer emitters make a module of LLVM's of every fusion; the older ones make a
few dozen modules, compile in 0.6 of the processor time, and train as fast. Loops that are not unrolled compile in 0.88
of the processor time, and train as fast."""


JAX_SETTINGS = {
    "JAX_PLATFORMS": ("cpu", ""),
    "JAX_PLATFORM_NAME": ("cpu", ""),
    "JAX_ENABLE_X64": ("0", "false", "off", "no", "f", "n"),
    "JAX_NUMPY_DTYPE_PROMOTION": ("standard",),
    "JAX_NUMPY_RANK_PROMOTION": ("allow", "warn"),
    "JAX_TRANSFER_GUARD": ("allow", "log"),
}
"""Environment variables that would make JAX use another device than the CPU, another type than float32, or refuse what
walkies does → values that are fine, the one to set first."""
overruled: dict[str, str] = {}
"""What `settle_jax` found set otherwise in the environment of this process."""


def foreign_jax_settings() -> dict[str, str]:
    """The variables of JAX_SETTINGS that are set to anything else, and to what."""
    found = ((name, os.environ.get(name)) for name in JAX_SETTINGS)
    return {name: value for name, value in found if value and value.strip().lower() not in JAX_SETTINGS[name]}


DEVICE = "WALKIES_DEVICE"
"""Environment variable: the device on which walkies' own processes compute."""
DEVICES = ("cpu", "cuda", "rocm", "tpu")
"""Its values, which are JAX's names; the first is what it is without being set."""


def device() -> str:
    """What DEVICE says.

    Raises:
        UserError: another value than those in DEVICES.
    """
    value = os.environ.get(DEVICE) or DEVICES[0]
    if value not in DEVICES:
        raise UserError(f"{DEVICE} is {value!r}; expected one of: {', '.join(DEVICES)}")
    return value


def settle_jax() -> dict[str, str]:
    """Make JAX compute on the CPU, or on DEVICE, in float32 whatever else the environment asks for; returns the
    settings overruled.

    For walkies' own processes. Call before JAX is imported.

    Raises:
        UserError: DEVICE names none.
    """
    # Where nothing else is needed JAX starts for the CPU only, which is quicker.
    platforms = ",".join(dict.fromkeys((device(), DEVICES[0])))
    foreign = {name: value for name, value in foreign_jax_settings().items() if value != platforms}
    overruled.update(foreign)
    os.environ.update({name: JAX_SETTINGS[name][0] for name in foreign} | {"JAX_PLATFORMS": platforms})
    return foreign


def refuse_foreign_jax() -> None:
    """Refuse JAX settings under which a simulator does not run. Double precision is allowed: it is only slow.

    For processes that are not walkies' own, in which JAX has the user's settings.

    Raises:
        UserError: the variables, and what to do.
    """
    import jax

    values = {name: jax.config.values[name.lower()] or "" for name in JAX_SETTINGS if name != "JAX_ENABLE_X64"}
    wrong = {name: value for name, value in values.items() if value and value not in JAX_SETTINGS[name]}
    if wrong:
        said = " ".join(f"{name}={value}" for name, value in wrong.items())
        if device() != DEVICES[0]:
            raise UserError(
                f"{DEVICE} is {device()}, where only the simulator mjx runs; give --simulator mjx, or: unset {DEVICE}"
            )
        raise UserError(f"JAX is set up with {said}, but walkies computes on the CPU with JAX's usual settings; before "
                        f"Python starts: unset {' '.join(wrong)}")  # fmt: skip


def require_device() -> None:
    """Start JAX on DEVICE.

    Raises:
        UserError: JAX finds no such device; the message has what to install.
    """
    if (chosen := device()) == DEVICES[0]:
        return
    import jax

    try:
        jax.local_devices(backend=chosen)
    except RuntimeError as error:
        extra = {"cuda": "cuda12", "rocm": "rocm7-local"}.get(chosen, chosen)
        raise UserError(
            f"{DEVICE} is {chosen}, but JAX finds no such device ({str(error).splitlines()[0]}); it needs the "
            f"machine's driver and: {sys.executable} -m pip install 'jax[{extra}]=={jax.__version__}'"
        ) from error


def step_back(threads: Iterable[threading.Thread]) -> None:
    """Give these threads of the process a lower priority; only Linux distinguishes threads.

    Their short bursts of work then no longer interrupt a computation on all cores.
    """
    if sys.platform == "linux":
        for thread in threads:
            if thread.native_id is not None:
                os.setpriority(os.PRIO_PROCESS, thread.native_id, STEPPED_BACK)


def with_last_threads(make: Callable[..., Made], *arguments: Any, **named: Any) -> Made:
    """What `make` gives for the arguments; threads that it starts come after all others, where Linux is."""
    before = set(_threads())
    made = make(*arguments, **named)
    for thread in set(_threads()) - before:
        with suppress(ProcessLookupError):  # it has ended
            os.setpriority(os.PRIO_PROCESS, thread, LAST)
    return made


def _threads() -> list[int]:
    """Of this process, Python's and others; none where the system does not tell."""
    return [int(path.name) for path in TASKS.iterdir()] if TASKS.exists() else []


TASKS = Path("/proc/self/task")
LAST = 19
"""The largest nice value."""
CPUINFO = Path("/proc/cpuinfo")
STEPPED_BACK = 10
"""The nice value: a tenth of the others' share where all want the same core."""
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sse4_2": "SSE4.2", "asimd": "NEON", "neon": "NEON"}
"""Linux's flag → name of each vector instruction set, best first."""
NUMBERS = (("family", "cpu family"), ("model", "model"), ("implementer", "CPU implementer"), ("part", "CPU part"))
"""Numbers that tell processors apart (x86, then Arm), and what /proc/cpuinfo calls them."""


def machine() -> str:
    """The machine of a measurement: the processor's name, family and model, its best vector set, and usable cores."""
    cores = available_cores()
    name = processor(CPUINFO.read_text()) if CPUINFO.exists() else platform.processor()
    return f"{name or platform.machine()}, {cores} core{'s' if cores != 1 else ''}"


def processor(cpuinfo: str) -> str:
    """The first processor in the text of Linux's /proc/cpuinfo; empty where that says nothing.

    A virtual machine's name is often just `Intel(R) Xeon(R) Processor`; family and model tell such apart.
    """
    pairs = [line.partition(":") for line in cpuinfo.partition("\n\n")[0].splitlines()]
    told = {name.strip(): value.strip() for name, _, value in pairs}
    numbers = [f"{label} {told[key]}" for label, key in NUMBERS if told.get(key)]
    flags = set((told.get("flags") or told.get("Features") or "").split())
    vector = next((name for flag, name in VECTORS.items() if flag in flags), "")
    name = told.get("model name") or told.get("vendor_id") or ""
    return ", ".join(part for part in (f"{name} ({', '.join(numbers)})" if numbers else name, vector) if part).strip()


def keep_memory() -> None:
    """Have glibc keep large blocks instead of returning them to the system after every use; elsewhere do nothing.

    XLA allocates the same arrays in every iteration, and fresh pages cost a fault each.
    """
    allocator = ctypes.CDLL(None)
    if hasattr(allocator, "mallopt"):
        m_trim_threshold, m_mmap_threshold = -1, -3
        allocator.mallopt(m_mmap_threshold, 1 << 30)
        allocator.mallopt(m_trim_threshold, (1 << 31) - 1)
