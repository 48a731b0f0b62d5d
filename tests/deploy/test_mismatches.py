"""docs/mismatches.md names tests that exist; and the tests of what no other module owns."""

import inspect
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from walkies.deploy.blocks import Blocks, GaitReference, HeadingHold
from walkies.deploy.controllers import Sensors
from walkies.deploy.controllers.neural_controller import CONFIGS, NeuralController
from walkies.deploy.policy_file import Layer, PolicyFile, fold_normalizer
from walkies.judge import ranges
from walkies.robots import get_robot
from walkies.run.config import TrainConfig
from walkies.sim.mujoco import MujocoSimulator
from walkies.tasks.contract import CONTROL_DT, Contract
from walkies.tasks.signal import FRAME

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mismatches.md").read_text(encoding="utf-8")
COURSE_BYTES = 1_290_000
"""size of the course's policy.json"""
PUPPER = get_robot("pupper")
FRAMES = 20
"""of the course of 2026 in an observation"""


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
    assert [int(number) for number, _ in rows] == list(range(1, 35))
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
    config, robot = TrainConfig(), PUPPER
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
    assert pytest.approx(Contract(PUPPER).control_dt) == ranges.CONTROL_DT


# 2026


def gait():
    """A reference whose two gaits are waves of the joints, of 1.5 Hz; sideways and in turns the lift."""
    turn = np.linspace(0, 2 * np.pi, 100, endpoint=False)[:, None]
    trot, lift = (size * np.sin(turn + np.arange(12)) for size in (0.3, 0.1))
    return GaitReference(1.5, trot, trot, lift_table=lift)


def at_rest(yaw=0.0):
    turned = np.array([[np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]])
    return Sensors(np.zeros((1, 3)), turned, np.array([PUPPER.default_pose]))


def controller(frames=FRAMES, hold=None):
    """The robot of 2026 under a policy of the course's frame that does nothing, activated."""
    frame = (*FRAME, "gait_reference")
    size = Contract(PUPPER, frames, observation=frame).observation_size
    layer = Layer(np.zeros((size, 12)), np.full(12, 0.5))
    limits = PUPPER.lower_limits, PUPPER.upper_limits
    blocks = Blocks(heading_hold=hold, gait_reference=gait())
    policy = PolicyFile(
        (layer,), frames, 5.5, 0.25, (0.75,) * 12, PUPPER.default_pose, *limits, observation=frame, blocks=blocks
    )
    made = NeuralController(policy, PUPPER)
    made.activate(at_rest())
    return made


def act(made, command, sensors=None):
    """Ticks up to and including the next action."""
    made.tick(sensors or at_rest(), np.array([command]))
    while not made.memory.acted[0]:
        made.tick(sensors or at_rest(), np.array([command]))


def test_twenty_frames_and_a_phase_are_shorter_on_the_robot():
    made, shown = controller(), []
    for _ in range(1 + FRAMES):
        act(made, [0.5, 0.0, 0.0])
        shown.append((made.memory.ticks - 1) / made.config.tick_rate)
    assert shown[-1] - shown[0] == pytest.approx(0.385, abs=5e-4)
    assert FRAMES == 0.4 / CONTROL_DT
    own, trained = (1.5 * step for step in (shown[1] - shown[0], CONTROL_DT))
    assert 1 - own / trained == pytest.approx(0.04, abs=0.002), "of a cycle per action"
    moment = np.array([shown[-1] - made.config.init_duration])
    expected = gait().offset(moment, np.array([[0.5, 0.0, 0.0]]), np.array(PUPPER.default_pose))
    place = made.policy.slices["gait_reference"]
    np.testing.assert_allclose(made.memory.seen[:, place], expected, atol=1e-6)
    by_count = gait().offset(np.array([FRAMES * CONTROL_DT]), np.array([[0.5, 0.0, 0.0]]), PUPPER.default_pose)
    assert np.abs(made.memory.seen[:, place] - by_count).max() > 0.02, "control: counted in steps of training"


def test_history_begins_with_zeros_on_the_robot_and_the_gait_before_the_fade_in_is_over():
    made = controller()
    act(made, [0.5, 0.0, 0.0])
    frames = made.memory.seen.reshape(FRAMES, made.policy.frame_size)
    buffer = np.zeros(made.policy.frame_size, np.float32)
    buffer[made.policy.slices["gravity"]] = [0.0, 0.0, -1.0]
    np.testing.assert_array_equal(frames[1:], np.tile(buffer, (FRAMES - 1, 1)))
    copies = np.tile(frames[0], (FRAMES, 1))  # the first history of the course's training
    assert np.abs(copies - frames)[1:].max() > 0.1
    act(made, [0.5, 0.0, 0.0])
    assert np.abs(made.applied).max() < 0.01 < 0.5 == made.action[0, 0], "faded nearly to nothing"
    assert np.abs(made.memory.seen[0, made.policy.slices["gait_reference"]]).max() > 0.2, "the gait in full"
    assert CONFIGS[2026].fade_in_duration == 2.0


