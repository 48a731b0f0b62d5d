"""`walkies lab study`: what is trained, what is kept, and how a study that was stopped goes on."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from walkies.accel import cache
from walkies.cli import run as cli
from walkies.errors import UserError
from walkies.lab.study import command, rows, table, trials
from walkies.lab.study.plan import DEFAULT, Plan, Trial, narrowed_to, planned, read_plan
from walkies.robots import names
from walkies.run.folders import RunFolder

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ZOO = Path(rows.__file__).parents[2] / "robots" / "zoo"
ITERATION = 1000
"""Control steps, of the trainings below."""


@pytest.fixture
def asked(monkeypatch):
    """The commands of a study, with answers in place of trainings and judges: policies of seed 1 fail."""
    commands = []

    def answer(*words, statuses=(0,), cold=False, cwd=None):
        commands.append((*words, *(["cold"] if cold else [])))
        if words[0] == "train":
            folder = RunFolder(Path(words[words.index("--out") + 1]))
            if "--resume" not in words:
                folder.path.mkdir(parents=True)
                (folder.path / "seed").write_text(words[words.index("--seed") + 1])
            asked_for = int(words[words.index("--steps") + 1]) if "--steps" in words else 5 * ITERATION
            steps = -(-asked_for // ITERATION) * ITERATION
            folder.checkpoint_at(steps).parent.mkdir(exist_ok=True)
            folder.checkpoint_at(steps).write_text("")
            with folder.curves.open("w", newline="") as file:
                csv.writer(file).writerows([("steps", "kl"), (float(steps), 0)])
            return ""
        out = Path(words[1])
        if words[0] == "exam":
            good = (out / "seed").read_text() != "1"
            marks = [{"key": "lin_vel_error", "pass_mark": 0.1}, {"key": "yaw_rate_error", "pass_mark": 0.2}]
            numbers = {"survival": 0.995 if good else 0.9, "lin_vel_error": 0.08, "yaw_rate_error": 0.15}
            return json.dumps({"passed": good, **numbers, "marks": marks, "episodes": 1000})
        return json.dumps({"survival": {"value": 0.99}} if words[0] == "rehearse" else [{"code": "jumpy"}])

    monkeypatch.setattr(trials, "command", answer)
    return commands


def kinds(commands):
    return [words[0] for words in commands]


def test_each_seed_is_trained_once_and_judged_by_everything(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan({"a": "", "b b": "--x 1"}, seeds=2, minutes=(0.5,), cold=True, boxes=("course",), lint=True)
    for _ in range(2):
        command.make(plan, tmp_path / "rows.csv")
    assert kinds(asked) == ["train", "exam", "rehearse", "lint"] * 4, "what is there is not made again"
    train, exam = asked[4], asked[5]
    assert train[1:6] == ("pupper", "--seed", "0", "--x", "1") and "cold" in train and "cold" not in exam
    assert train[train.index("--minutes") + 1] == "0.5"
    assert exam[2:] == ("--seed", "2026", "--episodes", "1000", "--json")
    found = rows.read(tmp_path / "rows.csv")
    assert [rows.trial(row) for row in found] == planned(plan)
    assert [row["seed"] for row in found] == ["0", "0", "1", "1"], "every variant has one before any has two"
    text = table.each(found)
    assert "| a | pupper | 0.5 min | 0 | 0.0 | passed | 0.995 | 0.080 | 0.150 | course 99% | jumpy |" in text
    assert "| a | pupper | 0.5 min | 1 | 0.0 | failed | 0.900 |" in text and "**1 of 2 passed**" in text
    line = "| a | pupper | 0.5 min | 1 of 2 | 0.948 (0.900) | 0.080 (0.080) | 0.150 (0.150) |"
    assert line in table.summary(found)


def test_a_longer_training_continues_the_shorter(asked, tmp_path):
    plan = Plan({"a": ""}, seeds=1, steps=(3000, 1000))
    there, folder = set(), tmp_path / "runs"
    for trial in planned(plan):
        row = trials.run(plan, trial, folder, any(trial.is_before(other) for other in there))
        there.add(trial)
        assert row["steps"] == int(trial.amount)
    trainings = [words for words in asked if words[0] == "train"]
    assert [("--resume" in words) for words in trainings] == [False, True]
    # Killed between a training and its judgement: it is not trained again.
    trials.run(plan, Trial("a", "pupper", 0, "3000 steps"), folder, later=False)
    assert kinds(asked).count("train") == 2
    # A shorter one that is asked for afterwards cannot come from the run, which has gone further.
    row = trials.run(plan, Trial("a", "pupper", 0, "2000 steps"), folder, later=True)
    assert row["steps"] == 2000 and "--resume" not in asked[-2]


def test_a_training_by_the_clock_that_was_killed_begins_anew(asked, tmp_path):
    plan = Plan({"a": ""}, minutes=(1.0,))
    trial = planned(plan)[0]
    rest = tmp_path / trials.name(trial) / "rest"
    rest.parent.mkdir()
    rest.write_text("")
    trials.run(plan, trial, tmp_path, later=False)
    assert not rest.exists()


def test_lengths(tmp_path):
    trial = Trial("a b", "models/my.xml", 3, DEFAULT)
    assert (trial.amount, trial.unit, trials.name(trial)) == ("0", "", "a-b-my-3")
    assert trials.name(trial._replace(length="0.5 minutes")) == "a-b-my-3-0.5min"
    short, long = (trial._replace(length=f"{steps} steps") for steps in (5, 10))
    assert trials.name(short) == trials.name(long)
    assert short.is_before(long) and not long.is_before(short) and not short.is_before(short)
    assert not short.is_before(long._replace(seed=4)) and not trial.is_before(long)
    assert [table.said(one) for one in ("3000000 steps", "0.5 minutes", DEFAULT)] == ["3 M steps", "0.5 min", DEFAULT]


def test_the_studies_of_this_project_can_be_read():
    seeds, ideas, zoo = (read_plan(BENCHMARKS / f"{name}.toml") for name in ("seeds", "study", "zoo"))
    assert seeds.cold and set(seeds.minutes) == {0.5, 1.0, 3.0}
    assert ideas.exam_seed != seeds.exam_seed and ideas.variants["default"] == ""
    assert set(zoo.robots) == set(names()) and not zoo.minutes and not zoo.steps
    for table_of, plan in ((BENCHMARKS / "seeds.csv", seeds), (ZOO / "trained.csv", zoo)):
        found = {rows.trial(row) for row in rows.read(table_of)}
        assert {(one.variant, one.robot) for one in found} <= {(v, r) for v in plan.variants for r in plan.robots}
    assert read_plan(BENCHMARKS / "seeds.toml", seeds=2, minutes=(), steps=(9,))._replace(
        variants={}
    ) == seeds._replace(seeds=2, minutes=(), steps=(9,), variants={})


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_flags_of_every_variant_are_flags_of_training(path):
    import tyro

    from walkies.run.config import TrainConfig

    for name, flags in read_plan(path).variants.items():
        if "--preset" not in flags:
            assert (tyro.cli(TrainConfig, args=flags.split()) == TrainConfig()) == (flags == ""), name


def test_a_flag_that_training_does_not_have_is_seen():
    """Control of the above: a range has two ends, and is not given by two numbers."""
    import tyro

    from walkies.run.config import TrainConfig

    with pytest.raises(SystemExit):
        tyro.cli(TrainConfig, args=["--task.randomization.latency.imu-jitter", "0", "0"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("minutes = [0.5]\nseed = 3", "unknown seed; there are variants, robots"),
        ("minutes = [0.5]\nsteps = [5]", "minutes and as steps"),
        ("minutes = [0.0]", "more than 0"),
        ("seeds = 0", "seeds"),
        ("seeds = true", "got True where a whole number belongs"),
        ("[variants]\na = '--seed 3'", "a has --seed, which the study gives itself"),
        ("[variants]\na = '--out=x'", "--out"),
        ('[variants]\na = "\'"', "no command line"),
        ("[variants]\na = 3", "text"),
        ("= 3", "damaged"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(text, said, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"wrong\.toml") as refused:
        read_plan(path)
    assert said in str(refused.value)
    path.write_text("seeds = 1\nminutes = [0.5]\n")
    assert planned(read_plan(path)) == [Trial("default", "pupper", 0, "0.5 minutes")]


def test_wrong_tables_and_names_are_refused(asked, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("variant,seed\n")
    with pytest.raises(UserError, match="other columns"):
        rows.read(path)
    path.unlink()
    rows.append(path, {name: 0 for name in rows.COLUMNS})
    path.write_text(path.read_text() + "a,b\n")
    with pytest.raises(UserError, match="line 3: expected"):
        rows.read(path)
    with pytest.raises(UserError, match="no variant long; there are a; b"):
        narrowed_to(Plan({"a": "", "b": ""}), ("long",))
    assert list(narrowed_to(Plan({"a": "", "b": ""}), ("b",)).variants) == ["b"]


def test_a_command_that_fails_ends_the_study_and_a_verdict_does_not():
    with pytest.raises(UserError, match="walkies train nobody --steps 1 ended with 2"):
        trials.command("train", "nobody", "--steps", "1", statuses=trials.VERDICTS)
    assert trials.command("version").startswith("walkies")


def test_rows_of_other_settings_are_not_taken_for_these(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan, out = Plan({"a": "--x 1", "b": ""}, seeds=1, steps=(1000,)), tmp_path / "rows.csv"
    command.make(plan, out)
    for changed, said in (
        (plan._replace(variants={"a": "--x 2"}), "flags '--x 1', not '--x 2'"),
        (plan._replace(episodes=5), "episodes '1000', not 5"),
        (plan._replace(exam_seed=9), "exam_seed '2026', not 9"),
    ):
        with pytest.raises(UserError, match="another name, or choose another --out") as refused:
            command.make(changed, out)
        assert said in str(refused.value)
    assert [row["variant"] for row in rows.of_plan(plan._replace(variants={"b": ""}), out)] == ["b"]
    assert len(rows.of_plan(plan, out)) == 2


def test_only_a_cold_training_does_without_what_was_compiled_before(monkeypatch):
    seen = []

    def called(program, *, env, **_):
        seen.append(env.get(cache.SWITCH))
        return subprocess.CompletedProcess(program, 0, "")

    monkeypatch.setattr(trials.subprocess, "run", called)
    monkeypatch.setenv(cache.SWITCH, "1")
    for cold in (True, False):
        trials.command("train", cold=cold)
    assert seen == ["0", "1"]


SMALL = "--recipe.num-envs 16 --recipe.horizon 8 --recipe.minibatches 2 --recipe.hidden 8 --recipe.critic-hidden 8"


def test_a_whole_study(tmp_path, monkeypatch, capsys):
    """Two lengths, the second of which goes on where the first ended; then only the table."""
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(f"seeds = 1\nepisodes = 2\nsteps = [256, 512]\n[variants]\nsmall = '{SMALL}'\n")
    assert cli(["lab", "study", "small.toml"]) == 0
    assert "small" in capsys.readouterr().out
    assert cli(["lab", "study", "small.toml", "--table", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["steps"] for row in found] == ["256", "512"] and {row["episodes"] for row in found} == {"2"}
    assert RunFolder(Path("runs/study/small/small-pupper-0")).latest_checkpoint() is not None
    assert cli(["lab", "study", "small.toml", "--table", "--seeds", "1", "--steps", "768"]) == 2
