"""The video, rendered without a screen; where no GL library is installed, the error must say how to get one."""

import io
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from rich.console import Console
from standing import standing_policy

from walkies import cli
from walkies.cli import doctor
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.files import UNFINISHED, writing
from walkies.robots import PUPPER, ROBOTS
from walkies.run.folders import RunFolder
from walkies.show import film, replay
from walkies.show.rendering import gl, video

SIZE = (160, 96)


def excused(error: UserError) -> bool:
    """There may be no video only where the error names the packages and nothing else can render here either."""
    return gl.GL_PACKAGES in str(error) and doctor.graphics().status != "ok"


@pytest.fixture
def no_gl(monkeypatch):
    """A machine without any library to draw with."""
    monkeypatch.setattr(gl, "gl_libraries", list)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    policy_file.write(path, standing_policy(bias=0.3))  # moves as the action fades in
    return path


def pictures(path):
    """(frames, height, width, 3) of a video, as ffmpeg decodes it."""
    stream = imageio_ffmpeg.read_frames(str(path))
    width, height = next(stream)["source_size"]
    return np.stack([np.frombuffer(picture, np.uint8).reshape(height, width, 3) for picture in stream]).astype(float)


def test_film_is_playable_and_moves_or_names_the_packages(policy, tmp_path, tmp_path_factory, monkeypatch):
    """Also where somebody has left a file with a library's name in the working folder."""
    monkeypatch.chdir(tmp_path_factory.mktemp("hostile"))
    Path("mujoco.py").write_text("raise SystemExit('hostile')")
    out, told = tmp_path / "walk.mp4", []
    try:
        film.film(policy, out, seconds=1.0, fps=10.0, size=SIZE, gif=True, report=lambda *done: told.append(done))
    except UserError as error:
        assert excused(error)
        return
    assert told == [(count, 10) for count in range(1, 11)]
    shown = pictures(out)
    assert shown.shape == (10, SIZE[1], SIZE[0], 3)
    below_the_words = shown[:, SIZE[1] // 3 :]
    assert below_the_words.std() > 10, "a blank picture"
    assert np.abs(below_the_words[9] - below_the_words[1]).max() > 30, "nothing moved"
    gif = out.with_suffix(".gif")
    assert gif.read_bytes()[:6] == b"GIF89a"
    assert pictures(gif).shape == shown.shape, "no wider and no faster than the video"
    assert np.abs(pictures(gif)[9] - shown[9]).mean() < 10, "it shows the same"
    assert np.abs(pictures(gif)[9] - shown[1]).mean() > np.abs(pictures(gif)[9] - shown[9]).mean()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk.gif", "walk.mp4"]


def test_side_by_side_fills_every_tile_or_names_the_packages(tmp_path, monkeypatch):
    """Also with a robot among them that has been added to the known ones by whoever films."""
    monkeypatch.setitem(ROBOTS, "other", replace(PUPPER, name="other"))
    motion = replay.record(standing_policy(), (replay.Segment(0.2, (0.0, 0.0, 0.0)),))
    motions = [motion, motion._replace(robot="other"), motion, motion]
    out = tmp_path / "wall.mp4"
    try:
        film.film_motions(motions, out, fps=10.0, size=(320, 192), columns=2, titles=list("abcd"))
    except UserError as error:
        assert excused(error)
        return
    last = pictures(out)[-1]
    tiles = [last[y : y + 96, x : x + 160] for y in (0, 96) for x in (0, 160)]
    assert all(tile.std() > 10 for tile in tiles)


def test_a_robot_that_is_unknown_is_not_blamed_on_gl(tmp_path, no_gl):
    motion = replay.record(standing_policy(), (replay.Segment(0.2, (0.0, 0.0, 0.0)),))
    with pytest.raises(UserError, match=r"unknown robot 'cat'; known robots: .*pupper") as told:
        film.film_motions([motion._replace(robot="cat")], tmp_path / "cat.mp4")
    assert gl.GL_PACKAGES not in str(told.value)
    path = tmp_path / "policy.json"
    policy_file.write(path, replace(standing_policy(), walkies={"robot": "cat"}))
    with pytest.raises(UserError, match="unknown robot 'cat'"):
        film.film(path, tmp_path / "cat.mp4")


def test_without_gl_the_error_names_the_packages_and_nothing_is_left(policy, tmp_path, no_gl):
    with pytest.raises(UserError, match=gl.GL_PACKAGES):
        film.film(policy, tmp_path / "walk.mp4", seconds=0.1)
    assert not list(tmp_path.iterdir())


def test_broken_gl_library_is_met_as_a_missing_one(policy, tmp_path, monkeypatch):
    """A library that MuJoCo cannot import at all, in a real process, left over from another one's choice."""
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "none")
    with pytest.raises(UserError, match=r"(?s)nonsense: RuntimeError: invalid value.*unset MUJOCO_GL"):
        film.film(policy, tmp_path / "walk.mp4", seconds=0.1)


