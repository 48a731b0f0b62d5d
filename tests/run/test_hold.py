"""A training in which a robot's arms are held: from the command line to the file and on from there."""

import json
from dataclasses import replace

import numpy as np
import pytest

from walkies import cli
from walkies.deploy.policy_file import read
from walkies.robots import get_robot
from walkies.run.config import expanded, of_robot, read_config
from walkies.run.folders import RunFolder

ROBOT = get_robot("small-humanoid")
ITERATION = 16 * 8
SMALL = (
    *("--recipe.num-envs", "16", "--recipe.horizon", "8", "--recipe.minibatches", "2", "--recipe.epochs", "1"),
    *("--recipe.hidden", "16", "--recipe.critic-hidden", "16", "--exam-episodes", "0", "--no-film", "--threads", "1"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two iterations, and one more after a break."""
    out = tmp_path_factory.mktemp("run") / "run"
    told = ["train", ROBOT.name, "--task.hold", "arms", "--steps", str(2 * ITERATION), "--out", str(out), *SMALL]
    assert cli.run(told) == 0
    told = ["train", "--resume", "--out", str(out), "--steps", str(3 * ITERATION), "--exam-episodes", "0", "--no-film"]
    assert cli.run(told) == 0
    return out


def test_its_file_holds_them(run):
    """An action for every joint, as robots expect, those of the arms without effect; the others say something."""
    policy, idle = read(run / "policy.json"), list(ROBOT.idle_joints)
    assert policy.held == ROBOT.idle_joints and len(policy.action_scale) == ROBOT.num_joints
    action = policy.act(np.random.default_rng(0).normal(size=(20, policy.observation_size)))
    assert not action[:, idle].any() and np.ptp(np.delete(action, idle, axis=1), axis=0).min() > 0.0
    shown = policy.layers[0].weights.reshape(policy.observation_history, policy.frame_size, -1)
    shown = shown[:, policy.slices["last_action"]]
    assert not shown[:, idle].any() and np.delete(shown, idle, axis=1).any()
    assert read_config(RunFolder(run)).task.hold == ("arms",)


def test_nothing_wrong_is_found_in_it(run, capsys):
    assert cli.run(["lint", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    codes = [one["code"] for one in (found["findings"] if isinstance(found, dict) else found)]
    assert codes.count("held-joint") == len(ROBOT.idle_joints) and "deaf-joint" not in codes


def test_one_leg_held_leaves_no_mirror_image_to_learn_with():
    """Without being told; the networks are equivariant otherwise."""
    usual = of_robot(get_robot("go"))
    assert usual.recipe.symmetry == expanded(usual).recipe.symmetry == "equivariant"
    one = replace(usual, task=replace(usual.task, hold=(get_robot("go").leg_names[0],)))
    assert expanded(one).recipe == replace(usual.recipe, symmetry="none")


@pytest.mark.parametrize("hold", [("--task.hold",), ("--task.hold", "*_elbow")], ids=["none", "others"])
def test_a_policy_for_other_joints_is_no_start(run, hold, tmp_path, capsys):
    """The same --task.hold is, also in other words for the same joints."""
    arguments = ["train", ROBOT.name, *hold, "--init-from", str(run), "--out", str(tmp_path / "new"), *SMALL]
    assert cli.run([*arguments, "--steps", "1"]) != 0
    said = " ".join(capsys.readouterr().err.split())
    assert "was trained with --task.hold arms" in said and "train with the same --task.hold" in said


def test_other_words_for_the_same_joints_are_a_start(run, tmp_path):
    arguments = ["train", ROBOT.name, "--task.hold", "idle", "--init-from", str(run), "--out", str(tmp_path / "new")]
    assert cli.run([*arguments, *SMALL, "--steps", "1"]) == 0
