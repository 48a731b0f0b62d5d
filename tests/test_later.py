"""Libraries that are imported when they are first used."""

import importlib
import sys
from pathlib import Path

import jax
import mujoco.batch
import pytest

from walkies import later


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a module inside it that it does not import itself."""
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "__init__.py").write_text("answer = 42\n")
    (tmp_path / "made_up" / "part.py").write_text("half = 21\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "made_up"
    for name in ("made_up", "made_up.part"):
        sys.modules.pop(name, None)


def test_a_library_is_imported_with_its_first_name_and_not_before(made_up: str) -> None:
    module = later.Later(made_up, "part")
    assert made_up not in sys.modules
    assert module.answer == 42 and module.part.half == 21
    assert sys.modules[made_up].answer == 42
    with pytest.raises(AttributeError, match="question"):
        _ = module.question


def test_nothing_is_set_in_the_stand_in(made_up: str) -> None:
    module = later.Later(made_up)
    with pytest.raises(AttributeError, match="import made_up itself"):
        module.answer = 43
    assert module.answer == 42


def test_a_library_that_is_missing_is_named_when_it_is_used() -> None:
    module = later.Later("no_such_library")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        _ = module.answer


def test_names_are_those_of_the_library() -> None:
    assert later.jax.Array is jax.Array and later.jnp.exp is jax.numpy.exp
    assert later.mujoco.batch.Batch is mujoco.batch.Batch
