"""`walkies share`: write a trained robot into one HTML file that anybody opens and drives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from walkies.deploy import policy_file
from walkies.deploy.policy_file import PolicyFile
from walkies.errors import UserError
from walkies.files import write_text
from walkies.judge.exam import robot_of
from walkies.robots.base import Robot
from walkies.run.folders import find_policy
from walkies.show import page
from walkies.show.share.content import packed, page_content
from walkies.show.share.wasm import engine_wasm
from walkies.terminal import say

MAX_BYTES = 8_000_000
"""Of a page: what can be mailed."""
NAME = "share.html"
DRIVEN = "W S walk · A D sidestep · Q E turn, or the arrows · "
CLIPS = "1 … 9 play a clip · "
HINT = "Space push · R stand up · drag to look"
HERE, STATIC = Path(__file__).parent, page.ASSETS / "viewer" / "static"
SCRIPT = (
    page.ASSETS / "webgl.js",
    STATIC / "drive.js",
    *(HERE / name for name in ("engine.js", "network.js", "controller.js", "share.js")),
)
"""Each imports only from those before it."""
STYLE = (*page.STYLE, STATIC / "drive.css", HERE / "share.css")


def html(policy: PolicyFile, robot: Robot, title: str) -> str:
    """The page.

    Raises:
        UserError: the policy is shown what the page cannot make, the robot does not fit the engine, or it is missing.
    """
    try:
        content = page_content(policy, robot)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"walkies share: the robot {robot.name} does not run in the page: {error}") from error
    content["wasm"] = packed(np.frombuffer(engine_wasm(), np.uint8), "u1")
    driven = "command" in policy.slices
    hidden = "" if driven else " hidden"
    hint = (DRIVEN if driven else "") + (CLIPS if policy.blocks.trick is not None else "") + HINT
    parts = [
        "<canvas></canvas>",
        '<p id="notice" role="alert" hidden></p>',
        f'<div class="pad" id="move" role="application" aria-label="joystick: walk"{hidden}><i></i></div>',
        f'<div class="pad" id="turn" role="application" aria-label="joystick: turn"{hidden}><i></i></div>',
        '<div id="clips" role="group" aria-label="clips" hidden></div>',
        '<div class="tools"><button type="button" id="push">Push</button>',
        '<button type="button" id="reset">Stand up</button>',
        '<details><summary>World</summary><div id="world"></div></details></div>',
        f'<p class="hint">{hint}</p>',
        f'<script type="application/json" class="content">{page.embedded(content)}</script>',
        f"<script>{page.bundle(*SCRIPT)}</script>",
    ]
    return page.document(title, parts, SCRIPT, STYLE, compiles=True)


def command(target: Annotated[Path, tyro.conf.Positional], /, out: Path | None = None) -> None:
    """Write a trained robot into one HTML file that anybody can drive: on a phone or a laptop, without a network.

    The file holds the engine, compiled to WebAssembly, the policy and the robot, at most 8 MB. The robot is driven with
    keyboard, touch or gamepad, or plays the clips of its movement. It can be pushed and loaded, and stands up again
    when it falls.

    Args:
        target: a run folder, or any policy.json.
        out: where to write; default: share.html beside the policy.
    """
    path = find_policy(target)
    policy = policy_file.read(path)
    robot = robot_of(policy)
    out = out or path.with_name(NAME)
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder; expected the name of a file, such as {out / NAME}")
    text = html(policy, robot, f"{robot.name}, {path.resolve().parent.name}")
    size = len(text.encode())
    if size > MAX_BYTES:
        raise UserError(
            f"{out} not written: the page would have {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:g}; its network "
            f"has {policy.num_parameters:,} numbers. Train a smaller one (--recipe.hidden)"
        )
    write_text(out, text)
    say(f"{out}: {robot.name} in one file of {size / 1e6:.1f} MB; open it in a browser, or send it to somebody")