def test_what_ffmpeg_says_is_told(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)ffmpeg ended with status \d+:.*none\.mp4"):
        video.gif(tmp_path / "none.mp4", tmp_path / "none.gif", 10, 1.0)
    with pytest.raises(RuntimeError, match="ffmpeg ended"), video.mp4(tmp_path / "no folder" / "x", (64, 64), 1) as add:
        for _ in range(100):
            add(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ZeroDivisionError), video.mp4(tmp_path / "whole.mp4", (64, 64), 1.0) as add:
        add(np.zeros((64, 64, 3), np.uint8))
        raise ZeroDivisionError


def test_wrong_names_are_told(policy, tmp_path):
    with pytest.raises(UserError, match=r"\.mp4"):
        film.film(policy, tmp_path / "walk.avi", seconds=0.1)
    with pytest.raises(UserError, match="no policy"):
        film.film(tmp_path / "nothing", tmp_path / "walk.mp4")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--seconds", "-3"], "--seconds: got -3, expected from 0.1 to 3600"),
        (["--seconds", "nan"], "--seconds: got nan"),
        (["--fps", "0"], "--fps: got 0"),
        (["--size", "0", "540"], "--size: got 0, expected a whole number from 64 to 4096"),
        (["--seconds", "0.1", "--fps", "1"], "--seconds 0.1 --fps 1: contain no picture"),
    ],
)
def test_numbers_that_make_no_video_are_told_and_not_blamed_on_gl(options, expected, policy, tmp_path, capsys):
    assert cli.run(["film", str(policy), "--out", str(tmp_path / "x.mp4"), *options]) == cli.USER_ERROR
    told = capsys.readouterr().err
    assert expected in told and "GL" not in told


def test_before_and_after_are_policies_of_the_run(policy, tmp_path):
    """The first, one on the way, the finished one; a run that kept none says so."""
    run = RunFolder(tmp_path)
    with pytest.raises(UserError, match="no policies from before its end"):
        film.before_and_after(run)
    run.stages.mkdir()
    for steps in (100, 200, 400, 800):
        (run.stages / f"{steps:012d}.json").write_bytes(policy.read_bytes())
    run.policy.write_bytes(policy.read_bytes())
    chosen = film.before_and_after(run)
    assert list(chosen) == ["after 100 steps", "after 400 steps", "finished"]
    assert list(chosen.values()) == [run.stages / "000000000100.json", run.stages / "000000000400.json", run.policy]


def test_one_policy_at_a_time_in_views_of_one(policy, tmp_path):
    with pytest.raises(UserError, match="--view stages films one policy, got 2"):
        film.command([policy, policy], tmp_path / "x.mp4", view="stages")


