"""The page of `walkies share` in a real browser: it opens from the disk, and its robot is driven, pushed and loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsing import POLICY, Page, until

from made_policies import still_trick
from walkies.deploy import policy_file
from walkies.robots import get_robot
from walkies.show.share.command import html

PHONES = [(390, 844), (844, 390)]
FORWARD = 0.25
"""m"""
OUTSIDE = """() => [...document.querySelectorAll("button, summary, input, .pad, h1, label, #world")].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width < 1 || box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight;
}).map((one) => one.outerHTML)"""
COVERED = """() => [...document.querySelectorAll("button, summary, input, .pad")].filter((element) => {
  const box = element.getBoundingClientRect();
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
  return top !== element && !element.contains(top);
}).map((element) => element.outerHTML)"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shared") / "share.html"
    path.write_text(html(policy_file.read(POLICY), get_robot("pupper"), "<b onclick=alert(1)>my dog"), encoding="utf-8")
    return path


def opened(page: Page, file: Path) -> Callable[[], list[float]]:
    """Open it; where the robot is, m, is then what is returned."""
    page.page.goto(file.as_uri())
    place = page.page.locator("canvas").evaluate_handle("canvas => canvas.dataset")

    def where() -> list[float]:
        return [float(word) for word in str(place.evaluate("data => data.place || ''")).split()]

    until(where, 60, "the robot lives")
    return where


def test_it_is_driven_from_the_disk(file: Path, open_page: Callable[..., Page]) -> None:
    page = open_page()
    requests: list[str] = []
    page.page.on("request", lambda request: requests.append(request.url))
    where = opened(page, file)
    page.page.wait_for_timeout(1500)
    start = where()
    assert abs(start[0]) < 0.1 and abs(start[1]) < 0.1 and start[2] > 0.1, "it stands, where nobody drives it"
    page.page.keyboard.down("w")
    until(lambda: where()[0] > start[0] + FORWARD, 60, "it walks forward")
    page.page.keyboard.up("w")
    # The list of gamepads is replaced, since none is plugged in here.
    ahead = where()[0]
    page.page.evaluate("navigator.getGamepads = () => [{connected: true, axes: [0, -1, 0, 0], buttons: []}]")
    until(lambda: where()[0] > ahead + FORWARD, 60, "a gamepad drives it forward")
    page.page.evaluate("navigator.getGamepads = () => []")
    page.page.click("summary")
    page.page.locator("#payload").fill("20")
    assert page.page.inner_text("#world label:has(#payload) output") == "1 kg"
    page.page.click("#push")
    page.page.keyboard.press("r")
    until(lambda: where()[2] > 0.1, 20, "it stands up")
    assert page.complaints == [], "nor does it ask for what its Content-Security-Policy forbids"
    assert page.page.inner_text("h1") == "<b onclick=alert(1)>my dog"
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == [], "it needs no network"
    page.page.evaluate("document.querySelector('h1').textContent = 'Pupper'")  # the name above is not for people
    page.picture("share", docs=True)


@pytest.mark.parametrize("size", PHONES)
def test_it_fits_a_phone_and_is_driven_by_touch(
    size: tuple[int, int], file: Path, open_page: Callable[..., Page]
) -> None:
    page = open_page(size=size)
    where = opened(page, file)
    page.page.click("summary")
    overflow = "() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert page.page.evaluate(overflow) == list(size)
    assert page.page.evaluate(OUTSIDE) == [], "nothing hangs out of the window"
    assert page.page.evaluate(COVERED) == [], "nothing lies over a control"
    box: Any = page.page.locator("#move").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    start = where()
    page.page.mouse.move(*middle)
    page.page.mouse.down()
    page.page.mouse.move(middle[0], box["y"] + 2, steps=4)
    until(lambda: where()[0] > start[0] + FORWARD, 60, "the joystick drives it forward")
    page.page.mouse.up()
    page.picture(f"share-{size[0]}")
    assert page.complaints == []


@pytest.mark.parametrize("size", [(1280, 800), *PHONES])
def test_a_trick_plays_its_clips(size: tuple[int, int], open_page: Callable[..., Page], tmp_path: Path) -> None:
    """A policy that stands, whatever clip it is shown, and no command: there is nothing to drive it with."""
    file, robot = tmp_path / "trick.html", get_robot("pupper")
    file.write_text(html(still_trick(tmp_path / "policy.json", robot), robot, "a trick"), encoding="utf-8")
    page = open_page(size=size)
    opened(page, file)
    clips = page.page.locator("#clips button")
    pressed = '#clips button[aria-pressed="true"]'

    def playing() -> str:
        return "".join(letter for letter in page.page.inner_text(pressed) if letter.isalpha())

    until(lambda: page.page.locator(pressed).count() == 1, 60, "a clip plays")
    assert playing() == "stand" and clips.count() == 3
    assert not page.page.locator("#move").is_visible() and not page.page.locator("#turn").is_visible()
    page.page.click("summary")
    assert page.page.evaluate(OUTSIDE.replace(".pad, ", "")) == [], "nothing hangs out of the window"
    assert page.page.evaluate(COVERED.replace(", .pad", "")) == [], "nothing lies over a control"
    page.page.click("summary")
    page.page.click("#clips button:nth-child(2)")
    until(lambda: playing() == "bow", 60, "it bows, once the clip before has ended")
    until(lambda: playing() == "stand", 60, "and stands again")
    page.page.keyboard.press("3")
    until(lambda: playing() == "sit", 60, "a key does the same")
    page.page.wait_for_timeout(1500)
    assert playing() == "sit", "whose last frame is held"
    page.picture(f"share-trick-{size[0]}")
    assert page.complaints == []


def test_what_fell_stands_up_again(file: Path, open_page: Callable[..., Page], tmp_path: Path) -> None:
    """A policy that throws the robot down, by a last layer of large biases."""
    fallen = tmp_path / "fallen.html"
    policy = policy_file.read(POLICY)
    last = policy.layers[-1]
    signs = [3.0 if joint % 2 else -3.0 for joint in range(policy.num_joints)]
    assert last.weights is not None
    thrown = replace(last, weights=0.0 * last.weights, bias=0.0 * last.bias + signs)
    broken = replace(policy, layers=(*policy.layers[:-1], thrown))
    fallen.write_text(html(broken, get_robot("pupper"), "it falls"), encoding="utf-8")
    page = open_page()
    opened(page, fallen)
    notice = page.page.locator("#notice")
    until(notice.is_visible, 60, "it says that the robot fell")
    assert notice.inner_text() == "It fell, and stands up again."
    until(lambda: not notice.is_visible(), 60, "it stands up")
    opened(page, file)  # the control
    page.page.wait_for_timeout(3000)
    assert not notice.is_visible()
