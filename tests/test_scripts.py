"""Scripts that no other test runs (`make wheel`, benchmarks) import nothing that is not there."""

from __future__ import annotations

import ast
import importlib
import warnings
from pathlib import Path

import pytest

from walkies import renamed

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path for folder in (".ci", "benchmarks", "examples") for path in (ROOT / folder).glob("*.py"))


def missing(text: str) -> list[str]:
    """What a source text imports of walkies under a name that is not there, or only as an old one.

    Imports that the text is ready to miss, within try and except ImportError, are its own business; but what it tries
    first is no old name, which would fail silently once that is gone.
    """
    tree = ast.parse(text)
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    fallbacks = {id(inner) for node in tries for part in node.handlers for inner in ast.walk(part)}
    tried = {id(inner) for node in tries for part in node.body for inner in ast.walk(part)}
    found = []
    for node in ast.walk(tree):
        ours = isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("walkies.")
        old = ours and renamed.moved(node.module) is not None
        if ours and id(node) not in fallbacks and (old or id(node) not in tried):
            with warnings.catch_warnings():
                warnings.simplefilter("error", FutureWarning)
                found += [f"{node.module}.{alias.name}" for alias in node.names if not there(node.module, alias.name)]
    return found


def there(module: str, name: str) -> bool:
    try:
        if hasattr(importlib.import_module(module), name):
            return True
        importlib.import_module(f"{module}.{name}")
    except (ImportError, FutureWarning):
        return False
    return True


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_imports_what_there_is(script):
    assert missing(script.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from walkies.sim.base import initial_state", ["walkies.sim.base.initial_state"]),
        ("from walkies.experiment import TrainConfig", ["walkies.experiment.TrainConfig"]),
        ("from walkies.sim import actuation, make_simulator", []),
        ("try:\n    from walkies.attic import x\nexcept ImportError:\n    pass", []),
        ("try:\n    import nothing\nexcept ImportError:\n    from walkies.experiment import TrainConfig", []),
        (
            "try:\n    from walkies.run.editions import upgraded\nexcept ImportError:\n    pass",
            ["walkies.run.editions.upgraded"],
        ),
    ],
)
def test_what_is_not_there_is_noticed(text, found):
    """Control of the test above: gone, and only an old name."""
    assert missing(text) == found
