"""What watching costs is measured with a page that really watches, against blocks in which nobody does."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from walkies.lab.bench import view
from walkies.run.config import WALKING_RECIPE, TrainConfig
from walkies.show.viewer.learn import ROBOTS, Watch

RECIPE = replace(WALKING_RECIPE, num_envs=ROBOTS, horizon=4, hidden=(8,), critic_hidden=(8,), minibatches=2, epochs=1)
SECONDS = 1.2
"""Long enough for two clips of motion, half a second each."""


def test_blocks_with_and_without_a_page_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[tuple[int, bool]] = []
    clips: list[Watch] = []
    run, compute = view._run, Watch._compute

    def counted(watch: Watch) -> object:
        clips.append(watch)
        return compute(watch)

    def watched_over(training: object, watch: Watch, seconds: float) -> float:
        before = len(clips)
        rate = run(training, watch, seconds)
        if seconds == SECONDS:
            blocks.append((watch.server.pages, len(clips) > before))
        return rate

    monkeypatch.setattr(Watch, "_compute", counted)
    monkeypatch.setattr(view, "_run", watched_over)
    result = view.measure(2, SECONDS, 1, TrainConfig(threads=1, recipe=RECIPE))
    assert blocks == [(0, False), (1, True), (1, True), (0, False)], "pages, and whether motion was made for them"
    assert result["steps_per_s_alone"] > 0 and result["steps_per_s_watched"] > 0
    assert len(result["slowdowns"]) == 2
    assert result["slowdown"] == statistics.median(result["slowdowns"]) < 1
