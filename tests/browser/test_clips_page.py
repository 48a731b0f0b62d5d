"""`walkies play` on policies that follow something: clips are played by name, and the reference is drawn."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browsing import DRAWN, POLICY, Page, Program, driven, free_port, until

from made_policies import still_gait, still_trick
from walkies.robots import get_robot

WALKS, GAIT, TRICK = range(3)
"""Stages."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that walks, one that is shown a gait, and one that is shown a movement; the last two only stand."""
    folder, robot = tmp_path_factory.mktemp("tricks"), get_robot("pupper")
    (folder / "stages").mkdir()
    shutil.copy(POLICY, folder / "stages" / "000000010000.json")
    still_gait(folder / "stages" / "000000020000.json", robot)
    still_trick(folder / "policy.json", robot)
    return folder


@pytest.fixture(scope="module")
def program(run: Path) -> Iterator[Program]:
    program = Program("play", str(run), "--no-open", "--port", str(free_port()))
    yield program
    program.stop()


@pytest.fixture(scope="module")
def shared(browser: object, program: Program) -> Iterator[Page]:
    with driven(browser, program) as opened:
        yield opened


@pytest.fixture
def page(shared: Page, program: Program) -> Page:
    choose(program, TRICK)
    until(lambda: shared.page.locator("#clips button").count() == 3, 10, "the page has heard")
    return shared


def choose(program: Program, stage: int) -> None:
    """Begin anew with a policy whose controller has started."""
    program.say(stage=stage, reset=True, paused=False, speed=1.0, reference=False)
    until(lambda: program.state["stage"] == stage, 20, f"stage {stage}")
    wait(program, 4.2)  # its controller starts and fades in


def wait(program: Program, seconds: float) -> None:
    """Let so much of the robot's time pass."""
    start = program.rows[-1]["t"]
    until(lambda: program.rows[-1]["t"] > start + seconds, 60, f"{seconds} s pass")


def playing(page: Page) -> list[str]:
    """The names on highlighted buttons, without their numbers."""
    return [text.split()[-1] for text in page.page.locator('#clips button[aria-pressed="true"]').all_inner_texts()]


def test_a_clip_is_played_by_its_button_and_by_its_number(page: Page, program: Program) -> None:
    assert [text.split() for text in page.page.locator("#clips button").all_inner_texts()] == [
        ["1", "stand"], ["2", "bow"], ["3", "sit"],
    ]  # fmt: skip
    assert playing(page) == ["stand"]
    page.page.click("#clips button:nth-child(3)")
    until(lambda: program.state["clip"] == "sit", 20, "the clip plays")
    until(lambda: playing(page) == ["sit"], 10, "its button is highlighted, and no other")
    page.page.keyboard.press("2")
    until(lambda: "bow" in (program.state["clip"], *program.state["queue"]), 20, "its number plays another")
    until(lambda: playing(page) == ["stand"], 20, "which is followed by the next")
    page.page.keyboard.press("4")
    page.page.keyboard.press("9")
    wait(program, 1.0)
    assert (program.state["clip"], program.state["queue"]) == ("stand", []), "there is no clip of such a number"
    assert page.complaints == []


def test_a_clip_that_waits_is_marked(page: Page, program: Program) -> None:
    program.say(paused=True)
    until(lambda: program.state["paused"], 20, "it pauses")
    page.page.click("#clips button:nth-child(2)")
    until(lambda: program.state["queue"] == ["bow"], 20, "it waits")
    marked = page.page.locator("#clips button.queued")
    until(lambda: marked.count() == 1, 10, "one is marked")
    assert marked.inner_text().endswith("bow")
    page.picture("clips")
    program.say(paused=False)
    until(lambda: marked.count() == 0, 20, "it does not wait any more")


