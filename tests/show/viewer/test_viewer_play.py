"""What a page may ask of `walkies play`, and what nonsense does: nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from walkies.errors import UserError
from walkies.runs import find_policy
from walkies.show import play as module
from walkies.show.play import Play, announce, has_screen, stages_of, task_of
from walkies.show.viewer.settings import Settings
from walkies.tasks.walk import WalkConfig

POLICY = Path(__file__).parents[2] / "browser" / "policy.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two policies, and a third file that is damaged."""
    run = tmp_path_factory.mktemp("run")
    (run / "stages").mkdir()
    shutil.copy(POLICY, run / "policy.json")
    shutil.copy(POLICY, run / "stages" / "000000020000.json")
    (run / "stages" / "000000040000.json").write_text("{}")
    return run


@pytest.fixture(scope="module")
def opened(folder: Path) -> Iterator[Play]:
    play = Play(stages_of(folder), WalkConfig(), "a run", "127.0.0.1", 0)
    yield play
    play.view.stop()


@pytest.fixture
def play(opened: Play) -> Play:
    opened.obey({"reset": True, "paused": False, "speed": 1.0, "stage": 2, "set": Settings().__dict__})
    return opened


NONSENSE: list[dict[str, Any]] = [
    {},
    {"command": "forward"},
    {"command": [1, 2]},
    {"command": [1, 2, None]},
    {"command": [True, False, True]},
    {"command": [float("nan"), 0, 0]},
    {"push": [1e400, 0]},
    {"push": [10**400, 0]},
    {"command": [0, 0, 10**400], "id": 10**400},
    {"shove": {"x": 1}},
    {"set": {"friction": []}},
    {"set": 3},
    {"set": {"friction": True, "payload": 10**400}},
    {"paused": 1},
    {"speed": 1e9},
    {"stage": 17},
    {"stage": -1},
    {"stage": True},
    {"reset": "yes"},
    {"stop": 1},
]


@pytest.mark.parametrize("message", NONSENSE, ids=lambda message: json.dumps(message)[:60])
def test_nonsense_changes_nothing(play: Play, message: dict[str, Any]) -> None:
    before = play.state(), play.walker.data.qpos.copy(), play.walker.data.qvel.copy(), play.walker.moment().command
    play.obey(message)
    after = play.state(), play.walker.data.qpos, play.walker.data.qvel, play.walker.moment().command
    assert after[0] == before[0]
    assert all(map(np.array_equal, before[1:], after[1:]))


def test_messages_that_make_sense_do_something(play: Play) -> None:
    play.obey({"command": [0.2, -0.1, 1], "id": 7})
    np.testing.assert_allclose(play.walker.moment().command, (0.2, -0.1, 1.0))
    play.obey({"set": {"payload": 0.5}, "paused": True, "speed": 0.25})
    assert play.state()["settings"]["payload"] == 0.5
    assert play.state()["paused"] and play.state()["speed"] == 0.25


def test_a_push_is_as_the_robot_sees_it_and_a_shove_as_the_world_does(play: Play) -> None:
    play.walker.data.qpos[3:7] = (np.cos(np.pi / 4), 0.0, 0.0, np.sin(np.pi / 4))  # it looks along y
    play.obey({"push": [0.5, 0.0]})
    np.testing.assert_allclose(play.walker.data.qvel[:2], (0.0, 0.5), atol=1e-9)
    play.obey({"push": [0.0, 0.3]})
    np.testing.assert_allclose(play.walker.data.qvel[:2], (-0.3, 0.5), atol=1e-9)
    play.obey({"shove": [0.3, -0.5]})
    np.testing.assert_allclose(play.walker.data.qvel[:2], (0.0, 0.0), atol=1e-9)


@pytest.mark.parametrize(("beside", "pushed"), [(0.0, True), (0.5, False)])
def test_a_click_on_the_robot_pushes_it_away_from_the_eye(play: Play, beside: float, pushed: bool) -> None:
    """The eye looks along y and down, at the robot in the middle of the view or `beside` it."""
    play.scene.follow(play.walker.data.qpos[:3], 1e3)
    sight = np.array([0.0, 2.0, -0.4])
    play._clicked(SimpleNamespace(ray_origin=(beside, -2.0, 0.4), ray_direction=sight / np.linalg.norm(sight)))
    play._obey()
    np.testing.assert_allclose(play.walker.data.qvel[:2], (0.0, module.CLICK_PUSH if pushed else 0.0), atol=1e-9)


