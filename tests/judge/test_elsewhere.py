"""The examination in another engine."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from walkies.deploy.policy_file import read
from walkies.judge import exam, ranges, report_card
from walkies.robots import PUPPER
from walkies.sim.other.install import installs, is_installed

POLICY = Path(__file__).parents[1] / "browser" / "policy.json"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes of two seconds."""
    monkeypatch.setattr(ranges, "STEPS", 100)
    for module in ("walkies.judge.record", "walkies.judge.loop", "walkies.judge.report"):
        monkeypatch.setattr(f"{module}.STEPS", 100, raising=False)


@pytest.mark.parametrize("name", [name for name in get_args(exam.ExamSimulator) if name != "mujoco"])
def test_a_policy_walks_there_too_under_the_same_conditions(name: str, short: None) -> None:
    if not is_installed(name):
        pytest.skip(f"not installed: {installs(name)}")
    policy = read(POLICY)
    record, drawn = exam.drive(policy, PUPPER, 2, 0, simulator=name)
    there, same = exam.drive(policy, PUPPER, 2, 0)
    np.testing.assert_array_equal(drawn.command, same.command)
    assert record.alive.all() and there.alive.all()
    np.testing.assert_allclose(record.weight, there.weight)
    # The same walk at first, and never the same bits.
    assert np.abs(record.position[:, -1] - there.position[:, -1]).max() < 0.1
    assert not np.array_equal(record.position, there.position)


def test_the_card_says_where() -> None:
    card = {"episodes": 4, "episode_seconds": 20.0, "seed": 0, "survival": 1.0, "marks": []}
    assert "in MuJoCo, examination" in report_card.about(card)  # type: ignore[arg-type]
    assert "in dart, examination" in report_card.about({**card, "simulator": "dart"})  # type: ignore[arg-type,typeddict-item]