def test_controls_are_those_of_the_chosen_policy(page: Page, program: Program) -> None:
    sticks = ("#move", "#turn", "#driving", "#keys")
    assert not any(page.page.is_visible(name) for name in sticks)
    assert "cannot be steered" in page.page.inner_text("#unsteered") and page.page.is_visible("#seen")
    page.page.keyboard.press("w", delay=300)
    assert not any(any(row["command"]) for row in program.recent(1.0)), "keys neither"
    for stage, follows in ((GAIT, True), (WALKS, False)):
        choose(program, stage)
        until(lambda: page.page.is_hidden("#clips"), 10, "there are no clips")
        assert all(page.page.is_visible(name) for name in sticks) and page.page.is_hidden("#unsteered")
        assert page.page.is_visible("#seen") == follows
        page.page.keyboard.down("w")
        until(lambda: program.rows[-1]["command"][0] > 0, 20, "keys drive")
        page.page.keyboard.up("w")


def stripes(page: Page) -> int:
    """Pixels of the contact plot in a column at its right, in the colour of lines and words."""
    script = """(canvas) => {
        const x = canvas.width - 12, ink = getComputedStyle(document.documentElement).getPropertyValue("--quiet");
        const data = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height).data;
        const wanted = [1, 3, 5].map((i) => parseInt(ink.trim().slice(i, i + 2), 16));
        let found = 0;
        for (let i = 0; i < data.length; i += 4) if (wanted.every((value, j) => data[i + j] === value)) found++;
        return found;
    }"""
    return int(page.page.eval_on_selector("#gait", script))


def test_the_contact_plot_has_the_stance_of_a_gait(page: Page, program: Program) -> None:
    choose(program, GAIT)
    until(lambda: stripes(page) > 4, 20, "a line per foot")
    assert page.page.is_visible("#stances")
    standing = stripes(page)
    page.page.keyboard.down("w")
    until(lambda: 0 < stripes(page) < standing, 20, "some feet swing")
    wait(program, 1.0)
    page.picture("stance")
    page.page.keyboard.up("w")
    choose(program, WALKS)
    until(lambda: stripes(page) == 0, 20, "no line where nothing is followed")
    assert page.page.is_hidden("#stances")


def blue(page: Page) -> int:
    """Pixels of the small view in which the ghost's colour is seen."""
    pixels = [int(pixel) for pixel in page.view()[1].split(",") if pixel]
    colours = [(pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255) for pixel in pixels]
    return sum(b - r > 40 for r, _, b in colours)


def test_the_reference_is_drawn_while_its_box_is_ticked(open_page: Callable[..., Page], program: Program) -> None:
    whole = open_page(size=(1100, 760))
    whole.page.goto(program.address)
    until(lambda: whole.view()[0] > 100, DRAWN, "the 3-D view draws")
    choose(program, TRICK)
    program.say(clip="sit")
    until(lambda: program.state["clip"] == "sit", 20, "the clip plays")
    before = blue(whole)
    whole.page.check("#reference")
    until(lambda: program.state["reference"] is True, 20, "the program has heard")
    until(lambda: blue(whole) > before + 10, 60, "the ghost is seen")
    whole.picture("ghost")
    assert whole.page.is_checked("#reference")
    whole.page.uncheck("#reference")
    until(lambda: blue(whole) <= before + 3, 60, "it is gone")
    assert whole.complaints == []


@pytest.mark.parametrize("size", [(390, 844), (844, 390)], ids=["upright", "on its side"])
def test_clips_are_under_the_thumbs_on_a_telephone(
    open_page: Callable[..., Page], program: Program, size: tuple[int, int]
) -> None:
    choose(program, TRICK)
    page = open_page(size=size)
    page.page.goto(program.address + "?view=off")
    page.page.wait_for_selector("#clips button")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for button in page.page.locator("#clips button").all():
        box = button.bounding_box()
        assert box is not None and box["height"] >= 40 and box["x"] >= 0 and box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1], "without scrolling"
    page.picture(f"clips-{size[0]}x{size[1]}")
