"""The house: imports point downwards, nothing outside robots/ knows a robot, and functions are short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import walkies

SOURCE = Path(walkies.__file__).parent
CONTRIBUTING = SOURCE.parents[1] / "CONTRIBUTING.md"
LONGEST = 60
"""Lines of a function."""
REASON = "# Long:"
"""Begins the comment, in a function's first lines, that says why it is longer."""
LARGEST_ROOM = 2000
"""Lines of Python in one folder, without its inner rooms."""

SIZES = {12: "joints", 18: "velocities", 19: "coordinates", 33: "frame without a constant", 36: "frame"}
"""Of the first robot."""
NOT_A_ROBOT: dict[str, tuple[int, str]] = {
    "accel/cpu.py": (1, "the largest nice value"),
    "envs/classic.py": (1, "the pole's 12 degrees"),
    "run/config.py": (1, "12 minibatches"),
    "sim/native.py": (1, "12 points of a line search"),
    "lab/ladder/command.py": (1, "an age of 12 iterations"),
    "show/rendering/camera.py": (1, "degrees"),
    "deploy/identification/windows.py": (1, "control steps of a window"),
    "show/viewer/scene.py": (1, "points of a sphere"),
}
"""Files in which such a number is something else, how often, and what."""
LOADERS = {"sim.native", "lab.bench.physics", "cli.doctor"}
"""Who imports `accel.library` besides `accel`: the simulator, and two that name the instruction set."""


def floors(text: str) -> list[list[str]]:
    """The rooms of the diagram in CONTRIBUTING.md, from the top; those of one floor know nothing of each other."""
    diagram = text.split("```text\n")[1].split("```")[0]
    return [re.findall(r"[a-z]+", line.partition("  ")[0]) for line in diagram.splitlines() if line.strip()]


def room(module: str) -> str:
    return module.split(".")[0]


def imports(source: Path) -> Iterator[tuple[str, str]]:
    """(module, what it imports of walkies), names without `walkies.`; also where a function imports."""
    for path in sorted(source.rglob("*.py")):
        module = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        if module in ("__init__", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
                inner = node.module == "walkies"
                names = [f"walkies.{alias.name}" for alias in node.names] if inner else [node.module]
            else:
                continue
            for name in names:
                if name.startswith("walkies.") and not name.startswith("walkies.__"):
                    yield module, name.removeprefix("walkies.")


def upwards(source: Path, order: list[list[str]]) -> list[str]:
    """Imports that do not point to a lower floor."""
    floor = {name: i for i, row in enumerate(order) for name in row}
    found = []
    for module, target in imports(source):
        here, there = room(module), room(target)
        if here != there and floor.get(there, -1) <= floor.get(here, len(order)):
            found.append(f"{module} → {target}")
    return sorted(set(found))


def test_imports_point_downwards():
    order = floors(CONTRIBUTING.read_text(encoding="utf-8"))
    assert upwards(SOURCE, order) == []
    rooms = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for row in order for name in row} == rooms - {"__init__", "__main__"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from walkies.files import read_json", []),
        ("from walkies.run.folders import RunFolder", ["deploy.lint → run.folders"]),
        ("def f():\n    from walkies import run", ["deploy.lint → run"]),
        ("import walkies.judge", ["deploy.lint → judge"]),
        ("from walkies.attic import x", ["deploy.lint → attic"]),
        ("import numpy", []),
    ],
)
def test_an_import_that_points_up_is_noticed(tmp_path, line, found):
    """Control of the test above."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "lint.py").write_text(line)
    assert upwards(tmp_path, [["run"], ["judge"], ["deploy"], ["files"]]) == found


def sizes(path: Path) -> list[str]:
    """Where a file says a number that is one of SIZES, or a robot's name, outside its documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    words = [
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
        if isinstance(node.body[0], ast.Expr)
    ]
    words += [node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)]
    prose = {id(inner) for word in words for inner in ast.walk(word) if isinstance(inner, ast.Constant)}
    prose |= {id(node.right) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in prose:
            if type(node.value) in (int, float) and node.value in SIZES:
                found.append(f"line {node.lineno}: {node.value} ({SIZES[int(node.value)]})")
            if isinstance(node.value, str) and node.value.lower() == "pupper":
                found.append(f"line {node.lineno}: {node.value!r}")
        name = getattr(node, "id", getattr(node, "attr", getattr(node, "name", "")))
        if isinstance(name, str) and "pupper" in name.lower() and not isinstance(node, ast.alias):
            found.append(f"line {node.lineno}: {name}")
    return found


def test_nothing_outside_robots_knows_a_robot():
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        said = [] if name.startswith("robots/") else sizes(path)
        if len(said) != NOT_A_ROBOT.get(name, (0, ""))[0]:
            found[name] = said
    assert found == {}
    assert [name for name in NOT_A_ROBOT if not (SOURCE / name).exists()] == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x = np.zeros((n, 12))", 1),
        ("joints = qpos[7:19]", 1),
        ("def f(n=36): pass", 1),
        ('robot = "pupper"', 1),
        ("make_pupper()", 1),
        ('"""A robot with 12 joints, such as pupper."""\nx = np.zeros(robot.num_joints)', 0),
        ('x = 1\n"""(n, 12) of pupper"""', 0),
        ("x = 0.12 + 120 + 10**12", 0),
    ],
)
def test_a_robots_size_or_name_is_noticed(tmp_path, text, count):
    """Control of the test above."""
    (tmp_path / "a.py").write_text(text)
    assert len(sizes(tmp_path / "a.py")) == count


