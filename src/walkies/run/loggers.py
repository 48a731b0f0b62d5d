"""Loggers of a training: a CSV file, TensorBoard, and Weights & Biases on request.

A record is one row: {"steps": …, "seconds": …, "reward": …}. `steps` counts control steps over all robots; it orders
the rows, and on resume everything after the resumed step is dropped.
"""

from __future__ import annotations

import csv
import inspect
import io
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

import numpy as np

from walkies.errors import UserError
from walkies.files import is_number, read_text, shown, write_text

Record = Mapping[str, float]
WANDB_ID = "wandb-id"
"""File of a run folder with its W&B run's id."""
LARGEST = 1024**3
"""Bytes of a CSV that are read at most: about a million records."""


class Logger(Protocol):
    """A destination of records."""

    def log(self, record: Record) -> None:
        """Log one record; it has the key `steps`."""
        ...

    def close(self) -> None:
        """Flush everything to disk."""
        ...


class CsvLogger:
    """One row per record; a new column may appear later (older rows stay empty there)."""

    def __init__(self, path: Path, resume_steps: int | None = None) -> None:
        """Start a new `path`, or keep its rows up to `resume_steps` and append.

        A row torn by a kill is dropped.

        Raises:
            UserError: the file exists but is not such a CSV.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._columns: list[str] = []
        self._rows: list[list[str]] = []
        self._file: TextIO | None = None
        # A run killed before its first record leaves an empty file: nothing to keep, and no reason not to resume.
        if resume_steps is not None and begun(path):
            self._columns, rows = _parse(path)
            at = self._columns.index("steps")
            self._rows = [row for row in rows if float(row[at]) <= resume_steps]
        self._rewrite()

    def log(self, record: Record) -> None:
        new = [name for name in record if name not in self._columns]
        row = [repr(float(record[name])) if name in record else "" for name in [*self._columns, *new]]
        self._rows.append(row)
        if new:
            self._columns += new
            self._rewrite()
            return
        assert self._file is not None  # `_rewrite` opened it
        self._file.write(_format([row]))
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _rewrite(self) -> None:
        """Write the whole file under another name, then swap."""
        width = len(self._columns)
        text = _format([self._columns, *(row + [""] * (width - len(row)) for row in self._rows)]) if width else ""
        write_text(self.path, text)
        self.close()
        self._file = self.path.open("a", encoding="utf-8", newline="")


class TensorBoardLogger:
    """Scalars in TensorBoard's event files: tensorboard --logdir RUN."""

    def __init__(self, folder: Path, resume_steps: int | None = None) -> None:
        from tensorboardX import SummaryWriter
        from tensorboardX.proto.summary_pb2 import Summary

        self._summary = Summary
        # TensorBoard itself discards what an earlier file holds from purge_step on.
        purge = None if resume_steps is None else resume_steps + 1
        self._writer = SummaryWriter(str(folder), purge_step=purge, flush_secs=10)

    def log(self, record: Record) -> None:
        # One event of all numbers: an event for each takes a tenth of a training iteration.
        values = [
            self._summary.Value(tag=name, simple_value=float(value))
            for name, value in record.items()
            if name != "steps"
        ]
        self._writer.file_writer.add_summary(self._summary(value=values), int(record["steps"]))

    def close(self) -> None:
        self._writer.close()