def test_stages_are_named_by_their_steps_and_a_damaged_one_is_said_not_died_of(play: Play) -> None:
    assert [stage.label for stage in play.stages] == ["0.02 M steps", "0.04 M steps", "to the end"]
    play.obey({"stage": 0})
    assert play.state()["stage"] == 0 and play.state()["notice"] == ""
    play.obey({"stage": 1})
    assert play.state()["stage"] == 0 and "000000040000.json" in play.state()["notice"]


def test_what_a_page_is_told_is_json(play: Play) -> None:
    hello = json.loads(json.dumps(play.hello()))
    assert hello["kind"] == "play" and hello["stages"][-1] == "to the end"
    assert {slider["name"] for slider in hello["sliders"]} == set(hello["state"]["settings"])


def test_what_a_policy_without_finite_answers_does_is_json_too(play: Play) -> None:
    worst = {"sane": 1.25, "lost": float("nan"), "endless": float("inf"), "abyss": float("-inf")}
    plotted = module.row(play.walker.moment(), [True] * 4, worst)
    assert json.loads(json.dumps(plotted, allow_nan=False))["reward"] == [1.25, 0.0, 1e6, -1e6]


class Clock:
    """Stands for the module `time`: only sleeping takes time, and every look at the clock a little."""

    now = 100.0

    def monotonic(self) -> float:
        self.now += 1e-4
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("speed", [1.0, 0.25])
def test_it_runs_in_real_time_and_at_the_speed_it_is_told(
    play: Play, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(play.view, "stop", lambda: None)
    start, began = play.walker.time, clock.now
    play.obey({"speed": speed})
    play.run(until=lambda: clock.now > began + 2.0)
    assert play.walker.time - start == pytest.approx(2.0 * speed, abs=0.02)
    assert play.state()["pace"] == pytest.approx(speed, rel=0.02)


def test_time_that_a_slow_machine_lost_is_not_made_up_for(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(play.view, "stop", lambda: None)
    start = play.walker.time

    def frozen() -> bool:
        clock.now += 5.0
        return clock.now > 112.0

    play.run(until=frozen)
    assert play.walker.time - start <= 3 * module.FALL_BEHIND


def test_no_policy_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"policy\.json"):
        stages_of(tmp_path)


def test_a_run_that_still_trains_is_played_with_its_newest_policy(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "stages", tmp_path / "stages")
    assert [stage.label for stage in stages_of(tmp_path)] == ["0.02 M steps", "0.04 M steps"]
    with pytest.raises(UserError, match=r"still trains.*--resume.*000000040000\.json"):
        find_policy(tmp_path)  # what cannot do with less says what there is


def test_the_plotted_rewards_are_the_runs_own(tmp_path: Path) -> None:
    from dataclasses import replace

    from walkies.experiment import TrainConfig
    from walkies.files import write_json
    from walkies.runs import RunFolder, to_dict

    assert task_of(POLICY) == WalkConfig()
    task = replace(WalkConfig(), action_scale=0.5)
    write_json(RunFolder(tmp_path).config, to_dict(replace(TrainConfig(), task=task)))
    assert task_of(tmp_path) == task


def test_others_in_the_network_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    announce("http://127.0.0.1:8012/", "127.0.0.1")
    assert "Warning" not in capsys.readouterr().out
    announce("http://192.0.2.1:8012/", "192.0.2.1")
    said = capsys.readouterr().out
    assert "everyone who reaches this machine" in said and "From another machine" not in said
    announce("http://127.0.0.1:8012/", "0.0.0.0")
    said = capsys.readouterr().out
    assert "everyone who reaches this machine" in said
    assert f"From another machine: http://{module.socket.gethostname()}:8012/" in said


def test_a_browser_is_opened_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module.sys, "platform", "linux")
    assert not has_screen()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_screen()
