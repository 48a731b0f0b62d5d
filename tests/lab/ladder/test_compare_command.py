"""The command: rows appear whole, are not run twice, and do not mix with others; the page says what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from damage import damaged
from walkies import cli
from walkies.errors import UserError
from walkies.lab import runner
from walkies.lab.ladder import command, curves, page, rungs

DOCS = Path(__file__).parents[3] / "docs" / "compare"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny comparison, all of it."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        out = tmp_path_factory.mktemp("compare")
        run(out)
        yield out


def shrink(patch):
    patch.setattr(command, "BATCHES", 2)
    patch.setattr(command, "AGES", (0, 1))
    patch.setattr(command, "POINTS", 2)
    patch.setattr(command, "RECIPES", {name: command.RECIPES[name] for name in ("reinforce", "ppo")})


def run(out, **options):
    settings = {"seeds": 1, "samples": 5000, "recipes": ("reinforce", "ppo"), "out": out} | options
    assert command.command("double-integrator", **settings) == 0


def test_everything_is_written(folder):
    names = {path.name for path in folder.iterdir()}
    assert {"README.md", "compare.json", "curves.png", "gradients.png", "reuse.png", "rows"} <= names
    text = (folder / "README.md").read_text()
    assert "Nothing: every row was run." in text
    assert "walkies lab compare double-integrator --seeds 1 --samples 5000" in text
    curve = json.loads((folder / "rows" / "ppo-0.json").read_text())["curve"]
    assert [point["samples"] for point in curve] == [0, 4096, 6144], "whole iterations of 2048"
    assert curve[1]["cpu_seconds"] > 0.0


def test_only_what_is_missing_runs_again(folder, monkeypatch, capsys):
    shrink(monkeypatch)
    kept, gone = folder / "rows" / "reinforce-0.json", folder / "rows" / "ppo-0.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"machine": "another machine"}))
    before, stamp = json.loads(gone.read_text()), kept.stat().st_mtime_ns
    gone.unlink()
    run(folder, train=False)
    capsys.readouterr()
    run(folder, show=True)
    listed = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in listed] == [
        "reinforce, seed 0 finished",
        "ppo, seed 0 missing",
        "noise of the gradient, worth of old samples finished",
        "2 of 3 rows finished",
    ]
    text = (folder / "README.md").read_text()
    assert "- `ppo`, seed 0" in text and not gone.exists()
    assert "one rollout code for all. another machine." in text, "whoever writes the page need not have trained"
    trained = []

    def counted(recipe, env, compile_recipe=curves.compile_recipe):
        trained.append(recipe.update)
        return compile_recipe(recipe, env)

    monkeypatch.setattr(curves, "compile_recipe", counted)
    run(folder)
    assert trained == ["minibatch_epochs"]
    assert kept.stat().st_mtime_ns == stamp
    again = json.loads(gone.read_text())
    assert [p["episode_return"] for p in again["curve"]] == [p["episode_return"] for p in before["curve"]]


def test_other_settings_do_not_mix(folder, monkeypatch, capsys):
    shrink(monkeypatch)
    with pytest.raises(UserError, match="other samples"):
        run(folder, samples=6000)
    with pytest.raises(UserError, match="there is no pp"):
        run(folder, recipes=("pp",))
    for flag in ("seeds", "samples"):
        assert cli.run(["compare", "double-integrator", f"--{flag}", "0"]) == 2
        assert f"--{flag}: got 0, expected a whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize("source", sorted(DOCS.glob("*/compare.json")), ids=lambda path: path.parent.name)
def test_the_committed_page_is_what_its_figures_say(source):
    """Control: another return in the figures makes another page."""
    content = json.loads(source.read_text())
    result = page.from_json(content)
    text = (source.parent / "README.md").read_text()
    assert page.markdown(result) == text
    assert page.to_json(result) == content
    content["rows"][0]["curve"][-1]["episode_return"] += 1000.0
    assert page.markdown(page.from_json(content)) != text


def test_the_missing_are_named():
    """Three seeds asked for, one there: two missing, in the ladder's order."""
    curve = [curves.Point(0, 0.0, 0.0, 1.0, 0.1, 9.0), curves.Point(10, 1.0, 1.0, 2.0, 0.1, 9.0)]
    rows = [page.Row("ppo", 1, curve, 0.0)]
    result = page.Result("cart-pole", "walkies lab compare", "here", 10, 3, ("trpo", "ppo"), rows, {}, [])
    assert page.missing(result) == [("trpo", 0), ("trpo", 1), ("trpo", 2), ("ppo", 0), ("ppo", 2)]
    text = page.markdown(result)
    assert "- `trpo`, seed 2\n- `ppo`, seed 0\n- `ppo`, seed 2\n- the noise of the gradient" in text
    assert "| `ppo` | 1 | 2.00 | 2.00 | 1.0 |" in text


def test_a_recipe_is_compiled_once_for_all_its_seeds(tmp_path, monkeypatch):
    """Three seeds of two recipes: two programs, and each row says what its program took to compile."""
    compiled = []

    def compile_recipe(recipe, env):
        compiled.append(recipe.update)
        return curves.Programs(None, None, 1.25 * len(compiled))

    monkeypatch.setattr(curves, "compile_recipe", compile_recipe)
    monkeypatch.setattr(curves, "make_exam", lambda recipe, env: None)
    monkeypatch.setattr(curves, "train_row", lambda *_: [curves.Point(0, 0.0, 0.0, 1.0, 0.1, 9.0)])
    *trainings, _ = command.as_rows(tmp_path, rungs.get_problem("double-integrator"), ("vpg", "ppo"), 3, 10)
    runner.make(trainings, tmp_path)
    assert compiled == ["gradient_step", "minibatch_epochs"]
    rows = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "rows").iterdir()}
    assert len(rows) == 6
    assert [rows[f"{name}-2"]["compile_seconds"] for name in ("vpg", "ppo")] == [1.2, 2.5]


def test_no_damage_is_a_crash(folder, tmp_path, monkeypatch):
    """Many accidents to every file that is read: a page, or one sentence that names the file."""
    shrink(monkeypatch)
    monkeypatch.setattr("walkies.lab.ladder.pictures.draw_curves", lambda *_: None)
    monkeypatch.setattr("walkies.lab.ladder.pictures.draw_gradients", lambda *_: None)
    monkeypatch.setattr("walkies.lab.ladder.pictures.draw_reuse", lambda *_: None)
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    for name in ("rows/ppo-0.json", "gradients.json", "reuse.json", "settings.json"):
        text = (whole / name).read_text()
        named = 0
        for seed in range(30):
            (whole / name).write_bytes(damaged(text, seed))
            try:
                run(whole, train=False)
            except UserError as error:
                named += 1
                assert str(whole) in str(error) and "\n" not in str(error)
        (whole / name).write_text(text)
        run(whole, train=False)
        assert named >= 5, f"{name}: some accidents must have been seen"
