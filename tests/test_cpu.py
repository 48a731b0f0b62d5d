"""What a measurement says about the machine that it was made on."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from walkies import cpu

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
