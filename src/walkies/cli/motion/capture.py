"""`walkies motion capture`: the gait of a trained policy, as a reference for another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.table import Table

from walkies.bounds import Between
from walkies.cli.tables import show, titled
from walkies.deploy import policy_file
from walkies.deploy.policy_file import PolicyFile
from walkies.errors import UserError
from walkies.files import write_json
from walkies.judge import steady
from walkies.judge.exam import robot_of
from walkies.judge.ranges import TIMESTEP
from walkies.judge.steady import Steady
from walkies.run.folders import find_policy, refuse_unwritable
from walkies.tasks.gait.capture import Cycle, capture, for_backward_phase
from walkies.tasks.gait.fast import FastGait
from walkies.terminal import say

Speed = Annotated[float, Between(0.0, 100.0, "(]")]
"""m/s"""
DIRECTIONS = ("forward", "backward")


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    speed: Speed = 1.2,
    backward: Speed | None = None,
    out: Path = Path("fast.json"),
    mirror: bool = True,
    json: bool = False,
) -> None:
    """Capture the gait of a trained policy at a steady speed, forward and backward, as a reference for other trainings.

    The policy walks in MuJoCo in nominal conditions; prints the speeds that it reaches. To train with the gait:
    walkies train --preset mixed-gaits --task.gait.fast FILE.

    Args:
        target: a run folder, or any policy.json.
        speed: commanded forward speed, m/s.
        backward: commanded backward speed, m/s; default: as forward.
        out: the file, JSON: tables of joint angles over one cycle, the gait's frequency, and the speeds reached.
        mirror: average each gait with its left-right mirror image half a cycle later.
        json: print the table as JSON.
    """
    refuse_unwritable(out.parent)
    path = find_policy(target)
    policy = policy_file.read(path)
    robot = robot_of(policy)
    speeds = np.array([speed, -(speed if backward is None else backward)])
    refuse_clipped(policy, speeds)
    walked = steady.walk(policy, robot, speeds[:, None] * [1.0, 0.0, 0.0])
    cycles = []
    for i, direction in enumerate(DIRECTIONS):
        if cause := walked.cause[i]:
            raise UserError(
                f"{path}: told to walk {direction} at {abs(speeds[i]):g} m/s the robot fell ({cause}); expected it to "
                f"walk on for {steady.SECONDS:g} s: choose a lower speed, or train longer"
            )
        try:
            cycles.append(capture(walked.joints[i], TIMESTEP, robot, mirror))
        except UserError as error:
            raise UserError(f"{path}, {direction} at {abs(speeds[i]):g} m/s: {error}") from error
    show([table(speeds, walked, cycles)], json)
    write_json(out, document(robot.name, list(robot.joint_names), walked, cycles)._asdict(), indent=None)
    if not json:
        say(str(out))


def refuse_clipped(policy: PolicyFile, speeds: np.ndarray) -> None:
    """Refuse forward velocities (n,), m/s, that the policy is never told.

    Raises:
        UserError: the file clips commands to less.
    """
    clip = policy.blocks.command_clip
    if clip is None or clip.vx is None:
        return
    low, high = clip.vx
    if (speeds < low).any() or (speeds > high).any():
        raise UserError(
            f"--speed: got {', '.join(f'{speed:g}' for speed in speeds)} m/s, expected from {low:g} to {high:g}, to "
            "which the policy's file clips forward commands; a larger range is trained with --task.commands.forward"
        )


def document(robot: str, joint_names: list[str], walked: Steady, cycles: list[Cycle]) -> FastGait:
    """The file's content. cycles: forward and backward."""
    (forward, back), (speed, back_speed) = cycles, walked.velocity[:, 0].tolist()
    return FastGait(
        robot=robot,
        joint_names=joint_names,
        frequency=forward.frequency,
        speed=speed,
        back_frequency=back.frequency,
        back_speed=back_speed,
        gallop_table=forward.table.tolist(),
        gallop_back_table=for_backward_phase(back.table).tolist(),
    )


def table(speeds: np.ndarray, walked: Steady, cycles: list[Cycle]) -> Table:
    """What was captured."""
    shown = titled(
        "Captured", "direction", "told", "reached", "turns", "frequency", "explained", "from its mirror image"
    )
    for i, cycle in enumerate(cycles):
        ahead, _, turn = walked.velocity[i]
        apart = "–" if cycle.lopsided is None else f"{cycle.lopsided:.0%}"
        shown.add_row(
            DIRECTIONS[i], f"{speeds[i]:g} m/s", f"{ahead:.3f} m/s", f"{turn:.3f} rad/s", f"{cycle.frequency:.3f} Hz",
            f"{cycle.explained:.1%}", apart,
        )  # fmt: skip
    return shown
