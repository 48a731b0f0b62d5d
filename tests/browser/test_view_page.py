"""`walkies robot view` in a real browser: sliders move the robot where MuJoCo has it, and its pose is saved."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest
from browsing import Page, served, until

from walkies.robots.folders import MODEL, RECORD, ZOO
from walkies.robots.reading.infer import add

FEET = (42, 127, 63)
"""Of the legend, #2a7f3f."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a robot of its own."""
    folder = tmp_path_factory.mktemp("place")
    add(ZOO / "servo-dog" / "model.xml", "mine", folder / "robots")
    return folder


@pytest.fixture(scope="module")
def address(workplace: Path) -> Iterator[str]:
    process, found = served("robot", "view", "mine", "--no-open", "--port", "0", folder=workplace)
    yield found
    process.terminate()
    process.wait(timeout=15)


@pytest.fixture
def page(open_page: Callable[..., Page], address: str) -> Page:
    opened = open_page(size=(1200, 900))
    opened.page.goto(address)
    opened.page.wait_for_selector("#facts dd")
    return opened


def move(page: Page, joint: str, angle: float) -> None:
    """Move a slider as a hand does, and wait until the program has answered."""
    page.page.locator(f'input[type="range"][name="{joint}"]').evaluate(
        "(slider, angle) => { slider.value = angle; slider.dispatchEvent(new Event('input')); }", angle
    )
    page.page.wait_for_timeout(300)


def pose(page: Page) -> dict[str, float]:
    return json.loads(page.page.input_value("#text"))


def feet(folder: Path, angles: dict[str, float]) -> dict[str, np.ndarray]:
    """(3,) m of each foot's middle, the lowest of which is on the ground, by MuJoCo."""
    model = mujoco.MjModel.from_xml_path(str(folder / MODEL))
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, 0, 1, 0, 0, 0]
    for joint, angle in angles.items():
        data.joint(joint).qpos = angle
    mujoco.mj_kinematics(model, data)
    record = tomllib.loads((folder / RECORD).read_text())
    names = [foot for leg in record["legs"].values() for foot in leg["feet"]]
    ground = min(data.geom(name).xpos[2] - model.geom(name).size[0] for name in names)
    return {name: data.geom(name).xpos - [0, 0, ground] for name in names}


def seen(page: Page, point: np.ndarray) -> tuple[int, ...]:
    """The colour at a point of the world, by the view's own numbers and this test's projection."""
    view = {name: float(page.page.locator("#view").get_attribute(f"data-{name}"))
            for name in ("azimuth", "elevation", "scale", "across", "down")}  # fmt: skip
    eye = np.array([math.cos(view["elevation"]) * math.cos(view["azimuth"]),
                    math.cos(view["elevation"]) * math.sin(view["azimuth"]), math.sin(view["elevation"])])  # fmt: skip
    right = np.cross([0.0, 0.0, 1.0], eye)
    right /= np.linalg.norm(right)
    up = np.cross(eye, right)
    at = [view["across"] + view["scale"] * float(right @ point), view["down"] - view["scale"] * float(up @ point)]
    script = "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(Math.round(x), Math.round(y), 1, 1).data]"
    return tuple(page.page.locator("#view").evaluate(script, at)[:3])


def is_foot(page: Page, point: np.ndarray) -> bool:
    """Whether most of what is around a point has the colour of feet; a limb's line may lie over some of it."""
    around = [seen(page, point + 0.012 * np.array(side)) for side in ((0, 0, -1), (1, 0, 0), (-1, 0, 0), (0, 1, 0))]
    return sum(green - max(red, blue) > 0.4 * (FEET[1] - FEET[2]) for red, green, blue in around) >= 3


def test_the_robot_is_drawn_where_mujoco_has_it_and_turns_by_dragging(page: Page, workplace: Path) -> None:
    """Every foot by its colour. Control: where one was before."""
    page.page.uncheck("#solid")
    page.page.uncheck("#mirror")
    folder = workplace / "robots" / "mine"
    before = feet(folder, pose(page))
    first = next(iter(before))
    assert all(is_foot(page, point) for point in before.values())
    move(page, "front_left_leg_pitch", 1.6)
    after = feet(folder, pose(page))
    assert pose(page)["front_left_leg_pitch"] == 1.6 and np.linalg.norm(after[first] - before[first]) > 0.05
    assert all(is_foot(page, point) for point in after.values())
    assert not is_foot(page, before[first])
    assert "bad" in (page.page.locator("#facts").inner_html())
    picture = page.page.locator("#view")
    azimuth = float(picture.get_attribute("data-azimuth"))
    box = picture.bounding_box()
    page.page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 360, box["y"] + 220, steps=4)
    page.page.mouse.up()
    assert float(picture.get_attribute("data-azimuth")) < azimuth - 0.3
    assert all(is_foot(page, point) for point in after.values())
    page.picture("pose")
    assert page.complaints == []


def test_a_pose_is_saved_and_is_there_when_the_page_opens_again(page: Page, workplace: Path) -> None:
    path = workplace / "robots" / "mine" / RECORD
    pitch = [f"front_{side}_leg_pitch" for side in ("left", "right")]
    move(page, pitch[0], 0.9)
    assert pose(page)[pitch[0]] == pose(page)[pitch[1]] == 0.9, "left and right alike"
    before = path.read_text()
    page.page.click("#save")
    until(lambda: path.read_text() != before, 10, "the record is written")
    joints = tomllib.loads(path.read_text())["joints"]
    assert [joints[name]["pose"] for name in pitch] == [0.9, 0.9]
    page.page.wait_for_selector("#said:not([hidden])")
    assert "Saved in" in page.page.inner_text("#said")
    move(page, pitch[0], 0.2)
    page.page.click("#reset")
    assert pose(page)[pitch[0]] == 0.9, "as it was saved"
    page.page.reload()
    page.page.wait_for_selector("#facts dd")
    assert pose(page)[pitch[0]] == 0.9
    assert page.complaints == []


def test_a_pose_can_be_pasted_and_what_is_none_is_said(page: Page) -> None:
    wanted = pose(page) | {"rear_left_knee": -1.2}
    page.page.click("summary")
    for text, good in ((json.dumps(wanted), True), ("{}", False), ("x", False)):
        page.page.fill("#text", text)
        page.page.locator("#text").dispatch_event("change")
        assert pose(page) == wanted and page.page.is_visible("#said") != good
    assert page.complaints == []