def test_untrained_rows_come_out_a_hundredfold_in_the_course_and_as_zero_here():
    """(x − μ)/(σ + 0.01) of an input with σ = 0, folded into weights as they were drawn; and our scale of such."""
    drawn = np.random.default_rng(0).normal(size=(3, 4))
    mean, deviation = np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.0, 0.0])
    (course, _), *_ = fold_normalizer([(drawn, np.zeros(4))], mean, 1 / (deviation + 0.01))
    np.testing.assert_allclose(course[1:], 100 * drawn[1:])
    assert np.abs(course[0]).max() < 2 * np.abs(drawn[0]).max()
    ours = np.divide(1.0, deviation, out=np.zeros(3), where=deviation > 0)
    (folded, bias), *_ = fold_normalizer([(drawn, np.zeros(4))], mean, ours)
    assert not folded[1:].any() and not bias.any()
    lean = np.array([0.0, 0.02, 1.0])  # a pose command of 1.1° after constant (0, 1)
    assert np.abs((lean - mean) @ course).max() > 1.0 and not ((lean - mean) @ folded).any()


def test_a_held_side_step_turns_the_phase_round_with_a_tiny_error_of_heading():
    side, moment = np.array([[0.0, 0.3, 0.0]]), np.array([0.2])
    hold, seen = HeadingHold(), []
    for yaw in (-1e-3, 1e-3):
        heading, _ = hold(hold.begin(1), side, np.zeros(1))
        _, command = hold(heading, side, np.array([yaw]))
        assert command[0, 2] == pytest.approx(-yaw)
        seen.append(gait().angles(moment, command))
    np.testing.assert_allclose(seen[1], gait().angles(1 / 1.5 - moment, side), atol=1e-12)  # φ → −φ = 1 − φ
    assert np.abs(seen[1] - seen[0]).max() > 0.05
    free = HeadingHold(kp=0.0)
    for yaw in (-1e-3, 1e-3):  # control
        _, command = free(free.begin(1), side, np.array([yaw]))
        np.testing.assert_array_equal(gait().angles(moment, command), seen[0])
    forward = [gait().angles(moment, np.array([[0.3, 0.0, yaw]])) for yaw in (-1e-3, 1e-3)]
    np.testing.assert_array_equal(*forward)


def test_the_controller_shows_a_policy_that_jump():
    """Row 30 through the whole controller: one action apart, a hundredth of a degree either way."""
    shown = []
    for yaw in (-2e-4, 2e-4):
        made = controller(frames=1, hold=HeadingHold())
        for _ in range(9):
            act(made, [0.0, 0.3, 0.0])
        act(made, [0.0, 0.3, 0.0], at_rest(yaw))
        shown.append(made.memory.seen[0, made.policy.slices["gait_reference"]])
    assert np.abs(shown[1] - shown[0]).max() > 0.05


def test_a_lead_in_whole_steps_is_another_moment_of_the_gait():
    walk, pose = np.array([[0.5, 0.0, 0.0]]), np.array(PUPPER.default_pose)

    def ahead(steps):
        return gait().offset(np.array([0.3 + steps * CONTROL_DT]), walk, pose)

    off = np.abs(ahead(round(1.8)) - ahead(1.8)).max()
    assert off == pytest.approx(0.3 * 2 * np.pi * 1.5 * 0.2 * CONTROL_DT, rel=0.05), "4 ms at its fastest"
    np.testing.assert_allclose(ahead(1.8), 0.2 * ahead(1.0) + 0.8 * ahead(2.0), atol=0.003)


def test_the_robot_of_2026_stops_where_its_configuration_says():
    assert CONFIGS[2026].max_body_angle == 1.5
    for tilt, stops in ((0.52, False), (1.45, False), (1.55, True)):
        made = controller(frames=1)
        act(made, [0.0, 0.0, 0.0])
        over = at_rest()._replace(orientation=np.array([[np.cos(tilt / 2), np.sin(tilt / 2), 0.0, 0.0]]))
        for _ in range(made.action_ticks):
            made.tick(over, None)
        assert made.memory.stopped[0] == stops
