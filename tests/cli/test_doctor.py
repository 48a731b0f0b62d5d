"""`walkies doctor`: each check sees its illness, and the exit status says whether there is one."""

from __future__ import annotations

import sys
from collections import namedtuple

import imageio_ffmpeg
import jax
import numpy as np
import pytest

from walkies.accel import library
from walkies.cli import doctor
from walkies.cli.doctor import Finding
from walkies.errors import UserError
from walkies.show.rendering import camera, gl


@pytest.mark.parametrize(
    "check", ["python", "cores", "jax_settings", "jax_version", "jax_sums", "engine", "compiler", "physics", "disk"]
)
def test_a_machine_that_runs_the_tests_has_no_problem(check: str) -> None:
    finding = getattr(doctor, check)()
    assert finding.status != "problem" and finding.found


def sick_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))


def sick_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_ENABLE_X64", "1")


def sick_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "__version__", "0.10.2")


def sick_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "jit", lambda function: lambda rows: 1.001 * function(rows))


def sick_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def isa() -> str:
        raise UserError("the engine's library was not found; build it")

    monkeypatch.setattr(library, "isa", isa)


def sick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 9 * 10**8, 10**8)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)


SICK = {
    doctor.python: (sick_python, "3.11"),
    doctor.jax_settings: (sick_settings, "unset JAX_ENABLE_X64"),
    doctor.jax_version: (sick_jax, "jax==0.10.1"),
    doctor.jax_sums: (sick_sums, "jax==0.10.1"),
    doctor.engine: (sick_engine, "build it"),
    doctor.disk: (sick_disk, "--out"),
}


@pytest.mark.parametrize("check", SICK, ids=lambda check: check.__name__)
def test_an_illness_is_a_problem_with_advice(check, monkeypatch: pytest.MonkeyPatch) -> None:
    infect, remedy = SICK[check]
    infect(monkeypatch)
    finding = doctor.examine(check)
    assert finding.status == "problem"
    assert remedy in finding.found + finding.advice


def test_what_only_some_need_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_ffmpeg() -> str:
        raise RuntimeError("no ffmpeg exe")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", no_ffmpeg)
    assert doctor.ffmpeg().status == "note"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor.compiler().status == "note" and "ziglang" in doctor.compiler().advice


def test_a_library_that_does_not_draw_is_let_go_before_another_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a real process, under a name that is no library's."""
    monkeypatch.setenv("MUJOCO_GL", "none such")
    finding = doctor.graphics()
    assert finding.status == "note" and "none such" in finding.found
    assert -1 < finding.advice.find("unset MUJOCO_GL") < finding.advice.find(gl.GL_PACKAGES)


@pytest.mark.parametrize(("light", "status"), [(0, "note"), (9, "ok")])
def test_a_black_picture_is_none(light: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        library = "egl"
        __init__ = lambda self, *arguments: None  # noqa: E731
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *error: None  # noqa: E731
        pictures = lambda self, poses: [np.full((32, 32, 3), light, np.uint8) for pose in poses]  # noqa: E731

    monkeypatch.setattr(camera, "Camera", Fake)
    assert doctor.graphics().status == status


def test_exit_status_and_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    healthy = {"heart": lambda: Finding("ok", "beats"), "hair": lambda: Finding("note", "thin", "wear a hat")}
    monkeypatch.setattr(doctor, "CHECKS", healthy)
    assert doctor.command() == 0
    assert "wear a hat" in capsys.readouterr().out

    def crash() -> Finding:
        raise OSError("broken")

    monkeypatch.setattr(doctor, "CHECKS", {**healthy, "leg": crash})
    assert doctor.command() == 1
    assert "OSError: broken" in capsys.readouterr().out
