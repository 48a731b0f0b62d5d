"""docs/proofs.md names every property once, and tests, controls and figures that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "proofs.md"
NUMBERS = range(1, 42)
ROW = re.compile(r"^\| T(?P<number>\d+) \| (?P<says>[^|]+) \| (?P<tests>[^|]+) \| (?P<control>[^|]+) \|$", re.M)
FIGURE = re.compile(r"`(-?[\d.]+(?:e-?\d+)?)`")
CONTROL = re.compile(r"\bcontrols?\b", re.I)


@cache
def functions(path: Path) -> dict[str, tuple[str, str]]:
    """Name → docstring and source of a file's functions."""
    text = path.read_text(encoding="utf-8")
    return {
        node.name: (ast.get_docstring(node) or "", ast.get_source_segment(text, node) or "")
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
    }


def numbers_in(text: str) -> set[float]:
    """Numbers of a source, signs apart."""
    return {float(number) for number in re.findall(r"(?<![\w.])\d+\.?\d*(?:e-?\d+)?", text)}


def complaints(page: str) -> list[str]:
    """Properties that are missing or doubled, tests that do not exist or name no such property, figures made up."""
    rows = list(ROW.finditer(page))
    found = [f"T{n} has {count} rows" for n in NUMBERS if (count := sum(int(r["number"]) == n for r in rows)) != 1]
    for row in rows:
        name, docs, source = f"T{row['number']}", "", ""
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row["tests"])
        if not tests:
            found.append(f"{name} has no test")
        for file, test in tests:
            defined = functions(ROOT / file) if (ROOT / file).exists() else {}
            if test not in defined:
                found.append(f"{name}: there is no {file}::{test}")
                continue
            doc, code = defined[test]
            if not re.search(rf"\b{name}[a-d]?\b", doc):
                found.append(f"{name}: the docstring of {test} is about something else")
            docs, source = docs + doc, source + code
        # A bound may be a constant of the file.
        constants = "".join(
            line for file, _ in tests if (ROOT / file).exists()
            for line in (ROOT / file).read_text(encoding="utf-8").splitlines(True) if re.match(r"[A-Z_]+ = ", line)
        )  # fmt: skip
        if docs and not CONTROL.search(docs + source):
            found.append(f"{name} has no control")
        for figure in FIGURE.findall(row["control"]):
            if abs(float(figure)) not in numbers_in(source + constants):
                found.append(f"{name}: no test of it knows {figure}")
    return found


def test_every_proof_is_there():
    assert complaints(PAGE.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("| T7 |", "| T77 |", "T7 has 0 rows"),
        ("| T7 |", "| T8 |", "T8 has 2 rows"),
        ("::test_scale`", "::test_scales`", "T11: there is no tests/rl/test_advantages.py::test_scales"),
        ("::test_scale`", "::test_powers_of_ten`", "T11: the docstring of test_powers_of_ten is about something else"),
        ("off by > `0.3`", "off by > `0.37`", "T41: no test of it knows 0.37"),
    ],
)
def test_what_is_made_up_is_noticed(old, new, complaint):
    """Control of the test above."""
    page = PAGE.read_text(encoding="utf-8")
    assert old in page
    assert complaint in complaints(page.replace(old, new))


def test_a_proof_without_a_control_is_noticed(tmp_path, monkeypatch):
    """Control: the same test whose docstring and body speak of none."""
    monkeypatch.setitem(globals(), "functions", lambda path: {"test_x": ("T1: x.", "")})
    assert "T1 has no control" in complaints("| T1 | x | `tests/rl/test_advantages.py::test_x` | nothing |")
