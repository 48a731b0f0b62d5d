"""A fast gait from a file: its tables reach the policy in training as they do on the robot, which has them from its own
file."""

from __future__ import annotations

import json
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from walkies.deploy.blocks import NO_HOLD, Blocks
from walkies.deploy.blocks import gait as gait_block
from walkies.deploy.controllers import inputs
from walkies.deploy.policy_file import Layer, PolicyFile
from walkies.errors import UserError
from walkies.files import write_bytes, write_json
from walkies.robots import get_robot
from walkies.run.folders import from_dict, to_dict
from walkies.tasks.gait import fast
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.capture import for_backward_phase
from walkies.tasks.gait.fast import FastGait
from walkies.tasks.gait.presets import MIXED_GAITS, TRICK
from walkies.tasks.gait.reference import GaitReference
from walkies.tasks.gait.task import GaitConfig
from walkies.tasks.motion import task as motion
from walkies.tasks.signal import Sensed
from walkies.tasks.walk import WalkConfig

ROBOT = get_robot("pupper")
HERTZ = 3.1
N = 40
LEVEL = np.tile([1.0, 0.0, 0.0, 0.0], (N, 1))


def cycle(seed: int) -> np.ndarray:
    """(100, nu) rad of some gait, forward in time."""
    turns = 2 * np.pi * (np.arange(100)[:, None] / 100 + np.random.default_rng(seed).random(ROBOT.num_joints))
    return np.array(ROBOT.default_pose) + 0.3 * np.sin(turns)


FORWARD, BACK = cycle(0), cycle(1)


def captured() -> FastGait:
    return FastGait(
        ROBOT.name, list(ROBOT.joint_names), HERTZ, 1.1, 2.9, -0.8,
        FORWARD.tolist(), for_backward_phase(BACK).tolist(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    file = tmp_path_factory.mktemp("captured") / "fast.json"
    write_json(file, captured()._asdict())
    return file


@pytest.fixture(scope="module")
def reference(path) -> GaitReference:
    return gait.reference(replace(MIXED_GAITS.gait, fast=path), ROBOT)


def in_training(reference: GaitReference, seconds: np.ndarray, command: np.ndarray) -> np.ndarray:
    """(n, nu) what the policy observes of the reference, from its clock's state."""
    state = gait.GaitState(jnp.asarray(seconds, jnp.float32), jnp.ones(len(seconds)), jnp.zeros(()), None)
    told = jnp.asarray(command, jnp.float32)
    return gait.advance(state, reference, 0.0, told, np.array(ROBOT.default_pose)).reference


def on_the_robot(block: dict, seconds: float, command: np.ndarray) -> np.ndarray:
    """(n, nu) likewise by the controller twin, from the block of a policy file."""
    blocks = Blocks(heading_hold=NO_HOLD, gait_reference=gait_block.parse(block))
    layer = Layer(np.zeros((48, ROBOT.num_joints)), np.zeros(ROBOT.num_joints), "tanh")
    policy = PolicyFile(
        (layer,), 1, 5.5, 0.25, (0.75,) * 12, ROBOT.default_pose, ROBOT.lower_limits, ROBOT.upper_limits,
        observation=MIXED_GAITS.observation, blocks=blocks,
    )  # fmt: skip
    zeros, joints = np.zeros((len(command), 3)), np.zeros((len(command), ROBOT.num_joints))
    told = inputs.told(policy, inputs.begin(policy, len(command)), command, LEVEL)
    sensed = Sensed(zeros, zeros, told.command, joints, joints, joints)
    return inputs.refer(policy, told, sensed, LEVEL, seconds, 1.0)[1].gait_reference


def document(reference: GaitReference) -> dict:
    """The block of a policy file, through JSON."""
    return json.loads(json.dumps(gait_block.document(reference, ROBOT.joint_names)))


def commands(speed: float) -> np.ndarray:
    """(N, 3) forward commands of about this speed, m/s, with side steps and turns."""
    rng = np.random.default_rng(3)
    return np.stack([speed * rng.uniform(0.95, 1.05, N), *rng.uniform(-0.5, 0.5, (2, N))], axis=1)


@pytest.mark.parametrize("speed", [-1.4, -0.6, -0.4, -0.1, 0.02, 0.1, 0.4, 0.6, 1.4])
def test_training_and_robot_show_the_same_gait(reference, speed):
    """On both sides of the fast gait's speed, forward and backward. Control: a back table that is not reversed."""
    command, block = commands(speed), document(reference)
    wrong = {**block, "gallop_back_table": BACK.tolist()}
    apart = []
    for seconds in np.random.default_rng(1).uniform(0.0, 20.0, 10):
        ours = in_training(reference, np.full(N, seconds), command)
        np.testing.assert_allclose(ours, on_the_robot(block, seconds, command), atol=5e-4)
        apart.append(np.abs(ours - on_the_robot(wrong, seconds, command)).max())
    assert (max(apart) > 0.1) == (speed < -MIXED_GAITS.gait.gallop_speed)


def test_the_tables_are_played_as_they_were_captured(reference):
    """By hand: rows of the forward and of the backward gait, in their order in time, at the captured frequency.
    Control: the trot below that speed."""
    rows = np.arange(60)
    seconds = (rows + 1e-3) / (100 * HERTZ)
    for speed, expected in ((1.0, FORWARD), (-1.0, BACK)):
        told = np.tile([speed, 0.0, 0.0], (60, 1))
        np.testing.assert_allclose(in_training(reference, seconds, told), expected[:60] - ROBOT.default_pose, atol=5e-4)
        slow = in_training(reference, seconds, 0.3 * told)
        assert np.abs(slow - (expected[:60] - ROBOT.default_pose)).max() > 0.1


def test_the_file_is_read_as_it_was_written(path):
    assert fast.read(path, ROBOT, 100) == captured()


def test_without_a_file_the_fast_gait_is_the_trot():
    """As in the course. Control: where it begins is said all the same."""
    made = gait.reference(MIXED_GAITS.gait, ROBOT)
    assert made.gallop_table is made.trot_table and made.gallop_back_table is None and made.gallop_freq_mult == 1.0
    assert made.gallop_speed == 0.5 and gait.reference(GaitConfig(tables="zero"), ROBOT).gallop_speed == 1000.0


def test_configurations_of_before_have_no_fast_gait(path):
    """Control: one that has it keeps it, as text in JSON."""
    old = to_dict(GaitConfig())
    del old["fast"], old["gallop_speed"]
    assert from_dict(GaitConfig, old) == GaitConfig()
    config = GaitConfig(fast=path, gallop_speed=0.6)
    assert to_dict(config)["fast"] == str(path) and from_dict(GaitConfig, to_dict(config)) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"robot": "crab"}, "got a gait of crab with 12 joints, expected one of pupper"),
        ({"joint_names": ["a"]}, "got a gait of pupper with 1 joints"),
        ({"gallop_table": [[0.0] * 12] * 99}, "gallop_table has 99 rows of 12 angles, expected 100 of 12"),
        ({"gallop_back_table": [[0.0] * 11] * 100}, "gallop_back_table has 100 rows of 11 angles"),
        ({"gallop_back_table": []}, "gallop_back_table has 0 rows of 0 angles"),
        ({"frequency": 0.0}, "frequency: got 0, expected Hz above 0"),
        ({"frequency": "3"}, r"is damaged \(frequency: got"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, change, message):
    write_json(tmp_path / "fast.json", {**captured()._asdict(), **change})
    with pytest.raises(UserError, match=message):
        gait.reference(GaitConfig(tables="zero", fast=tmp_path / "fast.json"), ROBOT)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"fast.json: no such file .* expected a file of `walkies motion capture`"):
        gait.reference(GaitConfig(tables="zero", fast=tmp_path / "fast.json"), ROBOT)


