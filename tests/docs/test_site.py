"""The site of the documentation: its pages are made whole, and what would be wrong with a built one is noticed.

The site itself is built and checked by `make docs`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "site"))

import site_check  # noqa: E402
import site_pages  # noqa: E402

from walkies.show.pictures import theme  # noqa: E402

FINE = """<link rel="stylesheet" href="style.css"><link rel="canonical" href="https://example.org/a.html">
<script src="inner/code.js?v=1"></script><img src="data:image/png;base64,AAAA"><a href="https://example.org">there</a>
<h2 id="here">Here</h2><a href="#here">up</a> <a href="inner/b.html#lines">b</a> <a href="inner/">no file, but:</a>"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two pages with nothing wrong, a script and a style sheet."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.html").write_text(FINE.replace('<a href="inner/">no file, but:</a>', ""))
    (tmp_path / "inner" / "b.html").write_text('<p id="lines"><a href="../a.html#here">a</a></p>')
    (tmp_path / "inner" / "code.js").write_text("")
    (tmp_path / "style.css").write_text("@font-face { src: url('inner/code.js'); }")
    return tmp_path


def test_a_whole_site_has_no_faults(site: Path) -> None:
    assert site_check.faults(site) == []


@pytest.mark.parametrize(
    ("html", "says"),
    [
        ('<script src="https://cdn.example.org/a.js"></script>', "loads https://cdn.example.org/a.js"),
        ('<script src="//cdn.example.org/a.js"></script>', "loads //cdn.example.org/a.js"),
        ('<link rel="stylesheet" href="https://fonts.example.org/css">', "loads https://fonts.example.org/css"),
        ('<link rel="preconnect" href="http://fonts.example.org">', "loads http://fonts.example.org"),
        ('<img src="http://example.org/a.png">', "loads http://example.org/a.png"),
        ('<img src="inner/code.js" srcset="inner/code.js, //example.org/a.png 2x">', "loads //example.org/a.png"),
        ('<iframe src="https://example.org"></iframe>', "loads https://example.org"),
        ("<style>@import 'https://example.org/a.css';</style>", "loads https://example.org/a.css"),
        ('<p style="background: url(https://example.org/a.png)">', "loads https://example.org/a.png"),
        ('<a href="inner/c.html">c</a>', "inner/c.html leads nowhere"),
        ('<a href="inner/">c</a>', "inner/ leads nowhere"),
        ('<a href="/inner/b.html">c</a>', "/inner/b.html leads nowhere"),
        ('<a href="inner/b.html#line">c</a>', "inner/b.html#line has no such anchor"),
        ('<a href="#there">c</a>', "#there has no such anchor"),
        ('<img src="inner/none.png">', "inner/none.png leads nowhere"),
    ],
)
def test_each_fault_is_noticed(site: Path, html: str, says: str) -> None:
    """Control of the test above."""
    with (site / "a.html").open("a") as page:
        page.write(html)
    assert site_check.faults(site) == [f"a.html {says}" if says.startswith("loads") else f"a.html: {says}"]


def test_a_style_sheet_that_loads_from_elsewhere_is_noticed(site: Path) -> None:
    (site / "style.css").write_text("@font-face { src: url(https://example.org/font.woff2) }")
    assert site_check.faults(site) == ["style.css loads https://example.org/font.woff2"]


def marked(tex: str, alone: bool) -> str:
    """In the place of MathML."""
    return f"<math>{tex}</math>" if not alone else f"<math block>{tex}</math>"


@pytest.fixture(scope="module")
def made() -> tuple[dict[str, str], list[str]]:
    """The site's pages, and links that lead nowhere."""
    wrong: list[str] = []
    return site_pages.pages(wrong.append, marked), wrong


def test_every_link_of_the_repository_has_its_place_on_the_site(made: tuple[dict[str, str], list[str]]) -> None:
    pages, wrong = made
    assert wrong == []
    assert {"index.md", "first_walk.md", "changelog.md", "source/src/walkies/rl/advantages.py.md"} <= set(pages)
    targets = re.findall(r"\]\((?![a-z]+:)([^)\s#]+\.md)", "\n".join(pages["lecture/08-gae.md"].splitlines()))
    assert "../source/src/walkies/rl/advantages.py.md" in targets


