"""After a training: a failing examination, film or report is said, and spoils neither the rest nor the run."""

import errno

import pytest

from walkies.cli import train
from walkies.errors import UserError
from walkies.judge import exam
from walkies.run.config import TrainConfig
from walkies.run.folders import RunFolder

PARTS = {"examination": "_examine", "video": "_film", "report": "_report"}
FAILURES = (
    UserError("no GL library renders here"),
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("rendering failed"),
    ValueError("a bug"),
    MemoryError(),
    ImportError("no such library"),
    UnicodeEncodeError("ascii", "≥", 0, 1, "ordinal not in range"),
    ZeroDivisionError(),
)


@pytest.fixture
def finish(tmp_path, monkeypatch):
    """`train.finish` whose parts make a file of their name, or fail as told; its status."""
    folder = RunFolder(tmp_path)
    folder.policy.write_text("{}")

    def run(failures=()):
        def part(what):
            def make(*_):
                if what in failures:
                    raise failures[what]
                (tmp_path / what).touch()

            return make

        for what, name in PARTS.items():
            monkeypatch.setattr(train, name, part(what))
        return train.finish(folder, TrainConfig(out=tmp_path))

    return run


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_any_failure_is_said_and_spoils_nothing_else(failure, finish, tmp_path, capsys):
    for what in PARTS:
        assert finish({what: failure}) == 1
        said = capsys.readouterr().out
        assert f"No {what}: " in said and (str(failure) or type(failure).__name__) in said
        assert ("Traceback" in said) != isinstance(failure, UserError | OSError)
        assert f"{tmp_path}/policy.json" in said and "Continue training: walkies train --resume" in said
        rest = set(PARTS) - {what}
        assert {path.name for path in tmp_path.iterdir()} == {"policy.json", *rest}
        for name in rest:
            (tmp_path / name).unlink()
    assert finish() == 0 and set(PARTS) <= {path.name for path in tmp_path.iterdir()}, "the control"


def test_all_of_it_may_fail(finish, capsys):
    assert finish(dict.fromkeys(PARTS, ValueError("a bug"))) == 1
    said = capsys.readouterr().out
    assert all(f"No {what}: " in said for what in PARTS)


def test_a_machine_without_graphics_has_not_failed(tmp_path, monkeypatch, capsys):
    def no_graphics(*_, report):
        raise UserError("no GL library renders here without a screen")

    monkeypatch.setattr("walkies.show.film.film", no_graphics)
    monkeypatch.setattr(train, "_report", lambda folder: None)
    assert train.finish(RunFolder(tmp_path), TrainConfig(out=tmp_path, exam_episodes=0)) == 0
    assert "No video: no GL library" in capsys.readouterr().out


def test_the_card_is_named_where_it_lies_and_commands_can_be_pasted(tmp_path, monkeypatch, capsys):
    """A card of other than the default size is none of the run's own; a folder's name may need quotes."""
    folder = RunFolder(tmp_path / "my run[1]")
    folder.path.mkdir()
    folder.policy.write_text("{}")
    card = {"passed": False, "survival": 1.0, "lin_vel_error": 0.0, "yaw_rate_error": 0.0, "episode_seconds": 20.0,
            "marks": [], "falls": []}  # fmt: skip
    monkeypatch.setattr(exam, "examine", lambda policy, episodes, seed, *_: {**card, "episodes": episodes, "seed": 0})
    monkeypatch.setattr(exam, "read", lambda path: None)
    for episodes, name in ((100, "report_card.md"), (20, "exams/seed-0-episodes-20.md")):
        config = TrainConfig(out=folder.path, exam_episodes=episodes)
        train._examine(folder, config)
        said = train.summary(folder, config)
        assert (folder.path / name).is_file()
        assert f"{folder.path / name} the examination's report card" in said
        assert f"walkies play '{folder.path}'" in said and f"--out '{folder.path}' --minutes" in said


def test_what_is_to_be_typed_next_is_found_by_the_shell(tmp_path, monkeypatch):
    """`make walk` calls the program by its path; nobody's shell finds it by its name then."""
    program = tmp_path / ".venv/bin/walkies"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    monkeypatch.setattr("sys.argv", [str(program), "train"])
    monkeypatch.setenv("PATH", str(tmp_path))
    said = train.summary(folder, TrainConfig(out=folder.path))
    assert f"browser: {program} play" in said
    assert f"source {program.with_name('activate')}" in said

    monkeypatch.setenv("PATH", str(program.parent))
    said = train.summary(folder, TrainConfig(out=folder.path))
    assert "browser: walkies play" in said
    assert "source" not in said
