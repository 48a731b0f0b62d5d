"""The judge: a fixed, seeded examination of an exported policy in MuJoCo, and its report card.

It reads nothing but the `policy.json` that the robot would load, drives MuJoCo's own solver to convergence, lets the
robot's parts touch each other, and gives every episode another body, other motors, delays, pushes and commands
(`walkies.exam_conditions`). Its seeds are never used in training.
"""

from __future__ import annotations

import json as json_module
import time
from pathlib import Path
from typing import Annotated, Any

import tyro

from walkies.deploy.policy_file import PolicyFile, read
from walkies.errors import UserError
from walkies.exam_drive import drive
from walkies.exam_report import markdown, report
from walkies.files import write_json, write_text
from walkies.robots import get_robot
from walkies.robots.base import Robot
from walkies.runs import find_policy, refuse_unwritable

JSON_NAME = "report.json"
CARD_NAME = "report_card.md"


def robot_of(policy: PolicyFile) -> Robot:
    """The robot a policy is for: the one it names, else Pupper."""
    try:
        return get_robot(policy.robot_name)
    except ValueError as error:
        raise UserError(f"walkies.robot in the policy file: {error}") from error


def examine(policy: PolicyFile, episodes: int = 100, seed: int = 0, threads: int = 0) -> dict[str, Any]:
    """Examine a policy; the report card as JSON data (keys in `walkies.exam_report.report`).

    The same seed and episodes give the same card, bit for bit, whatever the number of threads (0: all cores).
    """
    record, drawn = drive(policy, robot_of(policy), episodes, seed, threads)
    return report(drawn, record, seed, {"robot": robot_of(policy).name})


def command(
    target: Annotated[Path, tyro.conf.Positional],
    /,
    episodes: int = 100,
    seed: int = 0,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Examine a policy in MuJoCo, on robots, floors and delays it has never met, and print its report card.

    Args:
        target: a run folder, or any policy.json.
        episodes: how many episodes of 20 seconds.
        seed: which examination paper; every number gives other robots and commands, none of them used in training.
        out: folder for report.json and report_card.md; a run folder gets them without being asked.
        json: print the report as JSON.
    """
    path = find_policy(target)
    policy = read(path)
    if out is not None:
        refuse_unwritable(out)
    started = time.perf_counter()
    card = examine(policy, episodes, seed)
    seconds = time.perf_counter() - started
    folder = out if out is not None else (target if target.is_dir() else None)
    if folder is not None:
        write_report(card, folder)
    if json:
        print(json_module.dumps(card, indent=2))
        return
    print(markdown(card))
    where = "" if folder is None else f" Written to {folder / JSON_NAME} and {folder / CARD_NAME}."
    print(f"{path} examined in {seconds:.0f} s.{where}")


def write_report(card: dict[str, Any], folder: Path) -> None:
    """Write report.json and the report card into `folder`."""
    write_json(folder / JSON_NAME, card)
    write_text(folder / CARD_NAME, markdown(card))
