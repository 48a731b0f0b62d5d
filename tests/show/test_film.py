"""The video, rendered without a screen; where no GL library is installed, the error must say how to get one."""

import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from standing import standing_policy

from walkies import doctor
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.runs import RunFolder
from walkies.show import film, replay

SIZE = (160, 96)


def excused(error: UserError) -> bool:
    """There may be no video only where the error names the packages and nothing else can render here either."""
    return film.GL_PACKAGES in str(error) and doctor.graphics().status != "ok"


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "policy.json"
    policy_file.write(path, standing_policy(bias=0.3))  # moves as the action fades in
    return path


def pictures(video):
    """(frames, height, width, 3) of a video, as ffmpeg decodes it."""
    stream = imageio_ffmpeg.read_frames(str(video))
    width, height = next(stream)["source_size"]
    return np.stack([np.frombuffer(picture, np.uint8).reshape(height, width, 3) for picture in stream]).astype(float)


def test_film_is_playable_and_moves_or_names_the_packages(policy, tmp_path):
    out = tmp_path / "walk.mp4"
    try:
        film.film(policy, out, seconds=1.0, fps=10.0, size=SIZE, gif=True)
    except UserError as error:
        assert excused(error)
        return
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


def test_side_by_side_fills_every_tile_or_names_the_packages(tmp_path):
    motion = replay.record(standing_policy(), (replay.Segment(0.2, (0.0, 0.0, 0.0)),))
    out = tmp_path / "wall.mp4"
    try:
        film.film_motions([motion] * 4, out, fps=10.0, size=(320, 192), columns=2, titles=list("abcd"))
    except UserError as error:
        assert excused(error)
        return
    last = pictures(out)[-1]
    tiles = [last[y : y + 96, x : x + 160] for y in (0, 96) for x in (0, 160)]
    assert all(tile.std() > 10 for tile in tiles)


def test_without_gl_the_error_names_the_packages(policy, tmp_path, monkeypatch):
    monkeypatch.setattr(film, "gl_libraries", lambda: ["egl", "osmesa"])
    monkeypatch.setenv("PYOPENGL_PLATFORM", "none")
    tried = []

    def no_library(command, env, **options):
        tried.append(env["MUJOCO_GL"])
        assert "PYOPENGL_PLATFORM" not in env
        return subprocess.CompletedProcess(command, film.render.NO_GL, "", "ImportError: cannot load libEGL.so.1")

    monkeypatch.setattr(film.subprocess, "run", no_library)
    with pytest.raises(UserError, match=f"(?s){film.GL_PACKAGES}.*libEGL"):
        film.film(policy, tmp_path / "walk.mp4", seconds=0.1)
    assert tried == ["egl", "osmesa"]
    assert not list(tmp_path.iterdir())


def test_broken_gl_library_is_met_as_a_missing_one(policy, tmp_path, monkeypatch):
    """A library that MuJoCo cannot import at all, in a real process."""
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    with pytest.raises(UserError, match=film.GL_PACKAGES):
        film.film(policy, tmp_path / "walk.mp4", seconds=0.1)


def test_other_failures_are_not_blamed_on_gl(policy, tmp_path, monkeypatch):
    def breaks(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "ZeroDivisionError: division by zero")

    monkeypatch.setattr(film.subprocess, "run", breaks)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        film.film(policy, tmp_path / "walk.mp4", seconds=0.1)


def test_user_chooses_the_library(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert film.gl_libraries() == ["osmesa"]


def test_wrong_names_are_told(policy, tmp_path):
    with pytest.raises(UserError, match=r"\.mp4"):
        film.film(policy, tmp_path / "walk.avi", seconds=0.1)
    with pytest.raises(UserError, match="no policy"):
        film.film(tmp_path / "nothing", tmp_path / "walk.mp4")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"seconds": -3.0}, "--seconds: got -3, expected more than 0"),
        ({"seconds": float("nan")}, "--seconds: got nan"),
        ({"fps": 0.0}, "--fps: got 0"),
        ({"size": (0, 540)}, "--size: got 0 540, expected width and height"),
    ],
)
def test_numbers_that_make_no_video_are_told_and_not_blamed_on_gl(options, expected, policy, tmp_path):
    with pytest.raises(UserError, match=expected) as told:
        film.command((policy,), tmp_path / "x.mp4", **options)
    assert "GL" not in str(told.value)


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
