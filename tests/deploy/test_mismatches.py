"""docs/mismatches.md names tests that exist; and the tests of what no other module owns."""

import inspect
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.judge import ranges
from walkies.robots import get_robot
from walkies.run.config import TrainConfig
from walkies.sim.mujoco import MujocoSimulator
from walkies.tasks.contract import Contract

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mismatches.md").read_text(encoding="utf-8")
COURSE_BYTES = 1_290_000
"""size of the course's policy.json"""


def missing_tests(page):
    """Tests named in a page, as `path::name`, that are not there."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page)
    return [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists() or f"\ndef {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]


def test_every_mismatch_has_a_test_that_exists():
    rows = re.findall(r"^\| (\d+) \|(.*)$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 24))
    assert all(re.search(r"`tests/[\w/]+\.py::\w+` \|$|`tests/[\w/]+\.py::\w+`", row) for _, row in rows)
    assert missing_tests(PAGE) == []


@pytest.mark.parametrize("name", ["tests/deploy/test_mismatches.py::test_nothing", "tests/deploy/test_no.py::test_a"])
def test_a_test_that_is_gone_would_be_noticed(name):
    assert missing_tests(f"{PAGE}\n| `{name}` |") == [name]


def test_what_is_needed_is_pinned_and_nothing_is_installed_at_run_time():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in pins}
    needed = {re.match(r"[\w.-]+", line)[0].lower() for line in project["dependencies"]}
    assert needed - pinned == set()
    assert {"jax==0.10.1", "jaxlib==0.10.1"} <= set(project["dependencies"]) and pins["jax"] == pins["jaxlib"]
    for path in (ROOT / "src").rglob("*.py"):
        runs = re.search(r"(subprocess|os\.system).{0,80}\bpip\b", path.read_text(encoding="utf-8"), re.DOTALL)
        assert not runs, f"{path} runs pip"


def test_a_default_policy_is_small():
    config, robot = TrainConfig(), get_robot("pupper")
    history = config.task.observation_history
    sizes = [Contract(robot, history).observation_size, *config.recipe.hidden, 12]
    rng = np.random.default_rng(0)
    layers = tuple(Layer(rng.normal(size=(a, b)), rng.normal(size=b), "elu") for a, b in pairwise(sizes))
    limits = robot.lower_limits, robot.upper_limits
    policy = PolicyFile(layers, history, 5.0, 0.25, (0.75,) * 12, robot.default_pose, *limits)
    assert len(json.dumps(policy.document())) < COURSE_BYTES


def test_a_control_step_is_a_whole_number_of_physics_steps():
    assert np.float64(0.02) // np.float64(0.004) == 5.0 and np.float32(0.02) // np.float32(0.004) == 4.0, "the trap"
    substeps = inspect.signature(MujocoSimulator).parameters["substeps"].default
    assert type(substeps) is int and type(ranges.PHYSICS_STEPS) is int
    assert substeps == ranges.PHYSICS_STEPS == 5
    assert pytest.approx(Contract(get_robot("pupper")).control_dt) == ranges.CONTROL_DT
