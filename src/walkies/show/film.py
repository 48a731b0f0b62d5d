"""`walkies film`: a video of what a policy does, rendered by MuJoCo without a screen."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.progress import Progress

from walkies import terminal
from walkies.bounds import Between
from walkies.deploy import policy_file
from walkies.errors import UserError
from walkies.files import writing
from walkies.run.folders import RunFolder, find_policy, refuse_unwritable
from walkies.run.progress import PLAIN_INTERVAL
from walkies.show import replay
from walkies.show.rendering import render, video

Pixels = Annotated[int, Between(64, 4096)]
"""Along a side of a video."""
GIF_WIDTH, GIF_WIDTH_OF_MANY = 400, 720
"""Pixels, of one robot and of several."""
GIF_FPS = 12.5
"""A second of one robot takes about 0.25 MB. GIFs count in 1/100 s, of which 12.5 pictures a second are 8 each."""
TOUR_SECONDS, WALL_SECONDS = 16.0, 8.0
"""As long as the scripts are."""

Report = Callable[[int, int], None]
"""Called after each picture with how many there are by now and how many there will be."""


def silent(done: int, total: int) -> None:
    """A report that does nothing."""


def film(
    policy: Path,
    out: Path,
    seconds: float = TOUR_SECONDS,
    fps: float = 25.0,
    size: tuple[int, int] = (960, 540),
    gif: bool = False,
    report: Report = silent,
) -> Path:
    """Film one policy through the tour of commands; the mp4 file written (and a .gif beside it where asked).

    Args:
        policy: a run folder or a policy.json.
        out: the mp4 file.
        seconds, fps, size: of the video; size is (width, height) in pixels, even numbers.

    Raises:
        UserError: no policy there, or no GL library to render with; the message says what to do.
    """
    motion = replay.record(_read(policy), replay.stretched(replay.TOUR, seconds))
    return film_motions([motion], out, fps, size, gif=gif, report=report)


def film_wall(
    policy: Path,
    out: Path,
    seconds: float = WALL_SECONDS,
    fps: float = 25.0,
    size: tuple[int, int] = (1440, 810),
    gif: bool = False,
    report: Report = silent,
) -> Path:
    """Film nine robots under nine commands at once; as `film` otherwise."""
    content = _read(policy)
    motions = [replay.record(content, replay.stretched(script, seconds)) for script in replay.WALL]
    return film_motions(motions, out, fps, size, columns=3, gif=gif, report=report)


def film_side_by_side(
    policies: Sequence[Path],
    out: Path,
    seconds: float = TOUR_SECONDS,
    fps: float = 25.0,
    size: tuple[int, int] = (1440, 540),
    gif: bool = False,
    titles: Sequence[str] | None = None,
    report: Report = silent,
) -> Path:
    """Film several policies under the same commands, each with its path or a title; as `film` otherwise."""
    script = replay.stretched(replay.TOUR, seconds)
    motions = [replay.record(_read(policy), script) for policy in policies]
    titles = titles or [str(policy) for policy in policies]
    columns = min(len(policies), 3)
    return film_motions(motions, out, fps, size, columns=columns, titles=titles, gif=gif, report=report)


def before_and_after(run: RunFolder) -> dict[str, Path]:
    """Three policies of a run by title: its first, an intermediate one, and the final one.

    Raises:
        UserError: the run kept no intermediate policies.
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
    report: Report = silent,
) -> Path:
    """Render recorded motions side by side into `out` (mp4), whole or not at all."""
    if out.suffix != ".mp4":
        raise UserError(f"--out {out}: expected a name that ends with .mp4 (for a GIF too: add --gif)")
    names = list(titles) if titles is not None else [""] * len(motions)
    pictures = render.Pictures(list(motions), names, fps, size, columns)
    if not len(pictures):
        shortest = min(motion.seconds for motion in motions)
        raise UserError(f"{shortest:g} s at {fps:g} pictures a second contain no picture; increase one of them")
    with unwound_by_signals():
        with writing(out) as part, video.mp4(part, pictures.size, fps) as add, closing(iter(pictures)) as drawn:
            for done, picture in enumerate(drawn, start=1):
                add(picture)
                report(done, len(pictures))
        if gif:
            with writing(out.with_suffix(".gif")) as part:
                video.gif(out, part, GIF_WIDTH if len(motions) == 1 else GIF_WIDTH_OF_MANY, min(fps, GIF_FPS))
    return out


