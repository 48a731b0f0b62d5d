"""Servo gains are stated in the robot's record, and reach the simulator, the contract and the exported file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import tyro
from fake_simulator import StillSimulator

from pupper_frame import FRAME_SIZE, SLICES
from walkies.cli import explain
from walkies.deploy.policy_file import export, read
from walkies.robots import PUPPER, ROBOTS
from walkies.robots.base import Robot
from walkies.run import folders
from walkies.sim import nominal_params
from walkies.tasks.randomization import NONE
from walkies.tasks.walk import Walk, WalkConfig

GAINS = {"kp": 7.5, "kd": 0.4}


@pytest.fixture
def stiff(tmp_path: Path) -> Robot:
    """A robot like Pupper with servos of its own."""
    mjcf = tmp_path / "stiff.xml"
    text, stated = PUPPER.mjcf.read_text(), 'kp="5" kv="0.25"'
    assert text.count(stated) == 1
    mjcf.write_text(text.replace(stated, 'kp="7.5" kv="0.4"'))
    return replace(PUPPER, name="stiff", mjcf=mjcf, **GAINS)


def reached(robot: Robot, config: WalkConfig, folder: Path) -> list[tuple[float, float]]:
    """kp and kd where they arrive: in the simulator, the contract and the file that the robot loads."""
    simulator = StillSimulator(robot)
    walk = Walk(robot, simulator, nominal_params(simulator.model, robot), replace(config, randomization=NONE))
    params = walk.reset(jax.random.key(0), 2).params
    assert np.ptp(params.kp) == 0 and np.ptp(params.kd) == 0
    size = walk.observation_size
    scale = np.where(np.arange(size) % FRAME_SIZE // 3 == SLICES["desired_up"].start // 3, 0.0, 1.0)
    export(folder / "p.json", [(np.zeros((size, 12)), np.zeros(12))], "elu", np.zeros(size), scale, walk.contract)
    written = read(folder / "p.json")
    return [(float(params.kp[0, 0]), float(params.kd[0, 0])), walk.contract.gains, (written.kp, written.kd)]


def test_a_robots_own_gains_reach_everything(stiff: Robot, tmp_path: Path) -> None:
    for found in reached(stiff, WalkConfig(), tmp_path):
        assert found == pytest.approx((7.5, 0.4))
    # Control: another robot has others.
    for found in reached(PUPPER, WalkConfig(), tmp_path):
        assert found == pytest.approx((5.0, 0.25))


def test_a_task_may_ask_for_others(stiff: Robot, tmp_path: Path) -> None:
    config = tyro.cli(WalkConfig, args=["--kp", "6"])
    for found in reached(stiff, config, tmp_path):
        assert found == pytest.approx((6.0, 0.4))


def test_configurations_of_earlier_runs_keep_their_gains(stiff: Robot, tmp_path: Path) -> None:
    """They have numbers where newer ones have null."""
    earlier = {**folders.to_dict(WalkConfig()), "kp": 5.0, "kd": 0.25}
    assert folders.to_dict(WalkConfig())["kp"] is None
    for found in reached(stiff, folders.from_dict(WalkConfig, earlier), tmp_path):
        assert found == pytest.approx((5.0, 0.25))


@pytest.mark.parametrize(
    ("task", "says"), [(WalkConfig(), "kp 7.5 N·m/rad, kd 0.4"), (WalkConfig(kp=6.0), "kp 6 N·m/rad, kd 0.4")]
)
def test_explain_shows_the_gains_in_force(
    task: WalkConfig, says: str, stiff: Robot, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ROBOTS, "stiff", stiff)
    explain.command("stiff", task)
    assert says in " ".join(capsys.readouterr().out.split())
