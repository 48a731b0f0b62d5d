"""Many robots at once through the robot's own control protocol, each under a condition of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from walkies import memory
from walkies.deploy.controllers import CONTROLLERS
from walkies.deploy.policy_file import PolicyFile
from walkies.judge.exam import at_full_stick
from walkies.judge.falls import Falls
from walkies.judge.loop import Loop, Many, Motion, standing
from walkies.judge.motion.trick import Frames
from walkies.judge.ranges import SETTLE
from walkies.judge.rehearsal import world
from walkies.judge.rehearsal.conditions import Condition, Script, scripts
from walkies.later import mujoco
from walkies.quaternions import rotation_of
from walkies.robots.base import Robot
from walkies.sim import conditions as vocabulary


class Outcome(NamedTuple):
    """How n robots fared. Errors and power are means over the time a robot walked; NaN where it never got there."""

    cause: np.ndarray
    """(n,) str: why the robot fell, '' where it did not"""
    fell_at: np.ndarray
    """(n,) s after the policy took over; the whole time where the robot did not fall"""
    lin_vel_error: np.ndarray
    """(n,) m/s, over the time from SETTLE after each change of command"""
    yaw_rate_error: np.ndarray
    """(n,) rad/s, likewise"""
    yaw_rate: np.ndarray
    """(n,) rad/s, the mean, likewise"""
    power: np.ndarray
    """(n,) W, sum over joints of |torque × motor speed|"""
    final_qpos: np.ndarray
    """(n, nq)"""


def drive(
    policy: PolicyFile,
    robot: Robot,
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    seconds: float,
    threads: int = 0,
    command: tuple[float, float, float] | None = None,
) -> Outcome:
    """Rehearse one robot per condition and seed: start-up, then `seconds` under the policy.

    command: m/s, m/s, rad/s, held once actions have faded in; None: those of each seed's script.

    The result for a robot does not depend on which others there are, nor on the number of threads (0: all cores).

    Raises:
        ValueError: conditions with different tick rates; they cannot share a clock.
    """
    given = vocabulary.columns(conditions)
    if len(set(given["tick_rate"])) != 1:
        raise ValueError("tick_rate: expected the same for all robots of a call")
    controller = CONTROLLERS[robot.protocol](policy, robot, float(given["tick_rate"][0]) or None)
    dt = controller.action_ticks / controller.tick_rate
    script = scripts(at_full_stick(policy, robot), seeds, round(seconds / dt), dt, controller.fade_in)
    if command is not None:
        script = held(script, command, round(controller.fade_in / dt))
    model = world.model_for(robot, controller.tick_rate, backlash=bool(given["backlash"].any()))
    batch = mujoco.batch.Batch(model, len(conditions), threads)
    world.apply(batch, robot, given, script)
    plant = world.plant(given, script, robot, model.opt.timestep)
    loop = Loop(Many(batch), robot, controller, plant, world.senses(given, script))
    loop.reset(standing(model, robot, policy.default_joint_pos, script.yaw))
    loop.activate()
    down, movement = vocabulary.down(given["slope"], script.slope_direction), policy.blocks.trick
    tally = _Tally(loop, script, dt, Falls(loop, down) if movement is None else Frames(loop, movement))
    loop.walk(script.command, world.pushes(given, script, dt), tally)
    return tally.outcome()


def held(script: Script, command: tuple[float, float, float], start: int) -> Script:
    """The script with one command from action number `start` on, and none before, when nothing counts as settled."""
    since = np.arange(script.command.shape[1]) - start
    given = np.where(since[:, None] >= 0, np.array(command), 0.0)
    since = np.maximum(since, 0)
    return script._replace(
        command=np.broadcast_to(given, script.command.shape),
        since_change=np.broadcast_to(since, script.since_change.shape),
    )


def refuse_too_many(policy: PolicyFile, robot: Robot, robots: int, seconds: float) -> None:
    """Refuse what would not fit into memory: a script for each of so many robots over so many seconds.

    Raises:
        UserError: with the memory that is needed and the memory that is there.
    """
    controller = CONTROLLERS[robot.protocol](policy, robot, None)
    dt = controller.action_ticks / controller.tick_rate
    script = memory.size_of(scripts(robot, [0], round(seconds / dt), dt))
    memory.refuse(robots * script, f"{robots:,} robots for {seconds:g} s", "take fewer --robots or --seconds")


class _Tally:
    """Sums over the time that each robot walked."""

    def __init__(self, loop: Loop, script: Script, dt: float, falls: Falls | Frames) -> None:
        n, actions = script.since_change.shape
        self.loop, self.script, self.dt, self.falls = loop, script, dt, falls
        self.told = isinstance(falls, Falls)
        """Whether the policy follows commands."""
        self.fell_at = np.full(n, actions * dt)
        self.sums = {name: np.zeros(n) for name in ("lin_vel_error", "yaw_rate_error", "yaw_rate", "power")}
        self.counts = {name: np.zeros(n, int) for name in self.sums}

    def __call__(self, action: int | None, motion: Motion) -> None:
        fallen = self.falls.look(motion)
        if action is None:
            return
        self.fell_at[fallen] = action * self.dt
        alive, qvel = self.loop.alive, motion.qvel[:, -1]
        settled = self.told & alive & (self.script.since_change[:, action] * self.dt >= SETTLE - 1e-9)
        velocity = np.einsum("nij,ni->nj", rotation_of(motion.qpos[:, -1, 3:7]), qvel[:, :3])
        command = self.script.command[:, action]
        speed = motion.qvel[:, 1:, self.loop.where.qvel]
        values = {
            "lin_vel_error": (np.linalg.norm(velocity[:, :2] - command[:, :2], axis=-1), settled),
            "yaw_rate_error": (np.abs(qvel[:, 5] - command[:, 2]), settled),
            "yaw_rate": (qvel[:, 5], settled),
            "power": (np.abs(motion.torque * speed).sum(axis=-1).mean(axis=-1), alive),
        }
        for name, (value, counted) in values.items():
            self.sums[name] += np.where(counted, value, 0.0)
            self.counts[name] += counted

    def outcome(self) -> Outcome:
        means = {
            name: np.divide(total, self.counts[name], out=np.full(len(total), np.nan), where=self.counts[name] > 0)
            for name, total in self.sums.items()
        }
        return Outcome(self.falls.cause, self.fell_at, **means, final_qpos=self.loop.qpos.copy())
