"""The lecture's pages: every cell runs, prints what the page says, and everything that a page names exists."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LECTURE = ROOT / "docs" / "lecture"
sys.path.insert(0, str(LECTURE))

import lecture  # noqa: E402

PAGES = lecture.pages()
ALL_PAGES = [
    *PAGES,
    LECTURE / "README.md",
    ROOT / "docs" / "compare.md",
    *(ROOT / "docs" / "compare").glob("*/README.md"),
]
LINK = re.compile(r"!?\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_cell_runs_and_prints_what_the_page_says(page, monkeypatch):
    monkeypatch.setenv(lecture.FAST, "1")
    monkeypatch.chdir(LECTURE)
    outputs = lecture.run(page)
    found = lecture.cells(page)
    assert found, "a page has something to run"
    for cell, output in zip(found, outputs, strict=True):
        comparable = lecture.worded if cell.measured else str
        assert comparable(output) == comparable(cell.printed or ""), f"line {cell.line}"


def test_cells_are_found_with_what_they_print(tmp_path):
    """Control: a result that is not what the cell prints is seen, and refreshing mends it."""
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```python\nx = 2\nprint(x)\n```\n\n```text\n3\n```\n\n```python\nx += 1\n```\n\n"
                    "```sh\nls\n```\n\n```python\nprint(x)\n```\n\n```text measured\n4\n```\n")  # fmt: skip
    found = lecture.cells(page)
    assert [cell.printed for cell in found] == ["3\n", None, "4\n"]
    assert [cell.measured for cell in found] == [False, False, True]
    assert [cell.line for cell in found] == [4, 13, 21]
    outputs = lecture.run(page)
    assert outputs == ["2\n", "", "3\n"] and outputs[0] != found[0].printed
    page.write_text(lecture.refreshed(page.read_text(), outputs))
    assert [cell.printed for cell in lecture.cells(page)] == ["2\n", None, "3\n"]
    assert page.read_text().count("```") == 12


def test_of_what_is_measured_the_words_count():
    """Numbers differ from run to run; a cell that prints something else than the page says is stale."""
    assert lecture.worded("falls 1,024 times in 0.5 s") == lecture.worded("falls 7 times in 16.25 s")
    assert lecture.worded("falls 7 times") != lecture.worded("falls in 7 s")


def test_an_error_names_the_page_and_its_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n\n```python\nx = 1\nx / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as caught:
        lecture.run(page)
    assert caught.traceback[-1].path == page and caught.traceback[-1].lineno + 1 == 5


def complaints(page: Path, text: str) -> list[str]:
    """What a page names that does not exist: files, functions in them, tests of that T-number, pictures not linked."""
    found = []
    for link in LINK.finditer(text):
        if "://" in link["target"]:
            continue
        target = page.parent / link["target"]
        if not target.exists():
            found.append(f"no file {link['target']}")
            continue
        name = link["text"].strip("`")
        if target.suffix != ".py" or not link["text"].startswith("`") or name.endswith(".py"):
            continue
        symbols = documented(target)
        if name not in symbols:
            found.append(f"no {name} in {link['target']}")
            continue
        number = re.search(r"\bT(\d+),\s*$", text[: link.start()])
        if number and int(number[1]) not in t_numbers(symbols[name]) | t_numbers(symbols[""]):
            found.append(f"{name} is not T{number[1]}")
    return found


def documented(path: Path) -> dict[str, str]:
    """Name → docstring of everything that a Python file defines, methods included; the file's own under ""."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {"": ast.get_docstring(tree) or ""}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ast.get_docstring(node) or ""
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for name in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(name, ast.Name):
                    found.setdefault(name.id, "")
    return found


def t_numbers(docstring: str) -> set[int]:
    """The T-numbers that a docstring names, ranges such as T6–T14 included."""
    found = {int(number) for number in re.findall(r"\bT(\d+)", docstring)}
    for first, last in re.findall(r"\bT(\d+)–T(\d+)", docstring):
        found |= set(range(int(first), int(last) + 1))
    return found


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_everything_that_is_named_exists(page):
    assert complaints(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[x](../nowhere.md)", "no file ../nowhere.md"),
        ("![x](pictures/none.png)", "no file pictures/none.png"),
        ("[`gea`](../../src/walkies/rl/advantages.py)", "no gea in ../../src/walkies/rl/advantages.py"),
        ("T9, [`test_gae_is_its_sum_`](../../tests/rl/test_advantages.py)", "no test_gae_is_its_sum_ in"),
        (
            "T28, [`test_kl_penalty_is_the_surrogate_and_a_price`](../../tests/rl/test_pathwise.py)",
            "no test_kl_penalty",
        ),
        ("T41,\n[`test_gae_is_its_sum`](../../tests/rl/test_advantages.py)", "test_gae_is_its_sum is not T41"),
    ],
)
def test_what_is_made_up_is_noticed(text, complaint):
    """Control of the test above."""
    (found,) = complaints(PAGES[0], text)
    assert complaint in found


def test_every_page_has_its_parts():
    """An equation, a function, a cell, a picture that exists, a mistake and its test; and all pages are in order."""
    assert [page.name[:2] for page in PAGES] == [f"{number:02}" for number in range(1, len(PAGES) + 1)]
    contents = (LECTURE / "README.md").read_text(encoding="utf-8")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert f"]({page.name})" in contents
        assert "../../src/walkies/" in text and "```python\n" in text
        assert "$$" in text or page.name == "11-three-words.md", "a page that is about records has no equation"
        assert "![" in text and "usual mistake" in text and "`test_" in text
    for picture in (LECTURE / "pictures").iterdir():
        assert any(f"pictures/{picture.name}" in page.read_text(encoding="utf-8") for page in PAGES), picture
