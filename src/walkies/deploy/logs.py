"""Recordings of the robot's topics: read from a ROS 2 bag (extra `ros`) or CSV, written as CSV.

The controller publishes three arrays with every action, none of them stamped (neural_controller.cpp,
pupperv3-monorepo): all that is known of time is when the recorder received them. It drops a message rather than wait
for its publisher.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from walkies.errors import UserError
from walkies.files import writing

TOPICS = ("observation", "policy_output", "position_command")
"""The last words of the topics' names; before them stands the controller's, as in `/neural_controller/observation`."""
LONG_HEADER = ("time", "topic", "values")
BAG_SUFFIXES = (".mcap", ".db3")
HOW_TO = (
    "record one with `ros2 bag record /neural_controller/observation /neural_controller/policy_output "
    "/neural_controller/position_command`"
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
    """(M, H·36)"""
    policy_output: Messages
    """(M, 12), the network's output"""
    position_command: Messages
    """(M, 12) rad, after fade-in and the controller's clamp"""


def read(path: Path | str) -> Recording:
    """The recording at `path`: a bag's folder, an `.mcap` or `.db3` file, a CSV file, or a folder of three CSV files.

    A CSV file has one message a row, `time,topic,value,value,…` with a header; a folder holds observation.csv,
    policy_output.csv and position_command.csv with a header and rows `time,value,value,…`. Times are in s.

    Raises:
        UserError: nothing there that can be read as one of these.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such recording; {HOW_TO}")
    if path.suffix in BAG_SUFFIXES or (path.is_dir() and (path / "metadata.yaml").exists()):
        return _gather(path, _bag_rows(path))
    if path.is_dir():
        missing = [f"{topic}.csv" for topic in TOPICS if not (path / f"{topic}.csv").exists()]
        if missing:
            raise UserError(
                f"{path}: neither a ROS 2 bag (no metadata.yaml) nor a folder of CSV files (no {', '.join(missing)}); "
                + HOW_TO
            )
        return _gather(path, (row for topic in TOPICS for row in _topic_rows(path / f"{topic}.csv", topic)))
    if path.suffix == ".csv":
        return _gather(path, _long_rows(path))
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
        writer.writerow(LONG_HEADER)
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
        raise UserError(f"{path}: no messages of {topic}; {HOW_TO}")
    sizes = {len(values) for _, values in rows}
    if len(sizes) != 1:
        raise UserError(f"{path}: {topic}: got messages of {sorted(sizes)} numbers, expected all of one size")
    rows.sort(key=lambda row: row[0])
    time, values = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], np.float32)
    if not (np.all(np.isfinite(time)) and np.all(np.isfinite(values))):
        raise UserError(f"{path}: {topic}: some times or values are not finite numbers")
    return Messages(time, values.astype(float))


def _long_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header[:2]) != LONG_HEADER[:2]:
            raise UserError(f"{path}: got the header {','.join(header)[:60]!r}, expected time,topic,values…")
        for row in filter(None, reader):
            if len(row) < 3:
                raise UserError(f"{path}:{reader.line_num}: expected time,topic,value,value,…")
            time, *values = _numbers(path, reader.line_num, [row[0], *row[2:]])
            yield row[1], time, values


def _topic_rows(path: Path, topic: str) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader, None)
        for row in filter(None, reader):
            time, *values = _numbers(path, reader.line_num, row)
            yield topic, time, values


def _numbers(path: Path, line: int, cells: list[str]) -> list[float]:
    try:
        return [float(cell) for cell in cells if cell.strip()]
    except ValueError as error:
        raise UserError(f"{path}:{line}: expected numbers: {error}") from error


def _data(message: Any) -> np.ndarray:
    return np.asarray(message.data)


def _bag_rows(path: Path) -> Iterator[Row]:
    from rosbags.highlevel import AnyReader, AnyReaderError
    from rosbags.typesys import Stores, get_typestore

    folder = path if path.is_dir() else path.parent
    if not (folder / "metadata.yaml").exists():
        raise UserError(f"{path}: the bag's metadata.yaml is missing; `ros2 bag reindex` writes it again")
    try:
        with AnyReader([folder], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            wanted = [c for c in reader.connections if c.topic.rpartition("/")[2] in TOPICS]
            for connection in wanted:
                if not connection.msgtype.endswith("MultiArray"):
                    raise UserError(f"{path}: {connection.topic} is {connection.msgtype}, expected a MultiArray")
            for connection, time, raw in reader.messages(wanted) if wanted else ():
                yield connection.topic, time * 1e-9, _data(reader.deserialize(raw, connection.msgtype))
    except AnyReaderError as error:
        raise UserError(f"{path}: cannot be read as a ROS 2 bag: {error}") from error
