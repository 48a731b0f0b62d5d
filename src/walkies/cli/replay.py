"""`walkies replay`: a log of the real robot against its policy file and the simulator."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated

import tyro

from walkies.accel.cpu import MujocoThreads
from walkies.deploy.identification.identify import identify
from walkies.deploy.identification.replay import as_json, describe_log, describe_robot, reproduce
from walkies.deploy.policy_file import read as read_policy
from walkies.deploy.recordings.align import align
from walkies.deploy.recordings.logs import read
from walkies.errors import UserError
from walkies.files import write_json
from walkies.judge.exam import robot_of
from walkies.run.folders import find_policy
from walkies.terminal import say

SHARE_PAIRED = 0.5
"""Share of the observations whose action must also be in the log for the comparison to mean something."""


def command(
    log: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="LOG")],
    policy: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="POLICY")],
    /,
    held: bool | None = None,
    out: Path | None = None,
    threads: MujocoThreads = 0,
    json: bool = False,
) -> int:
    """Compare a log of the robot with its policy and fit the simulator to it; exit status 1 if the policy is another.

    Observations are read with the frame that the policy file lists, whatever its signals and their order. The
    comparison with the policy is printed even if nothing can be fitted.

    Args:
        log: a ROS 2 bag, or CSV, of ~/observation, ~/policy_output and ~/position_command.
        policy: the policy.json that the robot ran, or its run folder.
        held: whether the robot was held in the air with its legs free; default: detected from the motion of its trunk.
        out: also write the result as JSON to this file.
        threads: CPU threads for MuJoCo, 0 for all cores.
        json: print the result as JSON.
    """
    path = find_policy(policy)
    ran = read_policy(path)
    robot = robot_of(ran)
    aligned = align(read(log), ran, robot)
    reproduction = reproduce(aligned, ran)
    if reproduction.compared < SHARE_PAIRED * aligned.received:
        raise UserError(
            f"{log}: only {reproduction.compared} of {aligned.received} observations have their policy_output in the "
            "log; record both topics, from the same controller"
        )
    if not json:
        say(describe_log(aligned, reproduction))
    found = identify(aligned, ran, robot, held, threads)
    result = as_json(aligned, reproduction, found)
    say(dumps(result, indent=2) if json else describe_robot(found, robot))
    if out is not None:
        write_json(out, result, indent=1)
    return 0 if reproduction.reproduced else 1
