"""Recordings of the robot's topics: read from a ROS 2 bag or CSV, written as CSV.

The controller publishes three arrays with every action, none of them stamped (neural_controller.cpp,
pupperv3-monorepo): the only times are those at which the recorder received them. The controller drops a message rather
than wait for its publisher.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from walkies.deploy.recordings.bag import SUFFIXES, bag_rows, is_bag
from walkies.deploy.recordings.csv import HEADER, long_rows, topic_rows
from walkies.errors import UserError
from walkies.files import shown, writing

TOPICS = ("observation", "policy_output", "position_command")
"""The last words of the topics' names; before them stands the controller's, as in `/neural_controller/observation`."""
MOST_SIZES = 3
"""that an error repeats"""
HOW_TO = (
    "record one with `ros2 bag record /neural_controller/observation /neural_controller/policy_output "
    "/neural_controller/position_command` (/neural_controller_student/… for the square button of 2026)"
)


class Messages(NamedTuple):
    """What was received on one topic, in order of time."""

    time: np.ndarray
    """(M,) s, when the recorder received it"""
    values: np.ndarray
    """(M, size)"""


class Recording(NamedTuple):
    """The three topics; M differs from topic to topic, and each may lack messages."""

    observation: Messages
    """(M, H·frame): frames as the policy's file lists their signals, newest first"""
    policy_output: Messages
    """(M, 12), the network's output"""
    position_command: Messages
    """(M, 12) rad, after fade-in and the controller's clamp"""


def read(path: Path | str) -> Recording:
    """The recording at `path`: a bag's folder, an `.mcap` or `.db3` file, a CSV file, or a folder of three CSV files.

    A CSV file has one message a row, `time,topic,value,value,…` with a header; a folder holds observation.csv,
    policy_output.csv and position_command.csv with a header and rows `time,value,value,…`. Times are in s.

    Raises:
        UserError: nothing there that can be read as one of these, or it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such recording; {HOW_TO}")
    if is_bag(path):
        return _gather(path, bag_rows(path, TOPICS))
    if path.is_dir():
        missing = [f"{topic}.csv" for topic in TOPICS if not (path / f"{topic}.csv").exists()]
        if missing:
            raise UserError(
                f"{path}: neither a ROS 2 bag (no {' or '.join(SUFFIXES)} file) nor a folder of CSV files "
                f"(no {', '.join(missing)}); {HOW_TO}"
            )
        return _gather(path, (row for topic in TOPICS for row in topic_rows(path / f"{topic}.csv", topic)))
    if path.suffix.lower() == ".csv":
        return _gather(path, long_rows(path))
    raise UserError(f"{path}: expected a ROS 2 bag (its folder, .mcap or .db3), a .csv file or a folder of .csv files")


def write_csv(path: Path | str, recording: Recording) -> None:
    """Write all three topics into one CSV file that `read` reads back exactly (float32 values)."""
    rows = sorted(
        (time, topic, values)
        for topic, messages in zip(TOPICS, recording, strict=True)
        for time, values in zip(messages.time.tolist(), messages.values.astype(np.float32).tolist(), strict=True)
    )
    with writing(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows([repr(time), topic, *(f"{value:.9g}" for value in values)] for time, topic, values in rows)


Row = tuple[str, float, Any]
"""Topic as recorded, time in s, values."""


def _gather(path: Path, rows: Iterable[Row]) -> Recording:
    """Sort rows by topic; where several controllers were recorded, the one with the most observations counts."""
    found: dict[str, list[tuple[float, Any]]] = defaultdict(list)
    for topic, time, values in rows:
        if topic.rpartition("/")[2] in TOPICS:
            found[topic].append((time, values))
    observations = {topic: len(rows) for topic, rows in found.items() if topic.rpartition("/")[2] == "observation"}
    if not observations:
        raise UserError(f"{path}: no messages of a topic …/observation; {HOW_TO}")
    prefix = max(observations, key=observations.__getitem__).rpartition("/")
    node = prefix[0] + prefix[1]
    return Recording(*(_messages(path, node + topic, found[node + topic]) for topic in TOPICS))


def _messages(path: Path, topic: str, rows: list[tuple[float, Any]]) -> Messages:
    if not rows:
        raise UserError(f"{path}: no messages of {shown(topic)}; {HOW_TO}")
    sizes = sorted({len(values) for _, values in rows})
    if len(sizes) != 1:
        got = f"{', '.join(map(str, sizes[:MOST_SIZES]))}{' and more' if len(sizes) > MOST_SIZES else ''}"
        raise UserError(f"{path}: {shown(topic)}: got messages of {got} numbers, expected all of one size")
    rows.sort(key=lambda row: row[0])
    with np.errstate(over="ignore"):  # told below
        time, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], np.float32)
    if not (np.all(np.isfinite(time)) and np.all(np.isfinite(values))):
        raise UserError(f"{path}: {shown(topic)}: some times or values are not finite numbers")
    return Messages(time, values.astype(float))