def test_a_run_reads_its_copy(path, tmp_path):
    """Where it has one, in place of the file that its task names. Controls: a run without copies; and the task that was
    read with copies leaves the one that it was read from alone."""
    named = tmp_path / "elsewhere" / "fast.json"
    write_json(named, {**captured()._asdict(), "frequency": 9.0})
    task = WalkConfig(gait=replace(MIXED_GAITS.gait, fast=named))
    copies = tmp_path / "run"
    for copy, source in task.files().items():
        write_bytes(copies / copy, source.read_bytes())
    write_json(named, captured()._asdict())
    read = {run: fast.read(task.with_copies(tmp_path / run).gait.fast, ROBOT, 100) for run in ("run", "no-run")}
    assert read["run"].frequency == 9.0 and read["no-run"] == captured()
    assert task.gait.fast == named and fast.read(named, ROBOT, 100) == captured()


def test_a_copy_of_a_movement_holds_before_one_of_that_name(tmp_path):
    """A design that comes with walkies may change. Control: a task that shows no movement has no file of one."""
    task = replace(TRICK, motion=replace(TRICK.motion, file="bow"))
    (copy,) = task.files()
    (tmp_path / copy).write_text("ours")
    assert motion.source(task.with_copies(tmp_path).motion) == tmp_path / copy
    assert motion.source(task.motion) == task.files()[copy] != tmp_path / copy
    assert replace(WalkConfig(), motion=task.motion).files() == {}


def test_the_clock_runs_at_the_captured_frequency(reference):
    """The fast gait recurs after its own period, and the trot does not. Control: the other way round."""
    command = np.tile([[1.0, 0, 0], [0.3, 0, 0]], (N // 2, 1))
    seconds = np.linspace(0.0, 5.0, N)
    for period, recurs in ((1 / HERTZ, [True, False]), (1 / MIXED_GAITS.gait.frequency, [False, True])):
        moved = np.abs(in_training(reference, seconds, command) - in_training(reference, seconds + period, command))
        assert [bool(moved[i::2].max() < 2e-3) for i in (0, 1)] == recurs
