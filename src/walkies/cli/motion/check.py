"""`walkies motion check`: does a movement fit a robot, and does it hold up in physics?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from walkies.cli.tables import show, titled
from walkies.errors import UserError
from walkies.files import write_bytes
from walkies.judge.motion.replay import Verdict, verdicts
from walkies.robots import DEFAULT, get_robot, load_model
from walkies.robots.base import Robot
from walkies.run.folders import refuse_unwritable
from walkies.tasks.motion import task
from walkies.tasks.motion.course_file import packed
from walkies.tasks.motion.design import Design
from walkies.tasks.motion.task import MotionConfig


def command(
    source: str,
    /,
    robot: str = DEFAULT,
    film: Path | None = None,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Work out the joint angles of a movement, play them to a robot's servos in MuJoCo, and say whether it holds up.

    No policy is needed. A movement that falls here may still be learned: a policy sees that it falls, the servos do
    not. To learn it: walkies train pupper --preset trick --task.motion.file SOURCE

    Args:
        source: one of walkies' own (bow, dance, sit, wave), or a TOML file with a design (docs/tricks.md).
        robot: the robot to move.
        film: also make a video of the replay, mp4.
        out: also write the movement in the format of the course's tracking task (pupper-mjlab), npz.
        json: print the table as JSON.
    """
    for path, flag in ((film, "--film"), (out, "--out")):
        if path is not None:
            refuse_unwritable(path.parent, flag)
    if out is not None and out.suffix != ".npz":
        raise UserError(f"--out {out}: expected a name that ends with .npz")
    machine = get_robot(robot)
    model = load_model(machine, visuals=False)
    design = task.load(MotionConfig(file=source), machine, model)
    found = verdicts(design, machine)
    table = titled(f"{design.movement.name}, {machine.name}", "clip", "seconds", "then", "off by, m", "off by, °", "")
    for clip, one in zip(design.movement.clips, found, strict=True):
        then = "loops" if clip.loop else clip.next or "holds its end"
        worst = f"{one.distance:.3f}", f"{np.degrees(one.angle):.1f}"
        table.add_row(one.clip, f"{one.seconds:.2f}", then, *worst, one.says)
    show([table], json)
    if out is not None:
        write_bytes(out, packed(design, machine, model))
    if film is not None:
        _film(film, machine, design, found)


def _film(out: Path, robot: Robot, design: Design, found: list[Verdict]) -> None:
    from walkies.show.film import film_motions, shown
    from walkies.show.replay import Trajectory

    qpos = np.concatenate([one.qpos for one in found]).astype(np.float32)
    clips = np.repeat([one.clip for one in found], [len(one.qpos) for one in found])
    rows = len(qpos)
    still = np.zeros((rows, 3), np.float32)
    touching = np.zeros((rows, len(robot.foot_geoms)), bool)
    torque = np.zeros((rows, robot.num_joints), np.float32)
    motion = Trajectory(robot.name, 1.0 / design.movement.fps, qpos, still, still, touching, torque, clips)
    with shown("Filming") as report:
        film_motions([motion], out, report=report)
