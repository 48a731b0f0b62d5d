"""The benchmark measures what it says, from walking states, with a script or with a policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import made_robots
import made_trees
from sim import native_cases as cases
from walkies import cli
from walkies.deploy.policy_file import Layer, PolicyFile, write
from walkies.errors import UserError
from walkies.lab.bench import physics as bench
from walkies.robots import PUPPER, load_model

KEYS = {
    "mujoco_steps_per_s",
    "native_steps_per_s",
    "ratio",
    "ratio_exact",
    "error_p90",
    "error_p99",
    "mujoco_error_p90",
    "mujoco_error_p99",
    "robots",
    "threads",
    "isa",
}


def test_the_result_has_every_key_and_the_engine_is_faster() -> None:
    result = bench.run(robots=64, rounds=5, threads=1)
    assert set(result) >= KEYS
    assert result["ratio"] > 2
    assert result["ratio_exact"] > 2
    assert result["error_p90"] <= result["mujoco_error_p90"]
    assert "native, train" in bench.table(result)


def test_too_few_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "physics", "--rounds", "4"]) == cli.USER_ERROR
    assert "--rounds: got 4, expected a whole number from 5" in capsys.readouterr().err


def test_robots_trot_and_a_policy_can_drive_them(tmp_path: Path) -> None:
    scripted = bench.walk(PUPPER, cases.pupper(), 16, None, 1)
    assert scripted.fallen == 0
    assert np.abs(np.asarray(scripted.state.qvel[:, 6:])).mean() > 0.3

    # A policy that always commands the default pose: its robots stand.
    still = Layer(np.zeros((36, 12)), np.zeros(12), "tanh")
    pose = PUPPER.default_pose
    policy = PolicyFile((still,), 1, 5.0, 0.25, (0.75,) * 12, pose, PUPPER.lower_limits, PUPPER.upper_limits)
    write(tmp_path / "policy.json", policy)
    standing = bench.walk(PUPPER, cases.pupper(), 16, str(tmp_path / "policy.json"), 1)
    np.testing.assert_allclose(standing.targets, np.broadcast_to(pose, standing.targets.shape), atol=1e-6)
    assert np.abs(np.asarray(standing.state.qvel)).max() < 0.05


@pytest.mark.parametrize(("legs", "joints"), [(6, 3), (2, 6)])
def test_other_robots_are_driven_too(tmp_path: Path, legs: int, joints: int) -> None:
    """Legs of three hinges trot, whatever their number; others are told to stand."""
    robot = made_robots.make(tmp_path, legs, joints)
    model = load_model(robot, own_contacts=False, visuals=False)
    moving = bench.walk(robot, model, 8, None, 1)
    assert moving.targets.shape == (bench.CONTROL_STEPS, 8, legs * joints)
    assert np.isfinite(np.asarray(moving.state.qpos)).all()
    errors = bench.acceleration_errors(model, moving, 8)
    assert np.quantile(errors["exact_error"], 0.9) <= 1e-3


def test_six_legs_trot_in_tripods(tmp_path: Path) -> None:
    robot = made_robots.make(tmp_path, 6, 3)
    drive = bench.trot_driver(robot, 4, np.random.default_rng(1))
    targets = np.stack([drive(k, None, None) for k in range(40)]).reshape(40, 4, 6, 3)
    lifted = targets[..., 2] < robot.default_pose[2] - 3 * bench.JITTER
    one, other = (lifted[..., tripod].sum(axis=-1) >= 2 for tripod in ([0, 3, 4], [1, 2, 5]))
    assert one.any() and other.any() and not (one & other).any()


@pytest.mark.parametrize("arguments", [[], ["pupper"], ["--robot", "pupper"], ["pupper", "--robot", "pupper"]])
def test_a_robot_is_named_by_its_place_or_by_a_flag(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(bench, "run", lambda robot, **_: asked.append(robot))
    monkeypatch.setattr(bench, "table", lambda _: "")
    assert cli.run(["bench", "physics", *arguments]) == 0
    assert asked == ["pupper"]


def test_two_robots_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["bench", "physics", "pupper", "--robot", "nobody"]) == cli.USER_ERROR
    assert "--robot: got nobody, but pupper was named too" in capsys.readouterr().err


def test_a_robot_without_a_record_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "biped.xml"
    path.write_text(made_trees.mjcf(made_trees.BIPED))
    moving = bench.settled(bench.load_file(str(path)), 8, 1)
    assert moving.targets.shape == (bench.CONTROL_STEPS, 8, 12)
    assert np.isfinite(np.asarray(moving.state.qpos)).all()
    # They lie or stand on the ground, and have not fallen through it.
    assert (np.asarray(moving.state.qpos[:, 2]) > 0).all() and (np.asarray(moving.state.qpos[:, 2]) < 0.5).all()
    with pytest.raises(UserError, match="--policy"):
        bench.run(str(path), policy="policy.json")


def test_a_file_that_is_of_no_use_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nobody\.xml"):
        bench.load_file(str(tmp_path / "nobody.xml"))
    path = tmp_path / "elliptic.xml"
    path.write_text(made_trees.mjcf(made_trees.BIPED).replace("pyramidal", "elliptic"))
    with pytest.raises(UserError, match=r"elliptic\.xml: the native engine cannot take the friction cone"):
        bench.load_file(str(path))