def command(
    targets: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    out: Path | None = None,
    seconds: Annotated[float | None, Between(0.1, 3600.0)] = None,
    fps: Annotated[float, Between(0.1, 1000.0)] = 25.0,
    size: tuple[Pixels, Pixels] | None = None,
    view: Literal["tour", "wall", "stages"] = "tour",
    gif: bool = False,
) -> None:
    """Film a policy walking under changing commands, without a screen. Several targets are shown side by side.

    Args:
        targets: run folders or policy.json files.
        out: the mp4 file; default: video.mp4 in the run folder, or beside the policy.
        seconds: length of the film; default: 16, and 8 for a wall.
        fps: pictures per second.
        size: width and height in pixels.
        view: tour: one robot, one command after the other. wall: nine robots under nine commands. stages: a run's
            first policy, an intermediate one and the final one, side by side.
        gif: also write a small GIF beside the mp4.
    """
    if not targets:
        raise UserError("nothing to film: give a run folder or a policy.json, as in `walkies film runs/pupper-0`")
    if view != "tour" and len(targets) > 1:
        raise UserError(
            f"--view {view} films one policy, got {len(targets)}; leave --view out to see them side by side"
        )
    seconds = seconds if seconds is not None else WALL_SECONDS if view == "wall" else TOUR_SECONDS
    if seconds * fps < 1:
        raise UserError(f"--seconds {seconds:g} --fps {fps:g}: contain no picture; increase one of them")
    out = out or find_policy(targets[0]).with_name({"tour": "video.mp4"}.get(view, f"{view}.mp4"))
    refuse_unwritable(out.parent)
    with shown("Filming") as report:
        if view == "stages":
            chosen = before_and_after(RunFolder(targets[0]))
            size = size or (1440, 540)
            film_side_by_side(list(chosen.values()), out, seconds, fps, size, gif, list(chosen), report)
        elif view == "wall":
            film_wall(targets[0], out, seconds, fps, size or (1440, 810), gif, report)
        elif len(targets) > 1:
            film_side_by_side(targets, out, seconds, fps, size or (1440, 540), gif, report=report)
        else:
            film(targets[0], out, seconds, fps, size or (960, 540), gif, report)
    print(f"Video: {out}" + (f" and {out.with_suffix('.gif')}" if gif else ""))


@contextmanager
def shown(title: str, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Report]:
    """A report that is a bar in a terminal, and elsewhere a line every ten seconds."""
    console = console or terminal.console()
    if not console.is_terminal:
        next_line = clock()

        def say(done: int, total: int) -> None:
            nonlocal next_line
            if (now := clock()) >= next_line:
                next_line = now + PLAIN_INTERVAL
                console.print(f"{title}: {done} of {total} pictures", highlight=False)

        yield say
        return
    with Progress(*Progress.get_default_columns(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _read(target: Path) -> policy_file.PolicyFile:
    return policy_file.read(find_policy(target))


@contextmanager
def unwound_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as an exception does, so that what it has begun is removed.

    Only where nobody has decided about them yet, and only in the main thread, which alone may.
    """
    numbers = [signal.SIGTERM, signal.SIGHUP] if threading.current_thread() is threading.main_thread() else []
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def decide(handler: Any) -> None:
        for number in ours:
            signal.signal(number, handler)

    def leave(number: int, frame: FrameType | None) -> None:
        decide(signal.SIG_IGN)  # nothing interrupts the way out
        raise SystemExit(128 + number)

    decide(leave)
    try:
        yield
    finally:
        decide(signal.SIG_DFL)
