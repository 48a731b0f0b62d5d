"""The lecture's interactive pictures: each draws, follows its sliders, and fits a telephone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import ROOT, Page

DOCS = ROOT / "docs"
NAMES = sorted(
    name
    for path in (DOCS / "lecture").glob("*.md")
    for name in re.findall(r"<!-- interactive: (\w+) -->", path.read_text(encoding="utf-8"))
)


@pytest.fixture
def lecture(tmp_path: Path) -> Path:
    """A page with a place for every picture, opened from the disk, as the site has them."""
    places = "".join(f'<div class="interactive" data-figure="{name}"></div>' for name in NAMES)
    scripts = "".join((DOCS / "lecture" / name).read_text() for name in ("figures.js", "interactive.js"))
    (tmp_path / "page.html").write_text(
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<style>{(DOCS / 'site' / 'site.css').read_text().split('/* Lines of')[1]}</style>{places}"
        f"<script>{scripts}</script>"
    )
    return tmp_path / "page.html"


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)], ids=["screen", "telephone"])
def test_pictures_follow_their_sliders(open_page: Callable[..., Page], lecture: Path, size: tuple[int, int]) -> None:
    """Every slider moves a curve or a point, and changes what is said."""
    page = open_page(size=size)
    page.page.goto(lecture.as_uri())
    assert len(NAMES) > 4 and page.page.locator(".interactive svg").count() == len(NAMES)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for name in NAMES:
        place = page.page.locator(f'[data-figure="{name}"]')
        for slider in place.locator("input").all():
            before = place.locator("svg").inner_html(), place.locator("output").inner_text()
            slider.press("ArrowLeft")
            slider.press("ArrowLeft")
            after = place.locator("svg").inner_html(), place.locator("output").inner_text()
            assert before[0] != after[0], (name, slider.get_attribute("name"))
    page.picture(f"lecture-{size[0]}")
    assert page.complaints == []