def test_stages_side_by_side_or_the_packages_are_named(policy, tmp_path):
    run = RunFolder(tmp_path)
    run.stages.mkdir()
    for path in (run.stages / f"{100:012d}.json", run.policy):
        path.write_bytes(policy.read_bytes())
    try:
        film.command([tmp_path], seconds=0.5, fps=10.0, size=(320, 96), view="stages")
    except UserError as error:
        assert excused(error)
        return
    last = pictures(tmp_path / "stages.mp4")[-1]
    assert last[:, :160].std() > 10 and last[:, 160:].std() > 10


@pytest.mark.parametrize(("seconds", "expected"), [(None, 8.0), (3.0, 3.0)])
def test_a_wall_lasts_as_long_as_was_asked_for(seconds, expected, policy, tmp_path, monkeypatch):
    filmed = []
    monkeypatch.setattr(film, "film_motions", lambda motions, *others, **options: filmed.extend(motions))
    monkeypatch.setattr(replay, "record", lambda policy, script: sum(segment.seconds for segment in script))
    film.command((policy,), tmp_path / "x.mp4", view="wall", seconds=seconds)
    assert filmed == pytest.approx([expected] * 9)


def test_a_film_without_a_picture_is_told(policy, tmp_path, no_gl):
    with pytest.raises(UserError, match="no picture"):
        film.film(policy, tmp_path / "x.mp4", seconds=0.05, fps=1.0)


def test_progress_is_lines_where_there_is_no_terminal_and_a_bar_where_there_is():
    plain, bar = io.StringIO(), io.StringIO()
    clock = iter([0.0, 0.0, 9.0, 11.0, 12.0])
    with film.shown("Filming", Console(file=plain), clock=lambda: next(clock)) as report:
        for done in range(1, 5):
            report(done, 40)
    assert plain.getvalue().splitlines() == ["Filming: 1 of 40 pictures", "Filming: 3 of 40 pictures"]
    with film.shown("Filming", Console(file=bar, force_terminal=True)) as report:
        report(10, 40)
    assert "25%" in bar.getvalue()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_unwinds_and_is_then_as_deadly_as_before(number, tmp_path):
    before = signal.getsignal(number)
    expected = pytest.raises((SystemExit, KeyboardInterrupt))
    with expected as ended, film.unwound_by_signals(), writing(tmp_path / "walk.mp4"):
        signal.raise_signal(number)
    assert isinstance(ended.value, KeyboardInterrupt) or ended.value.code == 128 + number
    assert signal.getsignal(number) == before
    assert not list(tmp_path.iterdir())


def test_a_signal_that_somebody_heeds_is_left_to_them(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with film.unwound_by_signals(), writing(tmp_path / "walk.mp4"):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] and (tmp_path / "walk.mp4").exists()


FILM = """
import sys
from pathlib import Path
from walkies.show import film
say = lambda *done: print(*done, flush=True)
film.film(Path(sys.argv[1]), Path(sys.argv[2]), seconds=1.0, fps=2000.0, size=(64, 64), report=say)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_killed_film_leaves_nothing_behind(number, policy, tmp_path):
    """No process and no folder; only what nobody can clear up after, a file that `walkies runs clean` finds."""
    out = tmp_path / "walk.mp4"
    with subprocess.Popen(
        [sys.executable, "-c", FILM, str(policy), str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        if process.stdout.readline():
            process.send_signal(number)
        else:
            assert gl.GL_PACKAGES in process.stderr.read() and doctor.graphics().status != "ok"
            return
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert list(tmp_path.iterdir()) == (list(tmp_path.glob(UNFINISHED)) if number == signal.SIGKILL else [])
    deadline = time.monotonic() + 30.0
    while in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not in_session(process.pid)


def in_session(leader):
    """Whether a process of this session is left, the drawing one or ffmpeg; asked of the only list that there is."""
    listed = subprocess.run(["ps", "-A", "-o", "sess=,stat="], capture_output=True, text=True, check=True).stdout
    return any(int(session) == leader and state[0] != "Z" for session, state in map(str.split, listed.splitlines()))
