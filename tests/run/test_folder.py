"""A run folder: its configuration survives damage in one sentence, and belongs to one training at a time."""

import json
import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import pytest

from fuzz import damaged
from walkies import files
from walkies.errors import UserError
from walkies.run.config import TrainConfig, load_terms, read_config, resumed
from walkies.run.folders import LockedRun, RunFolder, from_dict, is_locked, locked, to_dict, versions
from walkies.tasks.rewards import RewardWeights, reward, terms_of
from walkies.tasks.walk import WalkConfig

CONFIG = to_dict(TrainConfig(seed=3))
MUTATIONS = 1000


def run_folder(path: Path, config: TrainConfig) -> RunFolder:
    folder = RunFolder(path)
    files.write_json(folder.config, to_dict(config))
    files.write_json(folder.versions, versions())
    return folder


def test_a_damaged_configuration_is_one_sentence(tmp_path):
    """Whatever happens to the file, it is read as some configuration or refused in a line that names the file."""
    folder = run_folder(tmp_path, TrainConfig())
    refused = 0
    for content in damaged(folder.config.read_bytes(), MUTATIONS):
        folder.config.write_bytes(content)
        try:
            read_config(folder)
        except UserError as error:
            refused += 1
            assert str(folder.config) in str(error) and "\n" not in str(error), error
    assert 0.5 * MUTATIONS < refused < MUTATIONS


WRONG = [None, True, -1, 1.5, "x", [], {}, [[]], [None], {"a": 1}, 10**400, 1e308 * 10]


def test_wrong_values_are_one_sentence(tmp_path):
    """A value of every wrong kind in every place of the tree: read or refused, never a traceback."""

    def places(tree, path=()):
        yield path
        if isinstance(tree, dict):
            for name, below in tree.items():
                yield from places(below, (*path, name))

    refused = 0
    for path in places(CONFIG):
        for value in WRONG:
            content = json.loads(json.dumps(CONFIG))
            if path:
                parent = content
                for name in path[:-1]:
                    parent = parent[name]
                parent[path[-1]] = value
            else:
                content = value
            try:
                from_dict(TrainConfig, content)
            except UserError as error:
                refused += 1
                assert str(error).startswith("config") and "\n" not in str(error)
    assert refused > 1000


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seed", True, "seed: expected int, got True"),
        ("seed", 1.5, "seed: expected int, got 1.5"),
        ("minutes", float("inf"), "minutes: expected a finite number, got inf"),
        ("minutes", 10**400, "minutes: expected a finite number"),
        ("recipe", {"hidden": None}, r"recipe\.hidden: expected a list, got None"),
        ("recipe", {"hidden": ["a"]}, r"recipe\.hidden: expected int, got a"),
        ("out", 3, "out: expected Path, got 3"),
    ],
)
def test_a_wrong_value_is_named(name, value, said):
    with pytest.raises(UserError, match=said):
        from_dict(TrainConfig, CONFIG | {name: value})


def test_tuples_of_fixed_length():
    @dataclass(frozen=True)
    class Pair:
        both: tuple[int, float] = (1, 2.0)

    hints = {"both": tuple[int, float]}
    Pair.__annotations__ = hints
    assert from_dict(Pair, {"both": [3, 4]}) == Pair((3, 4.0))
    with pytest.raises(UserError, match="expected 2 values, got 3"):
        from_dict(Pair, {"both": [1, 2, 3]})


def test_unknown_fields_say_which_version_wrote_them(tmp_path):
    folder = run_folder(tmp_path, TrainConfig())
    files.write_json(folder.versions, {"walkies": "9.8.7"})
    files.write_json(folder.config, CONFIG | {"moon": 1})
    with pytest.raises(UserError, match=r"unknown field moon.*made by walkies 9\.8\.7, this is "):
        read_config(folder)
    folder.versions.write_text("[")
    with pytest.raises(UserError, match="made by walkies an unknown version"):
        read_config(folder)


def crouch(motion, shape):
    """Stay low."""
    return motion.height


@dataclass(frozen=True)
class Own(RewardWeights):
    crouch: float = reward(crouch, -0.5, "m", "height of the base")


def test_a_run_with_reward_terms_of_ones_own_opens_where_they_are_defined(tmp_path):
    run = TrainConfig(task=WalkConfig(rewards=Own(crouch=-0.7)))
    folder = run_folder(tmp_path, run)
    there = read_config(folder)
    assert there == run and type(there.task.rewards) is Own
    assert resumed(TrainConfig(resume=True, out=tmp_path, steps=5), folder).task == run.task


TERMS = """
from dataclasses import dataclass
from walkies.tasks.rewards import RewardWeights, reward

def hover(motion, shape):
    return motion.height

@dataclass(frozen=True)
class Mine(RewardWeights):
    hover: float = reward(hover, 0.0)
"""


def test_a_run_with_foreign_reward_terms_opens_where_rewards_do_not_matter(tmp_path):
    """And where they do, the error says how to bring them; a misspelt term of no program is an error all the same."""
    folder = run_folder(tmp_path / "run", TrainConfig())
    content = json.loads(folder.config.read_text())
    content["task"]["rewards"]["hover"] = 0.25
    files.write_json(folder.config, content)
    assert read_config(folder, own_terms=False) == TrainConfig()
    with pytest.raises(UserError, match=r"reward terms of its own, hover, .*--terms FILE"):
        read_config(folder)

    (tmp_path / "mine.py").write_text(TERMS)
    load_terms(tmp_path / "mine.py")
    weights = read_config(folder).task.rewards
    terms = terms_of(weights)
    assert weights.hover == 0.25 and "hover" in terms
    assert "crouch" not in terms  # a class that has what the run has, not another

    (tmp_path / "none.py").write_text("from walkies.tasks.rewards import RewardWeights")
    with pytest.raises(UserError, match="defines no subclass"):
        load_terms(tmp_path / "none.py")
    with pytest.raises(UserError, match="no such file"):
        load_terms(tmp_path / "missing.py")


def test_a_run_folder_is_one_trainings_alone(tmp_path):
    """Until it ends; and what nothing was written into is gone again."""
    folder = tmp_path / "run"
    with locked(folder):
        assert is_locked(folder)
        with pytest.raises(LockedRun, match=r"a training is writing into .*run right now"), locked(folder):
            pass
        (folder / "config.json").write_text("{}")
    assert not is_locked(folder)
    with locked(folder):
        pass
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "empty"):
        raise KeyboardInterrupt
    assert not (tmp_path / "empty").exists() and folder.exists()


def _hold(folder: Path, ready, end) -> None:
    with locked(folder):
        ready.set()
        end.wait()


def test_a_lock_ends_with_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready, end))
    holder.start()
    try:
        assert ready.wait(60) and is_locked(tmp_path)
    finally:
        holder.kill()
        holder.join()
    assert not is_locked(tmp_path)
