"""Nothing of a user's is markup: a run of any name is listed, compared, reported and drawn under that name."""

import html
import io

import pytest
from rich.console import Console
from run_folders import CARD, a_run

from walkies import cli, markdown
from walkies.cli import doctor
from walkies.judge import exam
from walkies.run import progress
from walkies.show import page, report, runs
from walkies.show.pictures import curves, theme

ODD = "x]<b>|_y_ $a$ [red]`z`:smile:"


@pytest.fixture
def run(tmp_path):
    """A run of an odd name in a folder that makes it odder: its path holds "[/x]"."""
    return a_run(tmp_path / "t[" / ODD)


def said(capsys, *arguments):
    assert cli.run([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_every_command_that_prints_a_run_prints_its_name(run, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(exam, "examine", lambda policy, episodes, seed, *_: {**CARD, "seed": seed})
    assert f"{run}/policy.json examined" in said(capsys, "exam", run)
    (run / "policy.json").unlink()  # no replay of it need be drawn
    assert ODD in said(capsys, "runs", "list", run.parent)
    assert said(capsys, "report", run) == f"{run}/report.md\n{run}/report.html\n"
    other = a_run(run.parent / "other", seed=1)
    (other / "policy.json").unlink()
    printed = said(capsys, "runs", "compare", run, other, "--out", run.parent / "[b]both.html")
    assert printed.count(ODD) >= 2 and f"{run.parent}/[b]both.html" in printed
    (run / ".left.part").touch()
    assert f"{run}/.left.part" in said(capsys, "runs", "clean", run)

    text = (run / "report.md").read_text(encoding="utf-8")
    assert text.startswith(r"# Run x\]\<b\>\|\_y\_ $a$ \[red\]\`z\`:smile:" + "\n")
    for path in (run / "report.html", run.parent / "[b]both.html"):
        text = path.read_text(encoding="utf-8")
        assert html.escape(ODD) in text and ODD not in text


def test_two_runs_of_one_name_are_told_apart(tmp_path):
    folders = [a_run(tmp_path / parent / "run") for parent in ("a", "b")] + [a_run(tmp_path / "c")]
    names = runs.labels(folders, [report.summarize(folder) for folder in folders])
    assert names == [str(tmp_path / "a" / "run"), str(tmp_path / "b" / "run"), "c"]


def test_doctor_shows_what_it_found_as_it_is(monkeypatch, capsys):
    finding = doctor.Finding("problem", "[Errno 2] runs/t[/x]", "remove runs/u[b]")
    monkeypatch.setattr(doctor, "CHECKS", {"disk [0]": lambda: finding})
    assert doctor.command() == 1
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("disk [0]", finding.found, finding.advice))


@pytest.mark.parametrize("terminal", [True, False])
def test_the_title_of_a_training_is_as_it_is(terminal):
    """Also on a console of the user's own, which reads markup."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=120, color_system=None)
    with progress.Progress("pupper, into t[/x] u[b] \x1b[2J", console=console) as shown:
        shown.update({"steps": 1, "seconds": 1.0, "reward": 0.5})
    assert "pupper, into t[/x] u[b] \\x1b[2J" in text.getvalue()


def test_a_name_is_a_label_as_it_is(tmp_path):
    """Drawn and read back from the legend; matplotlib alone fails at one name and hides the other."""
    names = ("_hidden", "$frac$ and $\\frac$", "a_b$")
    with theme.figure() as (made, axes):
        for name in names:
            axes[0, 0].plot([0, 1], label=theme.words(name))
        legend = axes[0, 0].legend()
        made.canvas.draw()
        assert len(legend.get_texts()) == len(names)
    with theme.figure() as (made, axes):  # the control
        for name in names[:2]:
            axes[0, 0].plot([0, 1], label=name)
        assert len(axes[0, 0].legend().get_texts()) == 1
        with pytest.raises(ValueError, match="frac"):
            made.canvas.draw()
    run = a_run(tmp_path / "$\\frac$")
    assert curves.draw_runs({run.name: [run], "_x": [run]}, tmp_path / "both.png").stat().st_size > 1000


def test_text_in_markdown_is_text():
    assert markdown.escape("a|b<c>*d*_e_`f`[g](h)\n\x1b&~\\") == r"a\|b\<c\>\*d\*\_e\_\`f\`\[g\](h)\\n\\x1b\&\~\\"
    lines = markdown.table(["", "x"], [[markdown.escape("a|b"), "c"]])
    assert lines == ["|  | x |", "| --- | --- |", r"| a\|b | c |"]


def test_names_on_a_page_are_text():
    assert "<i>" not in page.document("<i>", [page.facts([("<i>", "<i>")]), page.table(["<i>"], [["<i>"]])])
    assert "<i>" not in page.details("<i>", "<i>")
