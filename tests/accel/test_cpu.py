"""What a measurement says about the machine that it was made on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import jax
import pytest

from walkies.accel import cpu
from walkies.errors import UserError

VIRTUAL = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 207
model name\t: Intel(R) Xeon(R) Processor
flags\t\t: fpu sse sse4_2 avx avx2 fma avx512f

processor\t: 1
cpu family\t: 7
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (VIRTUAL, "Intel(R) Xeon(R) Processor (family 6, model 207), AVX-512"),
        (VIRTUAL.replace(" avx512f", ""), "Intel(R) Xeon(R) Processor (family 6, model 207), AVX2"),
        (VIRTUAL.replace("model name", "nothing"), "GenuineIntel (family 6, model 207), AVX-512"),
        (ARM, "(implementer 0x41, part 0xd0c), NEON"),
        ("model name\t: AMD EPYC\n", "AMD EPYC"),
        ("", ""),
    ],
)
def test_processors_are_told_apart(text, described):
    """Two virtual machines of one name differ in family, model or what they can multiply."""
    assert cpu.processor(text) == described


def test_a_machine_without_a_processor_file_still_has_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu, "available_cores", lambda: 1)
    path = tmp_path / "cpuinfo"
    path.write_text(VIRTUAL)
    monkeypatch.setattr(cpu, "CPUINFO", path)
    assert cpu.machine() == "Intel(R) Xeon(R) Processor (family 6, model 207), AVX-512, 1 core"
    path.unlink()
    assert cpu.machine().endswith(", 1 core") and len(cpu.machine()) > len(", 1 core")


def test_a_thread_that_steps_back_has_a_lower_priority_and_nobody_else():
    """On Linux; elsewhere, where only the whole process has one, that stays what it was."""
    linux, wait = sys.platform == "linux", threading.Event()
    thread, other = (threading.Thread(target=wait.wait, daemon=True) for _ in range(2))
    thread.start(), other.start()
    nice = lambda which: os.getpriority(os.PRIO_PROCESS, which.native_id if linux else 0)  # noqa: E731
    before = nice(other)
    assert nice(thread) == before != cpu.STEPPED_BACK
    cpu.step_back([thread])
    after = [nice(which) for which in (thread, other, threading.main_thread())]
    wait.set()
    assert after == [cpu.STEPPED_BACK if linux else before, before, before]


@pytest.fixture
def environment(monkeypatch):
    """An environment in which JAX finds nothing set, and a record of what was overruled that is empty."""
    for name in cpu.JAX_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cpu, "overruled", {})
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value", "settled"),
    [
        ("JAX_PLATFORMS", "cuda", "cpu"),
        ("JAX_PLATFORMS", "cpu,cuda", "cpu"),
        ("JAX_PLATFORM_NAME", "gpu", "cpu"),
        ("JAX_ENABLE_X64", "True", "0"),
        ("JAX_NUMPY_DTYPE_PROMOTION", "strict", "standard"),
        ("JAX_NUMPY_RANK_PROMOTION", "raise", "allow"),
        ("JAX_TRANSFER_GUARD", "disallow", "allow"),
    ],
)
def test_settings_for_others_are_overruled_and_remembered(name, value, settled, environment):
    environment.setenv(name, value)
    assert cpu.foreign_jax_settings() == {name: value}
    assert cpu.settle_jax() == {name: value} == cpu.overruled
    assert os.environ[name] == settled and os.environ["JAX_PLATFORMS"] == "cpu"
    assert cpu.settle_jax() == {} and cpu.overruled == {name: value}


@pytest.mark.parametrize(
    ("name", "value"), [("JAX_PLATFORMS", "CPU"), ("JAX_ENABLE_X64", "False"), ("JAX_PLATFORMS", "")]
)
def test_settings_that_are_ours_are_left_alone(name, value, environment):
    environment.setenv(name, value)
    assert cpu.foreign_jax_settings() == cpu.settle_jax() == {}


def test_a_device_is_chosen_by_name(environment):
    environment.setenv(cpu.DEVICE, "cuda")
    assert cpu.settle_jax() == {} and os.environ["JAX_PLATFORMS"] == "cuda,cpu"
    assert cpu.settle_jax() == {}, "a process inherits what its parent settled"
    environment.setenv("JAX_PLATFORMS", "tpu")
    assert cpu.settle_jax() == {"JAX_PLATFORMS": "tpu"} and os.environ["JAX_PLATFORMS"] == "cuda,cpu"
    environment.setenv(cpu.DEVICE, "gpu")
    with pytest.raises(UserError, match=r"WALKIES_DEVICE is 'gpu'; expected one of: cpu, cuda, rocm, tpu"):
        cpu.settle_jax()


def test_a_device_that_is_not_there_says_what_it_needs(environment):
    cpu.require_device()
    environment.setenv(cpu.DEVICE, "tpu")
    with pytest.raises(UserError, match=r"WALKIES_DEVICE is tpu, but JAX finds no such device .*'jax\[tpu\]=="):
        cpu.require_device()
    jax.config.update("jax_platforms", "cuda")
    try:
        with pytest.raises(UserError, match=r"where only the simulator mjx runs.*unset WALKIES_DEVICE"):
            cpu.refuse_foreign_jax()
    finally:
        jax.config.update("jax_platforms", "cpu")


COMPUTE = "import jax; print(jax.numpy.ones(2).sum().dtype, jax.default_backend())"


@pytest.mark.parametrize("settled", [True, False])
def test_a_process_of_ours_computes_whatever_is_set(settled):
    """In float32 on the CPU; without settling it does not compute at all where there is no GPU."""
    program = ("from walkies.accel import cpu; cpu.settle_jax()\n" if settled else "") + COMPUTE
    wrong = {"JAX_PLATFORMS": "cuda", "JAX_ENABLE_X64": "1", "JAX_TRANSFER_GUARD": "disallow"}
    done = subprocess.run([sys.executable, "-c", program], env=os.environ | wrong, capture_output=True, text=True)
    assert (done.stdout.split() == ["float32", "cpu"]) == settled


def test_in_a_process_of_the_users_such_settings_are_refused_by_name():
    before = jax.config.values["jax_platforms"]
    cpu.refuse_foreign_jax()
    jax.config.update("jax_platforms", "cuda")
    try:
        with pytest.raises(UserError, match=r"JAX_PLATFORMS=cuda.*unset JAX_PLATFORMS"):
            cpu.refuse_foreign_jax()
    finally:
        jax.config.update("jax_platforms", before)
    with jax.enable_x64(True):
        cpu.refuse_foreign_jax()


def test_threads_that_come_last_are_those_that_were_just_made():
    """On Linux; elsewhere all go on as they were."""
    wait = threading.Event()
    other = threading.Thread(target=wait.wait, daemon=True)
    other.start()

    def make(name, *, daemon):
        thread = threading.Thread(target=wait.wait, name=name, daemon=daemon)
        thread.start()
        return thread

    made = cpu.with_last_threads(make, "made", daemon=True)
    if sys.platform == "linux":
        assert os.getpriority(os.PRIO_PROCESS, made.native_id) == cpu.LAST
        assert os.getpriority(os.PRIO_PROCESS, other.native_id) == os.getpriority(os.PRIO_PROCESS, 0) < cpu.LAST
    wait.set()
    assert made.name == "made"


@pytest.mark.parametrize(("given", "devices"), [("", 1), ("--xla_force_host_platform_device_count=3", 3)])
def test_flags_of_the_environment_are_added_to_our_own(given, devices):
    """Which count where they contradict ours. A second call changes nothing."""
    code = "import os; from walkies.accel import cpu; cpu.use_cpu(None); cpu.use_cpu(None); import jax; "
    code += "print(jax.local_device_count(), os.environ['XLA_FLAGS'])"
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"XLA_FLAGS": given}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    count, flags = told.stdout.strip().split(" ", 1)
    assert int(count) == devices and flags.startswith(cpu.XLA_FLAGS) and flags.endswith(given)
    assert flags.count(cpu.XLA_FLAGS) == 1
