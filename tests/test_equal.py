"""The comparison of two trees notices what differs, and leaves out nothing but robots whose contacts switch."""

from __future__ import annotations

import numpy as np
import pytest

from scripts import script


@pytest.fixture(scope="module")
def equal():
    return script("equal")


def found(equal) -> dict[str, np.ndarray]:
    """What a probe of two robots might find."""
    rng = np.random.default_rng(0)
    result = {"frame": rng.normal(size=(2, 36)), "gradient walking 0": rng.normal(size=(3, 3))}
    for i in range(equal.STEPS):
        result[f"observe policy {i}"] = rng.normal(size=(2, 5))
        result[f"step qpos {i}"] = rng.normal(size=(2, 19))
        result[f"step contact {i}"] = np.zeros((2, 4), bool)
    return result


@pytest.mark.parametrize(
    ("key", "error", "differs"),
    [
        ("frame", 1e-12, True), ("observe policy 3", 1e-12, True), ("step qpos 3", 1e-6, False),
        ("step qpos 3", 1e-3, True), ("gradient walking 0", 1e-6, False), ("gradient walking 0", 1e-3, True),
        ("frame", 0.0, False), ("step qpos 3", np.nan, True),
    ],
)  # fmt: skip
def test_what_differs_is_noticed(equal, key, error, differs):
    before, after = found(equal), found(equal)
    after[key] = after[key] + error
    assert equal.report(before, after) == int(differs)


def test_only_robots_whose_contacts_switch_are_left_out(equal, capsys):
    before, after = found(equal), found(equal)
    after["step contact 3"][1, 0] = True
    after["step qpos 3"][1] += 1.0
    assert equal.report(before, after) == 0
    assert "1 of 10,000 control steps switch" in capsys.readouterr().out
    after["step qpos 3"][0] += 1.0
    assert equal.report(before, after) == 1
