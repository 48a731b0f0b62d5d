"""What people have keeps working: scripts, run folders, command lines with yesterday's names."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import walkies
from walkies import renamed
from walkies.cli import train
from walkies.cli.arguments import flags
from walkies.errors import UserError
from walkies.files import write_json
from walkies.rl.recipes import PPO, Recipe
from walkies.run.config import TrainConfig, read_config
from walkies.run.folders import RunFolder, UnknownField, current_names, from_dict, to_dict, versions

NAMES = [
    ("walkies.rl.advantages", "WEIGHTS", "ADVANTAGES"),
    ("walkies.rl.updates", "STEPS", "UPDATES"),
    ("walkies.rl.updates", "led_by_kl", "adapt_learning_rate"),
    ("walkies.rl.rollout", "Actors", "EpisodeState"),
    ("walkies.rl.train", "account", "finish_iteration"),
    ("walkies.gymnasium.rollout", "HostActors", "VectorState"),
    ("walkies.gymnasium.rollout", "start_host", "start"),
    ("walkies.gymnasium.rollout", "rollout_host", "rollout"),
    ("walkies.gymnasium.learning", "HostTraining", "VectorTraining"),
    ("walkies.gymnasium.learning", "init_host", "init"),
    ("walkies.gymnasium.learning", "make_host_iteration", "make_iteration"),
    ("walkies.gymnasium.learning", "run_host", "run"),
    ("walkies.gymnasium.spec", "shape_of", "env_spec"),
    ("walkies.gymnasium.spec", "Shape", "EnvSpec"),
]


@pytest.mark.parametrize(("old", "new"), renamed.MODULES.items())
def test_every_new_place_exists_and_no_old_one_does(old, new):
    assert importlib.util.find_spec(f"walkies.{new}") is not None
    spec = importlib.util.find_spec(f"walkies.{old}")
    assert spec is not None and isinstance(spec.loader, renamed.OldModules)
    parent, _, name = f"walkies.{old}".rpartition(".")
    parts = renamed.moved(parent) or parent
    if not renamed.moved(parent):  # what lies in a moved package has the same name there
        for folder in importlib.import_module(parts).__path__:
            assert importlib.machinery.PathFinder.find_spec(f"{parts}.{name}", [folder]) is None, "in both places"


IMPORTS = """
import importlib, json, sys, warnings
from walkies import renamed
wrong = []
more = {"physics.native": "sim.native", "bench.train": "lab.bench.iteration"}
more["benchmark.report"] = "lab.published.report"
for old, new in (renamed.MODULES | more).items():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        first = importlib.import_module(f"walkies.{old}")
    now = importlib.import_module(f"walkies.{new}")
    texts = [str(w.message) for w in said if w.category is FutureWarning]
    fine = first is now is sys.modules[f"walkies.{old}"] and now.__name__ == now.__spec__.name == f"walkies.{new}"
    if not fine or not any(f"walkies.{old} is now walkies.{new};" in text for text in texts):
        wrong.append((old, texts))
for never in ("rl.neverwas", "neverwas", "physics.neverwas", "random.neverwas"):
    try:
        importlib.import_module(f"walkies.{never}")
        wrong.append(never)
    except ModuleNotFoundError as error:
        if f"walkies.{never}" not in str(error):
            wrong.append(str(error))
from walkies.rl.pathwise import Path, pathwise_return, unroll
import gymnasium
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    gymnasium.make("walkies.gym:walkies/Pupper-v0")
print(json.dumps(wrong))
"""


def test_every_old_module_is_the_new_one():
    """One module under both names, with a warning that says the new one. Control: names that never were still fail."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize(("module", "old", "new"), NAMES)
def test_an_old_name_in_a_module_is_the_new_one(module, old, new):
    found = importlib.import_module(module)
    with pytest.warns(FutureWarning, match=f"{old} is now {new}"):
        assert getattr(found, old) is getattr(found, new)
    with pytest.raises(AttributeError, match="neverwas"):  # control
        _ = found.neverwas


def test_old_fields_are_given_and_read():
    with pytest.warns(FutureWarning, match="weight is now advantage"):
        assert Recipe(weight="reward_to_go", step="gradient_step") == Recipe(
            advantage="reward_to_go", update="gradient_step"
        )
    with pytest.warns(FutureWarning, match="step is now update"):
        assert dataclasses.replace(PPO, step="gradient_step").update == "gradient_step"
    with pytest.warns(FutureWarning, match="weight is now advantage"):
        assert PPO.weight == PPO.advantage
    for never in (lambda: Recipe(neverwas=1), lambda: dataclasses.replace(PPO, neverwas=1)):
        with pytest.raises(TypeError, match="neverwas"):
            never()
    with pytest.raises(AttributeError, match="neverwas"):
        _ = PPO.neverwas


def older(config: TrainConfig) -> dict:
    """The configuration as the first edition wrote it."""
    content = to_dict(config)
    recipe = content["recipe"]
    recipe["weight"], recipe["step"] = recipe.pop("advantage"), recipe.pop("update")
    return content


def test_an_old_configuration_opens(tmp_path):
    """With the values that it has, not with defaults. Control: a field that never was is still refused."""
    config = TrainConfig(recipe=dataclasses.replace(PPO, advantage="reward_to_go", update="gradient_step"))
    folder = RunFolder(tmp_path)
    write_json(folder.config, older(config))
    write_json(folder.versions, versions())
    assert read_config(folder) == config
    assert current_names(TrainConfig, older(config)) == to_dict(config)
    with pytest.raises(UnknownField, match="neverwas"):
        from_dict(Recipe, {"weight": "gae", "neverwas": 1})


def read(*arguments: str) -> TrainConfig:
    return flags.parse(train.command, "walkies train", arguments).arguments["config"]


@pytest.mark.parametrize("line", [("--recipe.weight", "reward_to_go"), ("--recipe.weight=reward_to_go",)])
def test_an_old_flag_still_works(capsys, line):
    """… and one line says the new one. Control: the new one says nothing, one that never was is refused."""
    assert read(*line, "--recipe.step", "gradient_step").recipe.advantage == "reward_to_go"
    assert [text.partition(";")[0] for text in capsys.readouterr().err.splitlines()] == [
        "walkies: --recipe.weight is now --recipe.advantage",
        "walkies: --recipe.step is now --recipe.update",
    ]
    assert read("--recipe.advantage", "full_return").recipe.advantage == "full_return"
    assert capsys.readouterr().err == ""
    with pytest.raises(SystemExit):
        read("--recipe.neverwas", "1")


def test_errors_name_the_field_of_today():
    with pytest.raises(UserError, match=r"\.advantage: no is not one of"):
        from_dict(Recipe, {"weight": "no"}, "config.json")


def old_names() -> list[tuple[str, str]]:
    """Every module and name that `renamed.names` serves, by the text of the modules."""
    source = Path(walkies.__file__).parent
    found = []
    for path in sorted(source.rglob("*.py")):
        module = ".".join(("walkies", *path.relative_to(source).with_suffix("").parts)).removesuffix(".__init__")
        for call in re.findall(r"^renamed\.names\(globals\(\), ([^)]*)\)", path.read_text(encoding="utf-8"), re.M):
            found += [(module, name) for name in re.findall(r"(\w+)=", call)]
    return found


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("module, name", old_names())
def test_every_old_name_within_a_module_is_something(module, name):
    """Control: a name that never was."""
    assert getattr(importlib.import_module(module), name) is not None
    with pytest.raises(AttributeError):
        getattr(importlib.import_module(module), f"never_{name}")
