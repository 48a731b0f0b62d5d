"""Ready tasks through the command line: trained, exported with their tables, gone on with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from walkies import cli
from walkies.cli import train
from walkies.cli.arguments import flags
from walkies.cli.explain import episode_table, observation_table
from walkies.deploy import policy_file
from walkies.deploy.policy_json import problems
from walkies.errors import UserError
from walkies.files import write_json
from walkies.robots import get_robot
from walkies.run.config import TrainConfig, build, expanded, read_config, resumed
from walkies.run.folders import RunFolder
from walkies.tasks.contract import Contract
from walkies.tasks.gait import task as gait
from walkies.tasks.gait.fast import FastGait
from walkies.tasks.gait.presets import PRESETS
from walkies.tasks.gait.reference import GaitReference
from walkies.tasks.gait.task import GaitConfig
from walkies.tasks.signal import FRAME
from walkies.tasks.walk import WalkConfig

SMALL = (
    *("--recipe.num-envs", "16", "--recipe.horizon", "8", "--recipe.minibatches", "2", "--recipe.epochs", "1"),
    *("--recipe.hidden", "16", "--recipe.critic-hidden", "16", "--exam-episodes", "0", "--no-film", "--threads", "1"),
)
ITERATION = 16 * 8
HISTORY = 20


FAST_HERTZ = 3.2


def fast_gait(path: Path) -> Path:
    """A file as `walkies motion capture` writes it: of the two fast tables one is not the other."""
    robot = get_robot("pupper")
    forward, back = (np.tile(robot.default_pose, (100, 1)) + offset for offset in (0.1, -0.1))
    speeds = (FAST_HERTZ, 1.0, 3.0, -0.9)
    fast = FastGait(robot.name, list(robot.joint_names), *speeds, forward.tolist(), back.tolist())
    write_json(path, fast._asdict())
    return path


@pytest.fixture(scope="module", params=["velocity-fs", "stable-gait", "mixed-gaits"])
def run(request, tmp_path_factory) -> tuple[str, Path]:
    """A ready task's name, and a run of two iterations of it with a number of ours; the file of its fast gait is gone
    afterwards."""
    out = tmp_path_factory.mktemp("runs") / request.param
    line = ["train", "pupper", "--preset", request.param, "--task.observation-history", str(HISTORY)]
    if request.param == "mixed-gaits":
        line += ["--task.gait.fast", str(fast_gait(out.parent / "fast.json")), "--task.commands.heading-hold.kp", "1"]
    assert cli.run([*line, "--steps", str(2 * ITERATION), "--out", str(out), *SMALL]) == 0
    (out.parent / "fast.json").unlink(missing_ok=True)
    return request.param, out


def gait_of(name: str, out: Path) -> GaitConfig:
    """The gait that a run has."""
    captured = {"fast": out.parent / "fast.json"} if name == "mixed-gaits" else {}
    return replace(PRESETS[name].gait, **captured)


def test_its_file_has_the_blocks_that_the_robot_needs(run):
    name, out = run
    document = json.loads((out / "policy.json").read_text())
    assert problems(document) == []
    assert document["single_observation_size"] == 48 and document["in_shape"] == [None, 48 * HISTORY]
    assert [part["name"] for part in document["obs_spec"]["components"]][-1] == "gait_reference"
    held = {"kp": 1.0, "clip": 0.3, "yaw_threshold": 0.1, "walk_threshold": 0.05}
    assert document["heading_hold"] == (held if name == "mixed-gaits" else {**held, "kp": 0.0}), "as in training"
    fastest = PRESETS[name].commands.forward
    assert document["command_clip"] == {"vx": [-fastest, fastest], "vy": [-0.5, 0.5], "wz": [-2.0, 2.0]}
    assert (document["kp"], document["kd"], document["action_scale"]) == (5.5, 0.25, 0.75)
    block, robot = document["gait_reference"], get_robot("pupper")
    assert block["joint_names"] == list(robot.joint_names) and block["n_samples"] == 100
    made = gait.reference(PRESETS[name].gait, robot)
    assert ("lift_table" in block) == (name != "velocity-fs") and block["frequency"] == made.frequency
    np.testing.assert_allclose(block["trot_table"], made.trot_table)
    if name == "velocity-fs":
        np.testing.assert_array_equal(block["trot_table"], [robot.default_pose] * 100)
    assert ("gallop_back_table" in block) == (name == "mixed-gaits")
    if name == "mixed-gaits":
        pose = np.array(robot.default_pose)
        for table, offset in (("gallop_table", 0.1), ("gallop_back_table", -0.1)):
            np.testing.assert_allclose(block[table], [pose + offset] * 100)
        assert (block["gallop_speed"], block["gallop_freq_mult"]) == (0.5, FAST_HERTZ / made.frequency)
    else:
        assert (block["gallop_speed"], block["gallop_freq_mult"]) == (1000.0, 1.0)
        np.testing.assert_array_equal(block["gallop_table"], block["trot_table"])


def test_inputs_that_never_vary_have_no_weights(run):
    """The reference of a task without a gait, as `desired_up` of any. Control: the reference of a trot."""
    name, out = run
    policy = policy_file.read(out / "policy.json")
    weights = np.abs(policy.layers[0].weights).reshape(HISTORY, 48, -1)
    zero = {one: not weights[:, place].any() for one, place in policy.slices.items()}
    expected = {"desired_up", "gait_reference"} if name == "velocity-fs" else {"desired_up"}
    assert {one for one, is_zero in zero.items() if is_zero} == expected
    assert isinstance(policy.blocks.gait_reference, GaitReference)


def test_it_goes_on_as_the_same_task(run):
    """Also where the ready task is named again. Control: another one is refused."""
    name, out = run
    config = read_config(RunFolder(out))
    assert config.preset is None and config.task.gait == gait_of(name, out)
    assert config.task.rewards == PRESETS[name].rewards and config.task.observation_history == HISTORY
    for again in (None, name):
        assert resumed(TrainConfig(preset=again, resume=True, out=out, steps=1), RunFolder(out)).task == config.task
    for other in set(PRESETS) - {name}:
        with pytest.raises(UserError, match=r"--task\.(gait\.tables|commands\.forward)"):
            resumed(TrainConfig(preset=other, resume=True, out=out), RunFolder(out))


@pytest.mark.parametrize("run", ["mixed-gaits"], indirect=True)
def test_it_is_resumed_elsewhere(run, tmp_path):
    """With the run's own copy of the fast gait. Control: without that copy its file is missed."""
    _, out = run
    moved = tmp_path / "moved"
    shutil.copytree(out, moved)
    assert cli.run(["train", "--resume", "--steps", str(3 * ITERATION), "--out", str(moved), *SMALL]) == 0
    before, after = (json.loads((one / "policy.json").read_text()) for one in (out, moved))
    assert before["gait_reference"] == after["gait_reference"] and before["layers"] != after["layers"]
    (moved / "fast_gait.json").unlink()
    with pytest.raises(UserError, match=r"fast.json: no such file"):
        build(read_config(RunFolder(moved)), moved)


