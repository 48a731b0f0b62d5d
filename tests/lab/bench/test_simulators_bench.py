"""`walkies lab bench simulators`: what a row says, and that each is measured once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from walkies.cli import run as cli
from walkies.lab.bench import simulators
from walkies.robots import DEFAULT

ROW = {
    "threads": "all", "steps_per_s": 1234567, "cpu_us": 3.5, "ratio": 0.02, "compile_s": 1.5, "memory_mib": 12,
    "error_p50": 1e-5, "error_p90": 1e-4,
}  # fmt: skip


def test_each_simulator_is_measured_once_for_each_number_of_robots(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")  # a table and no list
    asked = []

    def measured(robot, simulator, robots, rounds, threads):
        asked.append((simulator, robots))
        return ROW

    monkeypatch.setattr(simulators, "in_own_process", measured)
    call = ["lab", "bench", "simulators", "--robots", "4", "16", "--simulators", "native", "mujoco"]
    for _ in range(2):
        assert cli(call) == 0
    assert asked == [("native", 4), ("mujoco", 4), ("native", 16), ("mujoco", 16)]
    assert "| `native` | 16 | 1,234,567 | 3.5 | 0.02 | 1.5 | 12 | 1e-05 | 0.0001 |" in capsys.readouterr().out
    assert cli([*call, "--list"]) == 0
    assert "4 of 4 rows finished" in capsys.readouterr().out
    assert cli([*call, "--table", "--json"]) == 0
    assert {row["robots"] for row in json.loads(capsys.readouterr().out)} == {"4", "16"}
    assert cli(["lab", "bench", "simulators", "go", "--table"]) == 2
    assert "has no row of go yet" in capsys.readouterr().err


@pytest.mark.parametrize("simulator", ["native", "mujoco"])
def test_a_measurement(simulator):
    """MuJoCo differs from itself by its few iterations, and the engine by single precision; neither is exact."""
    found = simulators.measure(DEFAULT, simulator, 8, 1, 1)
    assert set(found) == set(ROW) and found["threads"] == 1
    assert 0 < found["error_p50"] <= found["error_p90"] < 5e-3
    assert 8 * 0.3 < found["cpu_us"] * found["steps_per_s"] / 1e6 * 8 < 8 * 1.5, "one thread"
    assert (found["ratio"] < 0.5) == (simulator == "native"), found["ratio"]


def test_a_simulators_own_process_counts() -> None:
    """As much processor time and memory as it says it has taken; control: nothing without it."""
    before = simulators.children_cpu(), simulators.children_peak()
    busy = "import time\nheld = bytearray(b'x') * (100 << 20)\nwhile time.process_time() < 0.5: pass"
    code = f"{busy}\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        assert 0.4 < simulators.children_cpu() - before[0] < 0.7
        assert 100 < simulators.children_peak() - before[1] < 200
        process.stdin.write(b"\n")
    assert (simulators.children_cpu(), simulators.children_peak()) == pytest.approx(before, abs=1e-3)
