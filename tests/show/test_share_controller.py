"""The page's control loop is the examination's: the same readings make the same observation, action and targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_node import in_node

from made_policies import movement, tiny
from walkies.deploy import policy_file
from walkies.deploy.blocks import Blocks, CommandClip, GaitReference, HeadingHold
from walkies.deploy.controllers import Sensors
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.layers import Layer
from walkies.deploy.policy_file import PolicyFile, PolicyFileError
from walkies.robots import get_robot
from walkies.robots.base import Robot
from walkies.show.share import content
from walkies.show.share.command import HERE
from walkies.tasks.gait.presets import TRICK
from walkies.tasks.signal import FRAME, GAIT

TICKS = 120
AGREE = 1e-5
WALKER = Path(__file__).parents[1] / "browser" / "walker.json"
MODULES = tuple(HERE / name for name in ("engine.js", "network.js", "controller.js"))
ACT = """
  const controller = makeController(data.policy);
  return data.sensed.map((sensed, i) => {
    for (const clip of data.requests[i] ?? []) controller.movement?.request(clip);
    const targets = [...controller.act(sensed, data.commands[i])];
    return { targets, applied: [...controller.applied], observation: [...controller.observation] };
  });
"""


REQUESTS = {55: [1], 58: [2], 90: [1, 0, 0, 0, 0, 2]}
"""Clips that are asked for before an action: one after the other, and more than may wait."""


def readings(robot: Robot) -> tuple[list[dict[str, Any]], np.ndarray]:
    """What TICKS readings of the sensors say, and commands (TICKS, 3), some beyond every range."""
    rng = np.random.default_rng(1)
    turn = np.concatenate([np.ones((TICKS, 1)), 0.2 * rng.normal(size=(TICKS, 3))], axis=1)
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    sensed = [
        {
            "gyro": rng.normal(size=3).tolist(),
            "orientation": turn[i].tolist(),
            "joint_position": (np.array(robot.default_pose) + 0.3 * rng.normal(size=robot.num_joints)).tolist(),
            "joint_velocity": rng.normal(size=robot.num_joints).tolist(),
        }
        for i in range(TICKS)
    ]
    commands = np.repeat(rng.uniform(-1.2, 1.2, (TICKS // 10, 3)), 10, axis=0)
    commands[30:60, 2] = 0.0  # now the heading is held
    commands[100:] = 0.0
    return sensed, commands


def in_page(folder: Path, policy: dict[str, Any], robot: Robot) -> dict[str, np.ndarray]:
    sensed, commands = readings(robot)
    rows = in_node(
        folder, MODULES, ACT, {"policy": policy, "sensed": sensed, "commands": commands.tolist(), "requests": REQUESTS}
    )
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def in_examination(controller: GenericController, robot: Robot) -> dict[str, np.ndarray]:
    sensed, commands = readings(robot)
    rows = []
    for i, (one, command) in enumerate(zip(sensed, commands, strict=True)):
        sensors = Sensors(**{name: np.array([value]) for name, value in one.items()})
        if i == 0:
            controller.activate(sensors)
        if controller.playback is not None:
            for clip in REQUESTS.get(i, []):
                controller.play(controller.policy.blocks.trick.names[clip])
        targets = controller.tick(sensors, command[None]).position[0]
        rows.append((targets, controller.applied[0], controller.history[0]))
    names = ("targets", "applied", "observation")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def gait(robot: Robot) -> GaitReference:
    """Four tables that differ, of an odd number of rows."""
    tables = np.array(robot.default_pose) + np.random.default_rng(2).uniform(-0.3, 0.3, (4, 7, robot.num_joints))
    return GaitReference(1.7, *tables, gallop_speed=0.5, gallop_freq_mult=1.3)


def policies() -> dict[str, tuple[PolicyFile, Robot]]:
    pupper, biped = get_robot("pupper"), get_robot("biped")
    clip = CommandClip((-0.6, 0.6), (-0.3, 0.3), (-1.0, 1.0))
    walker = policy_file.read(WALKER)
    shown = tiny(pupper, 2, (*FRAME, "joint_velocity", GAIT), blocks=Blocks(clip, gait_reference=gait(pupper)))
    rng = np.random.default_rng(3)
    layers = [
        Layer(rng.normal(size=(walker.observation_size, 8)) / 8.0, rng.normal(size=8), "relu"),
        Layer(None, rng.uniform(0, 0.5, 8)),
        Layer(rng.normal(size=(8, 8)), rng.normal(size=8), "sigmoid"),
        Layer(rng.normal(size=(8, pupper.num_joints)), rng.normal(size=pupper.num_joints), "softmax"),
    ]
    return {
        "walker": (walker, pupper),
        "gait": (shown, pupper),
        "trick": (tiny(pupper, 2, TRICK.observation, blocks=Blocks(trick=movement(pupper))), pupper),
        "held": (replace(tiny(biped, 4), blocks=Blocks(clip, HeadingHold(clip=0.2))), biped),
        "layers": (replace(walker, layers=tuple(layers), use_imu=False), pupper),
    }


@pytest.mark.parametrize("name", ["walker", "gait", "trick", "held", "layers"])
def test_the_page_acts_as_the_examination_does(name: str, tmp_path: Path) -> None:
    given, robot = policies()[name]
    controller = GenericController(given, robot)
    policy = content.policy(controller)
    shown, expected = in_page(tmp_path, policy, robot), in_examination(controller, robot)
    print(name, {key: float(np.abs(shown[key] - expected[key]).max()) for key in expected})
    for key, values in expected.items():
        np.testing.assert_allclose(shown[key], values, rtol=0, atol=AGREE, err_msg=key)
    assert np.ptp(expected["targets"], axis=0).max() > 0.05, "it acts"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("walker", {"fade_in": 0.9}),
        ("walker", {"frame": "swapped"}),
        ("gait", {"heading_hold": None}),
        ("trick", {"movement": {"most_queued": 0}}),
        ("trick", {"movement": {"fps": 49.0}}),
        ("held", {"command_clip": [[-1.0, 1.0]] * 3}),
        ("held", {"observation_clip": 0.5}),
    ],
)
def test_another_contract_is_noticed(name: str, change: dict[str, Any], tmp_path: Path) -> None:
    """Control of the test above."""
    given, robot = policies()[name]
    controller = GenericController(given, robot)
    policy = content.policy(controller)
    if change == {"frame": "swapped"}:
        change = {"frame": [policy["frame"][1], policy["frame"][0], *policy["frame"][2:]]}
    if name == "trick":
        change = {"movement": policy["movement"] | change["movement"]}
    shown, expected = in_page(tmp_path, policy | change, robot), in_examination(controller, robot)
    assert np.abs(shown["targets"] - expected["targets"]).max() > 100 * AGREE


def test_an_action_that_is_no_number_leaves_the_default_pose(tmp_path: Path) -> None:
    given, robot = policies()["walker"]
    last = given.layers[-1]
    broken = replace(given, layers=(*given.layers[:-1], replace(last, bias=np.full_like(last.bias, np.nan))))
    shown = in_page(tmp_path, content.policy(GenericController(broken, robot)), robot)
    np.testing.assert_allclose(shown["targets"], np.tile(GenericController(given, robot).standing(1), (TICKS, 1)))


def test_a_policy_that_is_shown_what_the_page_cannot_make_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given, robot = policies()["trick"]
    monkeypatch.setattr(content, "MADE", FRAME)
    with pytest.raises(PolicyFileError, match=r"observes .*motion_anchor_ori_b.* expected signals among gyro, gravity"):
        content.policy(GenericController(given, robot))