def test_a_ready_task_is_written_out_in_the_configuration():
    config = expanded(TrainConfig(preset="stable-gait", task=WalkConfig(observation_history=20)))
    assert config.preset is None and config.task.observation_history == 20 and config.task.gait.tables == "trot-lift"
    assert expanded(config) == config and expanded(TrainConfig()) == TrainConfig()


def test_it_is_explained():
    task = PRESETS["stable-gait"]
    contract = Contract(get_robot("pupper"), observation=task.observation)
    assert "gait_reference" in list(observation_table(contract).columns[1].cells)
    rows = dict(zip(*(list(column.cells) for column in episode_table(task).columns[:2]), strict=True))
    assert rows["gait.lift.touchdown"] == "0 0.5 0.5 0" and rows["gait.tables"] == "trot-lift"
    plain = {str(cell) for cell in episode_table(WalkConfig(observation=FRAME)).columns[0].cells}
    assert not [name for name in plain if name.startswith("gait")], "no gait is shown, and none is explained"


def asked(*arguments):
    """The task that a command line asks for."""
    given = flags.parse(train.command, "walkies train", ["pupper", *arguments]).arguments["config"]
    return expanded(given).task


@pytest.mark.parametrize("form", [["--preset", "stable-gait"], ["--preset=stable-gait"]])
def test_a_flag_holds_also_where_it_says_what_plain_walking_has(form):
    """Control: without it the ready task's number."""
    plain = WalkConfig().rewards.gait_tracking
    assert asked(*form).rewards.gait_tracking == PRESETS["stable-gait"].rewards.gait_tracking != plain
    for line in (
        [*form, "--task.rewards.gait-tracking", str(plain)],
        ["--task.rewards.gait-tracking", str(plain), *form],
    ):
        task = asked(*line)
        assert task.rewards.gait_tracking == plain
        assert task == replace(
            PRESETS["stable-gait"], rewards=replace(PRESETS["stable-gait"].rewards, gait_tracking=plain)
        )
    assert asked("--preset", "velocity-fs", *form) == asked(*form), "the last one holds"
    with pytest.raises(SystemExit):
        asked("--preset", "moonwalk")
