"""What cannot fit into the machine's memory is refused before it is begun, with both numbers."""

import math
from pathlib import Path

import pytest

from walkies import memory
from walkies.deploy.policy_file import read
from walkies.errors import UserError
from walkies.judge.exam import drive
from walkies.judge.rehearsal import drive as rehearsal
from walkies.robots import get_robot

POLICY = Path(__file__).parent / "browser" / "policy.json"


@pytest.fixture
def small(monkeypatch):
    """A machine with 1 MiB of memory."""
    monkeypatch.setattr(memory, "of_machine", lambda: 1024**2)


def test_what_needs_more_than_there_is_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "of_machine", lambda: 8 * memory.GIB)
    memory.refuse(8 * memory.GIB, "this", "take less")
    with pytest.raises(UserError, match=r"^this would take at least 8\.5 GiB of memory, .* has 8\.0 GiB; take less$"):
        memory.refuse(8.5 * memory.GIB, "this", "take less")


@pytest.mark.parametrize(("text", "limits"), [("1048576\n", True), ("max\n", False), ("9223372036854771712\n", False)])
def test_a_containers_limit_counts_where_it_is_less_than_the_machine_has(text, limits, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUPS", ())
    whole = memory.of_machine()
    path = tmp_path / "memory.max"
    path.write_text(text)
    monkeypatch.setattr(memory, "CGROUPS", (path, tmp_path / "none"))
    assert memory.of_machine() == (1048576 if limits else whole)
    assert 1048576 < whole < math.inf


def test_too_many_episodes_are_refused_before_any_is_drawn(small):
    with pytest.raises(UserError, match=r"^--episodes 10,000 would take at least 3\.\d GiB of memory"):
        drive(read(POLICY), get_robot("pupper"), 10_000, 0)


def test_too_many_robots_of_a_rehearsal_are_refused(small):
    """Control: one of them fits."""
    rehearsal.refuse_too_many(read(POLICY), get_robot("pupper"), 1, 10.0)
    with pytest.raises(UserError, match=r"^1,000 robots for 10 s would take at least 0\.1 GiB"):
        rehearsal.refuse_too_many(read(POLICY), get_robot("pupper"), 1000, 10.0)
