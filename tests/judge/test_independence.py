"""The judge is apart from the learner: it draws its own conditions and reads nothing but policy files."""

import ast
from pathlib import Path

import pytest

import walkies

ROOT = Path(walkies.__file__).parent
TRAINING = (
    {"walkies.rl", "walkies.run", "walkies.gymnasium", "walkies.show", "walkies.lab", "walkies.cli"}
    | {
        f"walkies.tasks.{path.stem}"
        for path in (ROOT / "tasks").iterdir()
        if path.suffix in (".py", "") and path.stem not in ("signal", "contract", "gait", "motion", "__pycache__")
    }
    | {"walkies.tasks.motion.task", "walkies.tasks.motion.terms"}
)
"""What neither the judge nor what runs on the robot may know: of tasks, only contract, signals and references."""


def imported(text: str) -> set[str]:
    """Modules that a source text imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def forbidden(text: str, names: set[str]) -> set[str]:
    return {module for module in imported(text) for name in names if module == name or module.startswith(f"{name}.")}


@pytest.mark.parametrize("room", ["judge", "deploy"])
def test_neither_judge_nor_deploy_knows_training(room):
    names = TRAINING | ({"walkies.judge"} if room == "deploy" else set())
    files = sorted((ROOT / room).rglob("*.py"))
    assert len(files) > 5
    for path in files:
        assert not forbidden(path.read_text(encoding="utf-8"), names), path


def test_conditions_know_neither():
    assert not forbidden((ROOT / "sim" / "conditions.py").read_text(encoding="utf-8"), {*TRAINING, "walkies.judge"})


def test_an_import_of_training_would_be_seen():
    wrong = "def f():\n    from walkies.tasks import walk\n    import walkies.rl.train"
    assert forbidden(wrong, TRAINING) == {"walkies.tasks.walk", "walkies.rl.train"}
    assert forbidden("from walkies.tasks.randomization import draw", TRAINING), "a package of tasks, too"
    assert not forbidden("from walkies.sim import conditions", TRAINING)


def test_policies_are_driven_in_one_place_only():
    """Nobody else pushes a frame into a history, or asks a controller for its next tick."""
    allowed = {
        "judge/loop.py", "deploy/controllers/generic.py", "deploy/controllers/neural_controller.py",
        "lab/bench/physics.py",
    }  # fmt: skip
    driving = {
        str(path.relative_to(ROOT))
        for room in ("judge", "deploy", "show", "lab", "cli")
        for path in (ROOT / room).rglob("*.py")
        if any(call in path.read_text(encoding="utf-8") for call in (".push(history", "controller.tick("))
    }
    assert driving <= allowed and "judge/loop.py" in driving
