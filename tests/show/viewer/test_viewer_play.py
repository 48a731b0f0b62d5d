"""What a page may ask of `walkies play`, and what nonsense does: nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from walkies.errors import UserError
from walkies.run.folders import find_policy
from walkies.show import play as module
from walkies.show.play import Play, stages_of, task_of
from walkies.show.viewer import listener
from walkies.show.viewer.answers import encode
from walkies.show.viewer.listener import announce, has_screen, listen
from walkies.show.viewer.request import Ray, Request, request_of
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
    play = Play(stages_of(folder), WalkConfig(), "a run", listen(port=0))
    yield play
    play.view.stop()


@pytest.fixture
def play(opened: Play) -> Play:
    opened.server.inbox.take()
    opened._chose = -np.inf
    asked(opened, reset=True, paused=False, speed=1.0, stage=2, set=Settings().__dict__)
    return opened


def asked(play: Play, **message: Any) -> None:
    """Have it do what a page's message asks for."""
    play.obey(request_of(message))


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
    {"push": [1e300, 1e300]},
    {"click": [[0, 0, 0], [1, 0, 0]]},
    {"shove": [1, 0]},
    {"set": {"gravity": 0}},
    {"speed": -1},
    {"speed": [1.0]},
    {"stage": 10**400},
    {"stage": 2.0},
    {"__class__": "Request", "then": 1, "obey": {}},
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
    asked(play, **message)
    after = play.state(), play.walker.data.qpos, play.walker.data.qvel, play.walker.moment().command
    assert after[0] == before[0]
    assert all(map(np.array_equal, before[1:], after[1:]))


def test_messages_that_make_sense_do_something(play: Play) -> None:
    asked(play, command=[0.2, -0.1, 1], id=7)
    np.testing.assert_allclose(play.walker.moment().command, (0.2, -0.1, 1.0))
    asked(play, set={"payload": 0.5}, paused=True, speed=0.25)
    assert play.state()["settings"]["payload"] == 0.5
    assert play.state()["paused"] and play.state()["speed"] == 0.25


def test_a_push_is_as_the_robot_sees_it(play: Play) -> None:
    play.walker.data.qpos[3:7] = (np.cos(np.pi / 4), 0.0, 0.0, np.sin(np.pi / 4))  # it looks along y
    asked(play, push=[0.5, 0.0])
    np.testing.assert_allclose(play.walker.data.qvel[:2], (0.0, 0.5), atol=1e-9)
    asked(play, push=[0.0, 0.3])
    np.testing.assert_allclose(play.walker.data.qvel[:2], (-0.3, 0.5), atol=1e-9)


@pytest.mark.parametrize("turn", [0.0, np.pi / 2], ids=["ahead", "aside"])
@pytest.mark.parametrize(("beside", "pushed"), [(0.0, True), (0.5, False)])
def test_a_click_on_the_robot_pushes_it_away_from_the_eye(play: Play, beside: float, pushed: bool, turn: float) -> None:
    """The eye looks along y and down, at the robot in the middle of the view or `beside` it, wherever that looks. A
    ray may be of any length."""
    play.walker.data.qpos[3:7] = (np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2))
    play.scene.follow(play.walker.data.qpos[:3], 1e3)
    play.server.inbox.put(Request(click=Ray((beside, -2.0, 0.4), (0.0, 20.0, -4.0))))
    play._obey()
    np.testing.assert_allclose(play.walker.data.qvel[:2], (0.0, module.PUSH if pushed else 0.0), atol=1e-9)


@pytest.mark.parametrize("direction", [(0.0, 0.0, -1.0), (1e-300, 0.0, 0.0), (1e6, 1e6, 1e6), (0.0, 0.0, 5e-324)])
def test_a_click_from_nowhere_moves_nothing(play: Play, direction: tuple[float, float, float]) -> None:
    """Straight down on the robot, and rays of no sensible length past it."""
    origin = (0.0, 0.0, 5.0) if direction[0] == 0.0 else (9.0, 9.0, 9.0)
    play.obey(Request(click=Ray(origin, direction)))
    assert np.all(play.walker.data.qvel[:2] == 0.0)


def test_a_stop_is_served_first_and_counts_more_than_what_came_with_it(play: Play) -> None:
    asked(play, stop=True, reset=True, stage=0, command=[0.5, 0, 0], paused=True)
    assert play.state()["stopped"], "also while it is paused"
    asked(play, stage=2)
    assert play.state()["stopped"], "another policy does not make it go again"
    asked(play, reset=True)
    assert not play.state()["stopped"]


def test_a_flood_of_choices_does_not_keep_a_stop_waiting(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each choice reads a file: of thousands one is read now, and the latest one when its time has come."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    read: list[Path] = []
    monkeypatch.setattr(module.policy_file, "read", lambda path: (read.append(path), play.walker.policy)[1])
    for count in range(3001):
        play.server.inbox.put(request_of({"stage": 0 if count % 2 else 2}))
    play.server.inbox.put(Request(stop=True))
    play._obey()
    assert play.walker.stopped and read == [play.stages[2].path]
    for count in range(3001):
        play.server.inbox.put(request_of({"stage": 2 if count % 2 else 0}))
        play._obey()
    assert len(read) <= 2 + (clock.now - 100.0) / module.STAGE_PAUSE
    clock.sleep(module.STAGE_PAUSE)
    play._obey()
    assert play.chosen == 0 and read[-1] == play.stages[0].path, "the last word is not lost"
    settled = len(read)
    clock.sleep(1.0)
    play._obey()
    assert len(read) == settled, "and obeyed once"


def test_stages_are_named_by_their_steps_and_a_damaged_one_is_said_not_died_of(play: Play) -> None:
    assert [stage.label for stage in play.stages] == ["0.02 M steps", "0.04 M steps", "to the end"]
    asked(play, stage=0)
    assert play.state()["stage"] == 0 and play.state()["notice"] == ""
    asked(play, stage=1)
    assert play.state()["stage"] == 0 and "000000040000.json" in play.state()["notice"]


def test_what_a_page_is_told_is_json(play: Play) -> None:
    hello = json.loads(encode(play.hello()))
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
    asked(play, speed=speed)
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


def test_a_file_that_only_looks_like_a_stage_is_none(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "stages", tmp_path / "stages")
    shutil.copy(POLICY, tmp_path / "stages" / "000000020000 copy.json")
    assert [stage.label for stage in stages_of(tmp_path)] == ["0.02 M steps", "0.04 M steps"]


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

    from walkies.files import write_json
    from walkies.run.config import TrainConfig
    from walkies.run.folders import RunFolder, to_dict

    assert task_of(POLICY) == WalkConfig()
    task = replace(WalkConfig(), action_scale=0.5)
    write_json(RunFolder(tmp_path).config, to_dict(replace(TrainConfig(), task=task)))
    assert task_of(tmp_path) == task


def test_others_in_the_network_are_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.0.0.2"):
        announce("http://127.0.0.1:8012/", host)
        assert "Warning" not in capsys.readouterr().out
    announce("http://192.0.2.1:8012/", "192.0.2.1")
    said = capsys.readouterr().out
    assert "everyone who reaches this machine" in said and "From another machine" not in said
    announce("http://127.0.0.1:8012/", "0.0.0.0")
    said = capsys.readouterr().out
    assert "everyone who reaches this machine" in said
    assert f"From another machine: http://{listener.socket.gethostname()}:8012/" in said


def test_a_browser_is_opened_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(listener.sys, "platform", "linux")
    assert not has_screen()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_screen()
