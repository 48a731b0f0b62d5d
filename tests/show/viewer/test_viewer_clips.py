"""A run whose policies follow different things: the page's clips and its ghost are those of the chosen one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from made_policies import still, still_gait, still_trick
from walkies.robots import get_robot
from walkies.show.play import Play, stages_of
from walkies.show.viewer.answers import encode
from walkies.show.viewer.listener import listen
from walkies.show.viewer.request import LONGEST_NAME, request_of
from walkies.tasks.walk import WalkConfig

PLAIN, GAIT, TRICK = range(3)
"""Stages."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    run, robot = tmp_path_factory.mktemp("run"), get_robot("pupper")
    (run / "stages").mkdir()
    still(run / "stages" / "000000010000.json", robot)
    still_gait(run / "stages" / "000000020000.json", robot)
    still_trick(run / "policy.json", robot)
    play = Play(stages_of(run), WalkConfig(), "a run", listen(port=0))
    yield play
    play.view.stop()


@pytest.fixture
def play(opened: Play) -> Play:
    asked(opened, stage=TRICK, reset=True, reference=False)
    return opened


def asked(play: Play, **message: Any) -> None:
    """Have it do what a page's message asks for."""
    play.obey(request_of(message))


def walk(play: Play, seconds: float) -> None:
    for _ in range(round(seconds / play.walker.dt)):
        play._advance()


def test_a_page_is_told_the_names_of_clips_and_which_one_plays(play: Play) -> None:
    told = json.loads(encode(play.hello()))["state"]
    assert told["clips"] == ["stand", "bow", "sit"] and (told["clip"], told["queue"]) == ("stand", [])
    assert told["steered"] is False and told["reference"] is False
    asked(play, clip="bow")
    assert play.state()["queue"] == ("bow",), "at once, also while it is paused"
    walk(play, 4.5)
    assert play.state()["clip"] == "bow" and play.state()["queue"] == ()


@pytest.mark.parametrize("name", ["jump", "", "Bow", "bow ", 1, None, ["bow"], "x" * (LONGEST_NAME + 1)], ids=str)
def test_a_clip_that_is_not_there_is_ignored(play: Play, name: Any) -> None:
    before = play.state()
    asked(play, clip=name)
    assert play.state() == before
    asked(play, clip="sit")  # the control
    assert play.state() != before


def test_no_more_clips_wait_than_the_controller_keeps(play: Play) -> None:
    for name in ["bow", "sit"] * 20:
        asked(play, clip=name)
    assert play.state()["queue"] == ("bow", "sit", "bow", "sit")


def test_what_is_offered_follows_the_chosen_policy(play: Play) -> None:
    offered = {PLAIN: ([], True, None), GAIT: ([], True, False), TRICK: (["stand", "bow", "sit"], False, False)}
    for stage, expected in offered.items():
        asked(play, stage=stage)
        state = play.state()
        assert (state["clips"], state["steered"], state["reference"]) == expected
    asked(play, stage=PLAIN)
    before = play.state()
    asked(play, clip="bow")
    assert play.state() == before, "the movement of another policy"


def test_the_ghost_is_drawn_while_it_is_asked_for_and_there_is_something_to_follow(play: Play) -> None:
    walk(play, 2.1)  # the controller has started
    play._show(0.1)
    assert not play.scene.ghost.visible, "off until it is asked for"
    asked(play, reference=True)
    play._show(0.1)
    ghost = play.walker.ghost()
    assert play.scene.ghost.visible and play.state()["reference"] is True and ghost is not None
    trunk = next(i for i, group in enumerate(play.scene.bodies) if 1 in group)
    np.testing.assert_allclose(play.scene.ghosts[trunk].batched_positions[0], ghost[:3], atol=1e-6)
    asked(play, stage=PLAIN)
    walk(play, 1.5)
    play._show(0.1)
    assert not play.scene.ghost.visible and play.state()["reference"] is None
    asked(play, stage=GAIT)
    play._show(0.1)
    assert play.scene.ghost.visible, "the box is still ticked"
    asked(play, reference=False)
    play._show(0.1)
    assert not play.scene.ghost.visible


@pytest.mark.parametrize(("stage", "stance"), [(PLAIN, None), (GAIT, [True] * 4), (TRICK, None)])
def test_rows_have_the_stance_of_a_gait(play: Play, stage: int, stance: list[bool] | None) -> None:
    asked(play, stage=stage)
    play._rows.clear()
    walk(play, 0.1)
    assert play._rows and all(row["stance"] == stance for row in play._rows)
    json.loads(encode({"rows": play._rows}))
