"""Rows of a measurement that was stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from walkies.lab import runner
from walkies.run.folders import LockedRun, locked


@pytest.fixture
def rows(tmp_path: Path) -> list[runner.Row]:
    """Rows 0 … 3, each a file; the second was there before."""

    def row(number: int) -> runner.Row:
        path = tmp_path / f"{number}.txt"

        def make() -> None:
            if number == 2 and not (tmp_path / "again").exists():
                (tmp_path / "again").touch()
                raise KeyboardInterrupt
            path.write_text("made")

        return runner.Row(f"row {number}", path.exists, make, lambda: path.read_text() if path.exists() else "")

    (tmp_path / "1.txt").write_text("before")
    return [row(number) for number in range(4)]


def test_a_measurement_that_was_stopped_goes_on_with_what_is_missing(rows, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        runner.make(rows, tmp_path)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "2 of 4: row 0" and said[1].startswith("3 of 4: row 2 (about 0 minutes left)")
    assert said[2] == "2 of 4 rows are finished; the same command makes the others"
    assert runner.listing(rows).splitlines() == [
        "row 0  finished  made", "row 1  finished  before", "row 2  missing", "row 3  missing", "2 of 4 rows finished",
    ]  # fmt: skip
    runner.make(rows, tmp_path)
    assert (tmp_path / "1.txt").read_text() == "before" and runner.listing(rows).endswith("4 of 4 rows finished")
    capsys.readouterr()
    runner.make(rows, tmp_path)
    assert not capsys.readouterr().err, "nothing is made twice"


def test_two_processes_do_not_make_the_same_rows(rows, tmp_path):
    with locked(tmp_path), pytest.raises(LockedRun):
        runner.make(rows, tmp_path)


def test_a_row_that_fails_ends_the_measurement_and_keeps_the_others(tmp_path):
    done = []

    def fail() -> None:
        raise ValueError("no")

    one = runner.Row("one", lambda: bool(done), lambda: done.append(1))
    with pytest.raises(ValueError, match="no"):
        runner.make([one, runner.Row("two", lambda: False, fail)], tmp_path / "new")
    assert done and not (tmp_path / "new").exists(), "a folder that stayed empty is removed"