def long_functions(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    lines, found = text.splitlines(), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1
            if length > LONGEST and not any(REASON in line for line in lines[node.lineno - 1 : node.end_lineno]):
                found.append(f"{node.name}: {length} lines")
    return found


def test_functions_are_short_or_say_why_not():
    found = {str(path.relative_to(SOURCE)): long for path in SOURCE.rglob("*.py") if (long := long_functions(path))}
    assert found == {}


@pytest.mark.parametrize(("lines", "reason", "found"), [(58, "", 0), (59, "", 1), (59, "# Long: one table.", 0)])
def test_a_long_function_is_noticed(tmp_path, lines, reason, found):
    """Control of the test above."""
    body = [reason, *["    x = 1"] * lines] if reason else ["", *["    x = 1"] * lines]
    (tmp_path / "a.py").write_text("def f():\n" + "\n".join(f"    {line.strip()}" for line in body) + "\n")
    assert len(long_functions(tmp_path / "a.py")) == found


def large_rooms(source: Path) -> list[str]:
    """Folders with too many lines of Python in them, without the folders inside."""
    folders = [source, *(path for path in source.rglob("*") if path.is_dir() and path.name != "__pycache__")]
    lengths = {
        folder.relative_to(source).as_posix(): sum(
            len(path.read_text(encoding="utf-8").splitlines()) for path in folder.glob("*.py")
        )
        for folder in folders
    }
    return [name for name, lines in lengths.items() if lines > LARGEST_ROOM]


def test_no_room_is_too_large():
    assert large_rooms(SOURCE) == []


@pytest.mark.parametrize(("lines", "found"), [(LARGEST_ROOM, []), (LARGEST_ROOM + 1, ["a"])])
def test_a_room_that_is_too_large_is_noticed(tmp_path, lines, found):
    """Control of the test above: two files count together, an inner room for itself."""
    (tmp_path / "a" / "inner").mkdir(parents=True)
    (tmp_path / "a" / "x.py").write_text("x = 1\n" * (lines - 1000))
    (tmp_path / "a" / "y.py").write_text("x = 1\n" * 1000)
    (tmp_path / "a" / "inner" / "z.py").write_text("x = 1\n" * 1500)
    assert large_rooms(tmp_path) == found


def loaders(source: Path) -> set[str]:
    """Modules outside `accel` that import its library."""
    found = set()
    for path in source.rglob("*.py"):
        module = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                if any(f"{name}.".startswith("walkies.accel.library.") for name in names) and room(module) != "accel":
                    found.add(module)
    return found


def test_the_native_library_has_one_door(tmp_path):
    assert loaders(SOURCE) == LOADERS
    (tmp_path / "rl.py").write_text("def f():\n    from walkies.accel import library\n")  # the control
    (tmp_path / "sim.py").write_text("from walkies.accel.library import isa\n")
    (tmp_path / "run.py").write_text("from walkies.accel import networks\n")
    assert loaders(tmp_path) == {"rl", "sim"}
