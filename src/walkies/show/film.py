"""`walkies film`: a video of what a policy does, rendered by MuJoCo without a screen."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

import walkies
from walkies.bounds import Between
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.gl import GL_PACKAGES, gl_libraries
from walkies.runs import RunFolder, find_policy, refuse_unwritable
from walkies.show import render, replay

Pixels = Annotated[int, Between(64, 4096)]
"""Along a side of a video."""
GIF_WIDTH, GIF_WIDTH_OF_MANY = 400, 720
"""Pixels, of one robot and of several."""
GIF_FPS, GIF_COLOURS = 12.5, 96
"""A second of one robot takes about 0.25 MB. GIFs count in 1/100 s, of which 12.5 pictures a second are 8 each."""


def film(
    policy: Path,
    out: Path,
    seconds: float = 16.0,
    fps: float = 25.0,
    size: tuple[int, int] = (960, 540),
    gif: bool = False,
) -> Path:
    """Film one policy through the tour of commands; the mp4 file written (and a .gif beside it where asked).

    Args:
        policy: a run folder or a policy.json.
        out: the mp4 file.
        seconds, fps, size: of the video; size is (width, height) in pixels, even numbers.

    Raises:
        UserError: no policy there, or no GL library to render with; the message names the packages.
    """
    return film_motions([replay.record(_read(policy), replay.stretched(replay.TOUR, seconds))], out, fps, size, gif=gif)


def film_wall(
    policy: Path, out: Path, fps: float = 25.0, size: tuple[int, int] = (1440, 810), gif: bool = False
) -> Path:
    """Film nine robots under nine commands at once; as `film` otherwise."""
    content = _read(policy)
    return film_motions([replay.record(content, script) for script in replay.WALL], out, fps, size, columns=3, gif=gif)


def film_side_by_side(
    policies: Sequence[Path],
    out: Path,
    seconds: float = 16.0,
    fps: float = 25.0,
    size: tuple[int, int] = (1440, 540),
    gif: bool = False,
    titles: Sequence[str] | None = None,
) -> Path:
    """Film several policies under the same commands, each with its path or a title; as `film` otherwise."""
    script = replay.stretched(replay.TOUR, seconds)
    motions = [replay.record(_read(policy), script) for policy in policies]
    titles = titles or [str(policy) for policy in policies]
    return film_motions(motions, out, fps, size, columns=min(len(policies), 3), titles=titles, gif=gif)


def before_and_after(run: RunFolder) -> dict[str, Path]:
    """Three policies of a run by title: its first one, one on the way, and the finished one.

    Raises:
        UserError: the run kept no policies on the way.
    """
    kept = run.stage_files()
    if not kept:
        raise UserError(f"{run.path} has no policies from before its end in {run.stages}; `walkies train` keeps them")
    chosen = dict.fromkeys([kept[0], kept[2 * len(kept) // 3]])
    return {f"after {int(path.stem):,} steps": path for path in chosen} | {"finished": run.policy}


def film_motions(
    motions: Sequence[replay.Trajectory],
    out: Path,
    fps: float = 25.0,
    size: tuple[int, int] = (960, 540),
    *,
    columns: int = 1,
    titles: Sequence[str] | None = None,
    gif: bool = False,
) -> Path:
    """Render recorded motions side by side into `out` (mp4), whole or not at all."""
    if out.suffix != ".mp4":
        raise UserError(f"--out {out}: expected a name that ends with .mp4 (for a GIF too: add --gif)")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".film-") as folder:
        jobs = [Path(folder) / f"{number}.npz" for number in range(len(motions))]
        for motion, job in zip(motions, jobs, strict=True):
            replay.save(motion, job)
        part = Path(folder) / "film.mp4"
        names = list(titles) if titles is not None else [""] * len(motions)
        arguments = [*map(str, jobs), "--out", str(part), "--titles", *names, "--fps", str(fps)]
        arguments += ["--size", *map(str, size), "--columns", str(columns)]
        _render(arguments)
        part.replace(out)
        if gif:
            small = Path(folder) / "film.gif"
            _gif(out, small, GIF_WIDTH if len(motions) == 1 else GIF_WIDTH_OF_MANY, min(fps, GIF_FPS))
            small.replace(out.with_suffix(".gif"))
    return out


def command(
    targets: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    out: Path | None = None,
    seconds: Annotated[float, Between(0.1, 3600.0)] = 16.0,
    fps: Annotated[float, Between(0.1, 1000.0)] = 25.0,
    size: tuple[Pixels, Pixels] | None = None,
    view: Literal["tour", "wall", "stages"] = "tour",
    gif: bool = False,
) -> None:
    """Film a policy walking under changing commands, without a screen. Several targets are shown side by side.

    Args:
        targets: run folders or policy.json files.
        out: the mp4 file; default: video.mp4 in the run folder, or beside the policy.
        seconds: length of a tour.
        fps: pictures per second.
        size: width and height in pixels.
        view: tour: one robot, one command after the other. wall: nine robots under nine commands. stages: a run's
            first policy, one on the way and the finished one, side by side.
        gif: write a small GIF beside the mp4 too.
    """
    if not targets:
        raise UserError("nothing to film: give a run folder or a policy.json, as in `walkies film runs/pupper-0`")
    if view != "tour" and len(targets) > 1:
        raise UserError(
            f"--view {view} films one policy, got {len(targets)}; leave --view out to see them side by side"
        )
    if view != "wall" and seconds * fps < 1:
        raise UserError(f"--seconds {seconds:g} --fps {fps:g}: not one picture; expected more of either")
    out = out or find_policy(targets[0]).with_name({"tour": "video.mp4"}.get(view, f"{view}.mp4"))
    refuse_unwritable(out.parent)
    if view == "stages":
        chosen = before_and_after(RunFolder(targets[0]))
        film_side_by_side(list(chosen.values()), out, seconds, fps, size or (1440, 540), gif, list(chosen))
    elif view == "wall":
        film_wall(targets[0], out, fps, size or (1440, 810), gif)
    elif len(targets) > 1:
        film_side_by_side(targets, out, seconds, fps, size or (1440, 540), gif)
    else:
        film(targets[0], out, seconds, fps, size or (960, 540), gif)
    print(f"Video: {out}" + (f" and {out.with_suffix('.gif')}" if gif else ""))


def _read(target: Path) -> policy_file.PolicyFile:
    return policy_file.read(find_policy(target))


def _render(arguments: list[str]) -> None:
    """Run `walkies.show.render` in a process of its own, with the first GL library that works."""
    said = []
    for library in gl_libraries():
        found = str(Path(walkies.__file__).parents[1])
        search = os.pathsep.join(filter(None, [found, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "MUJOCO_GL": library, "PYTHONPATH": search, "JAX_PLATFORMS": "cpu"}
        environment.pop("PYOPENGL_PLATFORM", None)
        process = subprocess.run(
            [sys.executable, "-m", render.__name__, *arguments], env=environment, capture_output=True, text=True
        )
        if process.returncode == 0:
            return
        last = (process.stderr.strip().splitlines() or ["no message"])[-1]
        if process.returncode > 0 and process.returncode != render.NO_GL and not _at_import(process.stderr):
            raise RuntimeError(f"rendering failed:\n{process.stderr}")
        said.append(f"{library}: {last}")
    raise UserError(
        "no GL library renders here without a screen, so there is no video. On Debian or Ubuntu install one with:\n"
        f"  sudo apt-get install {GL_PACKAGES}\n"
        "Tried " + "; ".join(said)
    )


def _at_import(message: str) -> bool:
    """Whether a process ended while MuJoCo was being imported, which loads the GL library."""
    return "import mujoco" in message


def _gif(video: Path, out: Path, width: int, fps: float) -> None:
    """A small GIF of a video, with a palette made for it. It is not dithered: flickering dots make a GIF large."""
    import imageio_ffmpeg

    palette = f"split[a][b];[a]palettegen=max_colors={GIF_COLOURS}[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
    filters = f"fps={fps},scale='min({width},iw)':-2:flags=lanczos,{palette}"
    subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", "-i", str(video), "-vf", filters, str(out)],
        check=True,
    )