class WandbLogger:
    """Weights & Biases; needs the extra `wandb` and an account, or WANDB_MODE=offline."""

    def __init__(self, folder: Path, project: str, config: Mapping[str, Any], resume_steps: int | None = None) -> None:
        """A run of `project` under the folder's name; resuming continues the same run.

        Its id is drawn once and kept in the folder: names such as pupper-0 recur, and W&B accepts an id only once. W&B
        drops records that are logged a second time after a resume; they are the same bit for bit.

        Raises:
            ModuleNotFoundError: wandb is not installed (the command line says how to install it).
            UserError: W&B refuses the run, for instance because nobody is logged in.
        """
        import wandb

        kept = folder / WANDB_ID
        known = resume_steps is not None and kept.is_file()
        name = kept.read_text(encoding="utf-8").strip() if known else secrets.token_hex(8)
        try:
            self._run = wandb.init(
                project=project, name=folder.resolve().name, id=name, dir=folder, config=dict(config),
                resume="allow" if known else "never",
            )  # fmt: skip
        except wandb.Error as error:
            raise UserError(
                f"--wandb {project}: W&B refuses the run ({error}); log in with `wandb login`, set WANDB_MODE=offline "
                "to send it later with `wandb sync`, or leave --wandb out"
            ) from error
        write_text(kept, f"{name}\n")

    def log(self, record: Record) -> None:
        self._run.log(dict(record), step=int(record["steps"]))

    def upload(self, policy: Path) -> None:
        """Upload the policy's file to the root of the run's files, replacing an earlier one.

        There the robot's `./deploy.sh RUN` looks for the name policy.json (pupper_gait_deploy, download_policy.py).

        Raises:
            UserError: W&B finds no such file.
        """
        # Without a base path W&B keeps the file's folder as a part of its name, and a path is a pattern to it, also the
        # folders in it, unless it can be told otherwise.
        literal = {"glob": False} if "glob" in inspect.signature(self._run.save).parameters else {}
        if not self._run.save(str(policy), base_path=str(policy.parent), policy="now", **literal):
            raise UserError(
                f"W&B took no {policy}; where a folder's name holds one of *?[, which this version of W&B reads as a "
                "pattern, upload it by hand or install a newer one"
            )

    def close(self) -> None:
        self._run.finish()


@contextmanager
def open_loggers(
    folder: Path, *, resume_at: int | None = None, wandb: str | None = None, config: Mapping[str, Any] | None = None
) -> Iterator[list[Logger]]:
    """The loggers of the run in `folder`, closed at the end: CSV, TensorBoard, and W&B if a project is named.

    With `resume_at` (control steps) they continue after that step and drop everything later.
    """
    with ExitStack() as stack:
        loggers: list[Logger] = [
            CsvLogger(folder / "progress.csv", resume_at),
            TensorBoardLogger(folder / "tensorboard", resume_at),
        ]
        if wandb is not None:
            loggers.append(WandbLogger(folder, wandb, config or {}, resume_at))
        for logger in loggers:
            stack.callback(logger.close)
        yield loggers


def upload(loggers: Iterable[Logger], policy: Path) -> None:
    """Upload a policy's file to the loggers that store files, before they are closed."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.upload(policy)


def read(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV that `CsvLogger` wrote, float64, NaN where a row has no value; a torn last row is dropped.

    Raises:
        UserError: the file is missing or is not such a CSV.
    """
    columns, rows = _parse(path)
    values = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows]).reshape(-1, len(columns))
    return dict(zip(columns, values.T, strict=True))


def begun(path: Path) -> bool:
    """Whether a training has written its first record to `path`; until then the file is empty or missing."""
    return path.is_file() and path.stat().st_size > 0


def _parse(path: Path) -> tuple[list[str], list[list[str]]]:
    text = read_text(path, "the curves of a run, as `walkies train --out` writes them", LARGEST)
    whole = text[: text.rfind("\n") + 1]
    try:
        columns, *rows = [*csv.reader(io.StringIO(whole))] or [[]]
    except csv.Error as error:
        raise UserError(f"{path} is damaged ({error}); expected the curves of a run") from error
    if "steps" not in columns or len(set(columns)) != len(columns):
        raise UserError(f"{path}: expected a header of distinct names with `steps`, got {shown(columns)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise UserError(f"{path}, line {number}: got {len(row)} cells, expected {len(columns)}")
        for name, cell in zip(columns, row, strict=True):
            if not is_number(cell) and (cell or name == "steps"):
                raise UserError(f"{path}, line {number}, column {name}: got {shown(repr(cell))}, expected a number")
    return columns, rows


def _format(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
