"""A run that has just begun, died early or was damaged is a row that says so; it spoils neither the list nor a page."""

import json
import shutil

import pytest
from run_folders import BOX, CARD, a_run

from damage import damaged
from walkies import cli
from walkies.errors import UserError
from walkies.files import write_json
from walkies.judge import report_card
from walkies.run import loggers
from walkies.show import report, runs

FALL = {
    "episode": 3, "seed": 2_000_000_003, "time": 1.0, "cause": "tilt", "command": [0.1, 0.0, 0.0],
    "command_held_s": 0.5, "command_before": [0.0, 0.0, 0.0], "friction": 0.8, "payload_kg": 0.1,
    "trunk_mass_scale": 1.0, "com_shift_m": [0.0, 0.0, 0.0], "kp_scale": 1.0, "kd_scale": 1.0, "command_delay_ms": 4.0,
    "imu_delay_ms": 8.0, "last_push_m_s": 0.2,
}  # fmt: skip
FILES = (
    "config.json", "versions.json", "progress.csv", "report.json", "exams/seed-7-episodes-3.json",
    "rehearsal/box-course.json", "rehearsal/rehearsal.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with every file that is read."""
    run = a_run(tmp_path_factory.mktemp("whole") / "run")
    write_json(run / "report.json", {**CARD, "falls": [FALL], "passed": False, "survival": 0.99})
    report_card.write({**CARD, "episodes": 3, "seed": 7, "falls": [FALL]}, run)
    write_json(run / "rehearsal" / "box-course.json", BOX)
    write_json(run / "rehearsal" / "rehearsal.json", {"axes": [{"verdict": "slope: falls at 10°"}]})
    return run


def said(capsys, *arguments):
    """(exit status, standard output, standard error) of `walkies runs`."""
    status = cli.run(["runs", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def row(printed, name):
    (line,) = (line for line in printed.splitlines() if line.split()[:1] == [name])
    return line


DAMAGES = {
    "just-begun": lambda run: (run / "progress.csv").write_text(""),
    "no-curves": lambda run: (run / "progress.csv").unlink(),
    "torn-header": lambda run: (run / "progress.csv").write_text("steps,rew"),
    "binary-curves": lambda run: (run / "progress.csv").write_bytes(b"\xff\x00"),
    "no-config": lambda run: (run / "config.json").unlink(),
    "half-config": lambda run: (run / "config.json").write_text('{"seed": 1, "ta'),
    "config-list": lambda run: (run / "config.json").write_text("[1, 2]"),
    "half-report": lambda run: (run / "report.json").write_text('{"passed": true'),
    "other-report": lambda run: (run / "report.json").write_text('{"passed": true, "survival": "high"}'),
    "folder-report": lambda run: ((run / "report.json").unlink(), (run / "report.json").mkdir()),
}
BEGUN = ("just-begun", "no-curves")


def test_every_such_run_is_a_row_that_says_so(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    for name, damage in DAMAGES.items():
        shutil.copytree(whole, tmp_path / name)
        damage(tmp_path / name)
    shutil.copytree(whole, tmp_path / "well")
    status, printed, err = said(capsys, "list", tmp_path)
    assert (status, err) == (0, "")
    for name in DAMAGES:
        remark = "no record yet" if name in BEGUN else "" if name == "folder-report" else "damaged"
        assert row(printed, name).rstrip().endswith(remark), name
        assert (f"{tmp_path / name}/" in printed) == (remark == "damaged"), "and below the table why"
    assert "damaged" not in row(printed, "well"), "the control"
    assert "99.0%" in row(printed, "half-config"), "what can be read is shown"


def test_a_damaged_run_is_compared_too(whole, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs.replay, "record", lambda policy: pytest.fail("no policy here"))
    for name in ("first", "second"):
        shutil.copytree(whole, tmp_path / name)
        (tmp_path / name / "policy.json").write_text("{")
    (tmp_path / "first" / "progress.csv").write_text("")
    (tmp_path / "second" / "config.json").unlink()
    out = tmp_path / "both.html"
    assert said(capsys, "compare", tmp_path / "first", tmp_path / "second", "--out", out)[0] == 0
    text = out.read_text(encoding="utf-8")
    assert "config.json: no such file" in text and "No replay: first" in text and "99.0% (94.6% … 99.8%)" in text


def test_a_folder_that_no_training_made_is_no_run(tmp_path, capsys):
    """Not even one with a folder of checkpoints, which `clean` must leave alone."""
    (tmp_path / "other" / "checkpoints").mkdir(parents=True)
    for name in ("ppo_Hopper_1", "ppo_Hopper_2"):
        (tmp_path / "other" / "checkpoints" / f"{name}.safetensors").write_bytes(b"x")
    early = tmp_path / "early" / "checkpoints"
    early.mkdir(parents=True)
    for steps in (1, 2):
        (early / f"{steps:012d}.safetensors").write_bytes(b"x")
    assert [run.name for run in runs.find(tmp_path)] == ["early"]
    status, printed, _ = said(capsys, "clean", tmp_path, "--yes")
    assert status == 0 and "0 files" in printed and len(list(tmp_path.rglob("*.safetensors"))) == 4


def shown(summary):
    """Everything that is printed or written of a run but its replay."""
    runs.print_tables(runs.table([summary]))
    runs.marks([summary])
    runs.differences({"a": summary.config, "b": {}})
    return report.markdown(summary, {}, [], run=None) + report.html(summary, {}, None)


@pytest.mark.parametrize("name", FILES)
def test_no_damage_is_a_crash(name, whole, tmp_path, capsys):
    """Many accidents to every file: what is damaged is left out and named, and the rest is shown."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    text = (run / name).read_text(encoding="utf-8")
    named = 0
    for seed in range(25):
        (run / name).write_bytes(damaged(text, seed))
        summary = report.summarize(run)
        assert name in shown(summary) or not summary.problems
        for problem in summary.problems:
            assert str(run / name) in problem and "\n" not in problem and "\x1b" not in problem
        named += bool(summary.problems)
    assert named >= 3, "a bit in a number, or any value of a configuration, may go unseen"


def test_the_accidents_crash_a_reader_that_trusts(whole):
    """The control of the test above."""
    text = (whole / "report.json").read_text()
    crashes = set()
    for seed in range(50):
        try:
            report_card.markdown(json.loads(damaged(text, seed)))
        except Exception as error:
            crashes.add(type(error))
    assert len(crashes) >= 4 and UserError not in crashes


def test_a_last_row_of_impossible_numbers_is_left_out(tmp_path):
    run = a_run(tmp_path / "run")
    logger = loggers.CsvLogger(run / "progress.csv")
    logger.log({"steps": 7, "seconds": float("nan"), "steps_per_s": float("inf")})
    logger.close()
    assert report.summarize(run).last == {"steps": 7.0}


def test_an_examination_of_an_earlier_policy_is_told(tmp_path, capsys, monkeypatch):
    """The run was resumed after it: its card is of another policy than the one that lies there."""
    monkeypatch.delenv("COLUMNS", raising=False)
    run = a_run(tmp_path / "run")
    card = {**CARD, "policy": report.summarize(run).policy}
    write_json(run / "report.json", card)
    report_card.write({**card, "seed": 7}, run)
    assert "(an earlier policy)" not in shown(report.summarize(run))
    (run / "policy.json").write_text((run / "policy.json").read_text() + "\n")
    summary = report.summarize(run)
    assert shown(summary).count("passed (an earlier policy)") == 4 and len(summary.exams) == 1
    assert "examined before it was trained further" in capsys.readouterr().out
