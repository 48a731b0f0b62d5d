"""Does a movement hold up in physics? Its joint angles alone are played to the servos in MuJoCo, without any policy.

The marks are those of the Stanford course of 2026 (`pupper-mjlab`), whose lengths grow with the robot: a movement that
stays as near as that to its own frames is easy to learn, and one that falls may still be learned, or not.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from walkies.deploy.controllers import MotorCommand, Sensors
from walkies.deploy.controllers.twin import SOLVER_ITERATIONS
from walkies.judge.loop import Loop, Many, Motion, nominal_plant, standing
from walkies.later import mujoco
from walkies.quaternions import conjugate, product
from walkies.robots import load_model
from walkies.robots.base import Robot
from walkies.robots.units import growth
from walkies.tasks.motion.design import Design
from walkies.tasks.motion.movement import Movement

NEAR = 0.03, np.radians(10.0)
"""m and rad: no frame is further from where it should be."""
FAR = 0.10, np.radians(45.0)
"""m and rad: a frame that is has fallen."""
REST = 0.5
"""s for which the first frame is held before, and the last one afterwards."""
Says = Literal["holds up", "strays", "falls"]


class Verdict(NamedTuple):
    """Of one clip."""

    clip: str
    seconds: float
    says: Says
    distance: float
    """m that the trunk was from its place, at worst"""
    angle: float
    """rad that it was turned away, at worst"""
    qpos: np.ndarray
    """(T, nq) at every frame"""


def verdicts(design: Design, robot: Robot) -> list[Verdict]:
    """Of every clip, each begun where its first frame is."""
    model = load_model(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    return [_verdict(design, clip, robot, model) for clip in range(len(design.movement.clips))]


def _verdict(design: Design, index: int, robot: Robot, model: mujoco.MjModel) -> Verdict:
    movement, clip = design.movement, design.movement.clips[index]
    player = Player(movement, robot)
    loop = Loop(Many(mujoco.batch.Batch(model, 1, 1)), robot, player, nominal_plant(robot, 1))
    qpos = standing(model, robot, movement.joint_pos[clip.start], np.zeros(1))
    qpos[0, :3], qpos[0, 3:7] = design.base[clip.start], movement.anchor_quat_wxyz[clip.start]
    loop.reset(qpos)
    loop.activate()
    wait = round(REST * movement.fps)
    player.frames = np.concatenate(
        [np.full(wait, clip.start), np.arange(clip.start, clip.end), np.full(wait, clip.end - 1)]
    )
    seen: list[np.ndarray] = []

    def look(action: int | None, motion: Motion) -> None:
        seen.append(motion.qpos[0, -1])

    loop.walk(np.zeros((1, len(player.frames), 3)), None, look)
    reached = np.array(seen)[wait:]
    frames = player.frames[wait:]
    distance = np.linalg.norm(reached[:, :3] - design.base[frames], axis=-1)
    angle = between(reached[:, 3:7], movement.anchor_quat_wxyz[frames])
    worst = float(distance.max()), float(angle.max())
    size = growth(robot, "m")
    fell = worst[0] > FAR[0] * size or worst[1] > FAR[1]
    near = worst[0] <= NEAR[0] * size and worst[1] <= NEAR[1]
    says: Says = "falls" if fell else "holds up" if near else "strays"
    return Verdict(clip.name, (clip.end - clip.start - 1) / movement.fps, says, *worst, reached)


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angles (…) rad of the turns between orientations (…, 4)."""
    turn = product(conjugate(a), b)
    return 2.0 * np.arctan2(np.linalg.norm(turn[..., 1:], axis=-1), np.abs(turn[..., 0]))


class Player:
    """A `walkies.deploy.controllers.Controller` that asks for the angles of frames, whatever the robot does."""

    action_ticks = 1
    start_up = 0
    ahead = 1
    fade_in = 0.0
    failure = ""
    frames: np.ndarray
    """(steps,) to be played"""

    def __init__(self, movement: Movement, robot: Robot) -> None:
        self.movement, self.robot, self.tick_rate = movement, robot, movement.fps
        self.action = self.applied = np.zeros((1, robot.num_joints), np.float32)
        self.failed = np.zeros(1, bool)

    def activate(self, sensors: Sensors) -> None:
        self.step = 0

    def tick(
        self, sensors: Sensors, velocity_command: np.ndarray | None, emergency_stop: bool | np.ndarray = False
    ) -> MotorCommand:
        target = np.clip(self.movement.joint_pos[self.frames[self.step]], *self.robot.target_limits())[None]
        self.step += 1
        return MotorCommand(target, *(np.full(target.shape, gain) for gain in (self.robot.kp, self.robot.kd)))
