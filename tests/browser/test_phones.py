"""The page of `walkies play` on a telephone: nothing sticks out, and both joysticks are under the thumbs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from browsing import Page, Program

SIZES = {"upright": (390, 844), "on its side": (844, 390)}
THUMB = 40
"""Pixels that a thumb needs."""


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_robot_can_be_driven_with_two_thumbs(
    open_page: Callable[..., Page], player: Program, size: tuple[int, int]
) -> None:
    page = open_page(size=size)
    page.page.goto(player.address + "?view=off")
    page.page.wait_for_selector('body[data-kind="play"]')
    width, height = size
    assert page.page.evaluate("document.documentElement.scrollWidth") <= width
    header = page.page.locator("header").bounding_box()
    assert header is not None and header["height"] <= 0.15 * height
    sizes = {}
    for name in ("move", "turn"):
        box = sizes[name] = page.page.locator(f"#{name}").bounding_box()
        assert box is not None and min(box["width"], box["height"]) >= THUMB
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        assert box["y"] >= header["height"] and box["y"] + box["height"] <= height, "without scrolling"
    assert sizes["move"]["x"] + sizes["move"]["width"] <= sizes["turn"]["x"]  # type: ignore[index]
    for button in page.page.locator(".buttons button").all():
        box = button.bounding_box()
        assert box is not None and box["x"] + box["width"] <= width
    page.picture(f"play-{width}x{height}")


def test_a_page_that_is_too_wide_would_be_noticed(open_page: Callable[..., Page], player: Program) -> None:
    page = open_page(size=(390, 844))
    page.page.goto(player.address + "?view=off")
    page.page.wait_for_selector('body[data-kind="play"]')
    page.page.evaluate("document.querySelector('header').style.minWidth = '40rem'")
    assert page.page.evaluate("document.documentElement.scrollWidth") > 390
