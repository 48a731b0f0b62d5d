"""`walkies train --view` in a real browser: the field moves, the curves grow, and the training ends as usual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from browsing import DRAWN, Page, Program, until

TINY = [
    "--recipe.num-envs", "32", "--recipe.hidden", "16", "--recipe.critic-hidden", "16", "--exam-episodes", "0",
    "--no-film", "--threads", "1",
]  # fmt: skip


def test_a_training_can_be_watched(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    program = Program("train", "pupper", "--view", "--minutes", "3", "--out", str(tmp_path / "run"), *TINY)
    try:
        page = open_page(size=(900, 640))
        page.page.goto(program.address)
        page.page.wait_for_selector('body[data-kind="learn"]')
        assert not page.page.is_visible("#move") and not page.page.is_visible("#plots")
        until(lambda: len(program.records) >= 3, DRAWN, "records come")
        assert program.records[-1]["steps"] > program.records[0]["steps"]
        until(lambda: page.colours("#curve-episode_return") > 3, 30, "a curve is drawn")

        until(lambda: page.view()[0] > 100, DRAWN, "the field is drawn")
        first = page.view()[1]
        until(lambda: page.view()[1] != first, DRAWN, "the field moves")
        page.picture("learn", docs=True)
        assert page.complaints == []
    finally:
        program.stop()
    assert list((tmp_path / "run" / "stages").glob("*.json")), "earlier policies are kept"
