"""Where a minute of training goes, from what a measurement says."""

from __future__ import annotations

import pytest

from walkies.lab.bench import iteration


def test_the_parts_of_a_minute_are_a_minute():
    """Shares of what is left after the start. Control: where the start takes longer, nothing is left."""
    measured = dict(python_s=0.1, imports_s=1.9, compilation_s=8.0) | {
        f"{part}_share": share for part, share in zip(iteration.PARTS, (0.1, 0.3, 0.1, 0.5), strict=True)
    }
    parts = iteration.minute(measured)
    assert sum(parts.values()) == pytest.approx(60.0)
    assert parts["update"] == pytest.approx(25.0) and parts["imports"] == 1.9
    late = iteration.minute(measured | {"compilation_s": 70.0})
    assert late["compilation"] == 70.0 and {late[part] for part in iteration.PARTS} == {0.0}


def test_the_start_is_measured_in_processes_of_its_own(monkeypatch):
    monkeypatch.setattr(iteration, "START", {"python": "pass", "imports": "import time; time.sleep(0.5)"})
    found = iteration.start()
    assert found.keys() == {"python_s", "imports_s"} and found["imports_s"] > 0.3
