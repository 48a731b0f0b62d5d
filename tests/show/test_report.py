"""A run on one page, and runs side by side."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from run_folders import BOX, CARD, a_run
from standing import standing_policy

from walkies.errors import UserError
from walkies.files import write_json
from walkies.run.config import TrainConfig
from walkies.run.folders import to_dict
from walkies.show import page, replay, report, runs


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    run = a_run(tmp_path_factory.mktemp("runs") / "first")
    report.write(run)
    return run


class Links(HTMLParser):
    """Everything that a page would fetch, and whether its elements are balanced."""

    VOID = ("meta", "img", "input")

    def __init__(self):
        super().__init__()
        self.fetched, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.fetched += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_stands_alone(written):
    text = (written / "report.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert links.open == []
    assert links.fetched and all(link.startswith("data:image/png;base64,") for link in links.fetched)
    assert "http" not in re.sub(r"base64,[^\"]*|<meta http-equiv=", "", text) and "@import" not in text
    assert "survival &lt;b&gt;" in text and "survival <b>" not in text


def test_page_shows_what_the_run_is(written):
    text = (written / "report.html").read_text(encoding="utf-8")
    for piece in (
        "Run first",
        "walkies train pupper",
        "4k control steps",
        "Learning curves",
        "Gait",
        "<canvas>",
        "passed",
    ):
        assert piece in text
    short = (written / "report.md").read_text(encoding="utf-8")
    for piece in ("walkies train pupper", "![Learning curves](curves.png)", "Examination: PASSED", "(policy.json)"):
        assert piece in short


def test_replay_in_the_page_is_the_motion():
    motion = replay.record(standing_policy(), (replay.Segment(0.4, (0.0, 0.0, 0.0)),))
    scene = json.loads(json.dumps(page.scene(motion, fps=25.0)))
    poses = np.frombuffer(base64.b64decode(scene["poses"]), "<i2").reshape(-1, scene["bodies"], 7)
    rows = motion.at(25.0)
    assert len(poses) == len(rows) == len(scene["commands"]) == 10
    assert poses[:, 1, :3] * scene["metres"] == pytest.approx(motion.qpos[rows, :3], abs=1e-4)
    assert poses[:, 1, 3:] / 32767 == pytest.approx(motion.qpos[rows, 3:7], abs=1e-4)
    assert {shape["shape"] for shape in scene["shapes"]} <= set(page.SHAPES.values())


def test_command_line_repeats_the_run(tmp_path):
    config = to_dict(TrainConfig(seed=3, minutes=2.0, film=False, out=tmp_path / "a b"))
    config["task"]["action_scale"] = 0.5
    line = report.command_line(config)
    assert line.startswith("walkies train pupper --minutes 2.0 --seed 3")
    assert "--no-film" in line and "--task.action-scale 0.5" in line and f"--out '{tmp_path}/a b'" in line
    assert "recipe" not in line


def test_not_a_run_is_told(tmp_path):
    with pytest.raises(UserError, match="not a run folder"):
        report.summarize(tmp_path)
    (tmp_path / "config.json").write_text("{")
    (problem,) = report.summarize(tmp_path).problems
    assert problem.startswith(f"{tmp_path}/config.json is damaged") and problem.endswith("what `walkies train` wrote")


def test_runs_are_listed_and_compared(tmp_path, capsys):
    first, second = a_run(tmp_path / "first"), a_run(tmp_path / "second", seed=1)
    runs.command("list", (tmp_path,))
    out = capsys.readouterr().out
    assert "first" in out and "second" in out and "passed" in out
    runs.command("compare", (first, second))
    out = capsys.readouterr().out
    assert "seed" in out
    text = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert text.count("<canvas>") == 2 and "Settings that differ" in text
    assert text.count("Gait: ") == 2 * text.count("<h2>Gait: ") == 4 and text.count("Configuration: ") == 2
    assert text.count("walkies train pupper --") == 2, "the exact commands"
    links = Links()
    links.feed(text)
    assert links.open == [] and all(link.startswith("data:") for link in links.fetched)
    with pytest.raises(UserError, match="at least two"):
        runs.command("compare", (first,))


def test_marks_stand_side_by_side_also_where_one_run_was_not_examined(tmp_path):
    examined, other = report.summarize(a_run(tmp_path / "first")), report.summarize(a_run(tmp_path / "second"))
    better = {**CARD, "marks": [{**CARD["marks"][0], "value": 0.5}]}
    assert runs.marks([examined, other._replace(card=better)]) == [["survival <b>", "1.000", "0.500"]]
    assert runs.marks([other._replace(card=None), examined]) == [["survival <b>", "", "1.000"]]


def test_a_rehearsal_is_on_the_runs_page(tmp_path):
    """Boxes, sentences and pictures; a run without a rehearsal has no word of it."""
    run = a_run(tmp_path / "first")
    report.write(run)
    assert not any("Rehearsal" in (run / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))

    folder = run / "rehearsal"
    write_json(folder / "box-course.json", BOX)
    write_json(folder / "rehearsal.json", {"axes": [{"verdict": "slope: falls at 10° (3 of 16) <i>"}]})
    (folder / "rehearsal.png").write_bytes((run / "curves.png").read_bytes())
    report.write(run)
    text = (run / "report.html").read_text(encoding="utf-8")
    for piece in ("course 97% (failed)", "97% (92% … 99%)", "slope: falls at 10° (3 of 16) &lt;i&gt;"):
        assert piece in text
    links = Links()
    links.feed(text)
    assert links.open == [] and all(link.startswith("data:") for link in links.fetched)
    short = (run / "report.md").read_text(encoding="utf-8")
    assert "| course | 100 of 20 s | 97% (92% … 99%) | 99% | failed |" in short
    assert "(rehearsal/rehearsal.png)" in short and "- slope: falls" in short


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("box-harsh", "{", "box-harsh.json is damaged (Expecting"),
        ("box-harsh", "[]", "box-harsh.json is damaged (it has 0 items where 6 belong)"),
        ("box-harsh", json.dumps({**BOX, "survival": 1.0}), "survival: got 1.0 where an object belongs"),
        ("box-harsh", json.dumps({**BOX, "survival": {"value": 1.0}}), "survival.low is missing"),
        ("rehearsal", "{}", "rehearsal.json is damaged (axes is missing)"),
    ],
)
def test_a_damaged_rehearsal_is_named(name, content, expected, tmp_path):
    run = a_run(tmp_path / "run")
    (run / "rehearsal").mkdir()
    (run / "rehearsal" / f"{name}.json").write_text(content, encoding="utf-8")
    (problem,) = report.summarize(run).problems
    assert expected in problem and problem.endswith("`walkies rehearse` writes; run it again")


def test_differences_are_those_alone():
    found = runs.differences({"a": {"seed": 1, "task": {"kp": 5.0, "kd": 0.2}}, "b": {"seed": 2, "task": {"kp": 5.0}}})
    assert found == {"seed": ["1", "2"], "task.kd": ["0.2", ""]}


def test_clean_keeps_the_newest_checkpoint(tmp_path, capsys):
    run = a_run(tmp_path / "run")
    (run / "checkpoints").mkdir()
    for steps in (10, 20):
        (run / "checkpoints" / f"{steps:012d}.safetensors").write_bytes(b"x")
    runs.command("clean", (run,))
    assert "1 files" in capsys.readouterr().out and len(list((run / "checkpoints").iterdir())) == 2
    runs.command("clean", (run,), yes=True)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["000000000020.safetensors"]
    assert (run / "policy.json").is_file()