def test_every_page_is_in_the_navigation(made: tuple[dict[str, str], list[str]]) -> None:
    listed = re.findall(r"^ +- (?:\w+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(page for page in made[0] if not page.startswith(f"{site_pages.SOURCE}/"))


def wide(folder: Path) -> list[str]:
    """PNG files that are wider than a picture of walkies may be; their width stands at a fixed place."""
    widths = {path: int.from_bytes(path.read_bytes()[16:20], "big") for path in sorted(folder.rglob("*.png"))}
    return [f"{path.relative_to(folder)}: {width}" for path, width in widths.items() if width > theme.WIDEST]


def test_pictures_are_as_narrow_as_those_that_are_drawn_today(tmp_path: Path) -> None:
    assert wide(ROOT / "docs") == []
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (theme.WIDEST + 1).to_bytes(4, "big"))
    assert wide(tmp_path) == [f"a.png: {theme.WIDEST + 1}"], "the control"


def test_the_reference_names_modules_that_there_are() -> None:
    pages = sorted((ROOT / "docs" / "api").glob("*.md"))
    names = [name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)]
    files = [ROOT / "src" / name.replace(".", "/") for name in names]
    assert [file for file in files if not (file / "__init__.py").is_file() and not Path(f"{file}.py").is_file()] == []
    assert len(names) == len(set(names)) > 50


@pytest.mark.parametrize(
    ("text", "page", "becomes"),
    [
        ("[x](../change.md#a-gain)", "lecture/README.md", "[x](../change.md#a-gain)"),
        ("[x](../README.md#use-it)", "play.md", "[x](index.md#use-it)"),
        ("![x](docs/pictures/walk.gif)", "index.md", "![x](pictures/walk.gif)"),
        ("[x](docs/first_walk.ipynb)", "index.md", "[x](first_walk.md)"),
        ("[x](benchmarks/rows)", "benchmarks.md", "[x](source/docs/benchmarks/rows.md)"),
        ("[x](lecture.py)", "lecture/README.md", "[x](../source/docs/lecture/lecture.py.md)"),
        ("[x](#here) and [y](https://example.org/a.md)", "play.md", "[x](#here) and [y](https://example.org/a.md)"),
        ("```md\n[x](nothing.md)\n```", "play.md", "```md\n[x](nothing.md)\n```"),
    ],
)
def test_links_go_where_the_site_has_their_targets(text: str, page: str, becomes: str) -> None:
    wrong: list[str] = []
    assert site_pages.rewritten(text, page, wrong.append) == becomes
    assert wrong == []


def test_a_name_goes_to_the_line_that_defines_it() -> None:
    path = "src/walkies/rl/advantages.py"
    text = site_pages.rewritten(f"[`gae`](../../{path})", "lecture/08-gae.md", pytest.fail)
    found = re.search(r"#__codelineno-0-(\d+)\)$", text)
    assert found and (ROOT / path).read_text(encoding="utf-8").splitlines()[int(found[1]) - 1].startswith("def gae(")


@pytest.mark.parametrize("target", ["nothing.md", "../src/walkies/nothing.py", "pictures/nothing.png"])
def test_a_link_that_leads_nowhere_is_noticed(target: str) -> None:
    """Control."""
    wrong: list[str] = []
    assert site_pages.rewritten(f"[x]({target})", "play.md", wrong.append) == f"[x]({target})"
    assert len(wrong) == 1 and target in wrong[0]


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("so $a_t$, and $b$.", "so <span><math>a&#95;t</math></span>, and <span><math>b</math></span>."),
        ("$$ a\n  b $$", "<math block>a\n  b</math>"),
        ("$p(a \\mid s)$", "<span><math>p(a &#92;mid s)</math></span>"),
        ("`$HOME` or `$x$`, 5 $ and 6 $", "`$HOME` or `$x$`, 5 $ and 6 $"),
        ("```sh\necho $a $b\n```", "```sh\necho $a $b\n```"),
    ],
)
def test_equations_are_found_and_code_is_left_alone(text: str, becomes: str) -> None:
    assert site_pages.with_mathml(text, marked) == becomes


def test_a_notebook_becomes_its_cells() -> None:
    cells = [{"cell_type": "markdown", "source": ["# A\n", "b"]}, {"cell_type": "code", "source": ["x = 1"]}]
    assert site_pages.notebook_page(json.dumps({"cells": cells})) == "# A\nb\n\n```python\nx = 1\n```\n"
