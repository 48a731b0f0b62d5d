"""Pieces of a self-contained HTML page: no network, no files beside it, light and dark."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from walkies.judge import report_card
from walkies.later import mujoco
from walkies.robots import VISUAL_GROUP, get_robot, load_model, shape_name, units
from walkies.show import replay

PLAYER_FPS = 25.0
"""Poses per second in a page; the player draws between them."""
DISTANCE = 1.0
"""m, from which the reference robot is seen; others from as much further as they are larger."""

SHAPES = {"sphere": "sphere", "capsule": "capsule", "ellipsoid": "sphere", "cylinder": "cylinder", "box": "box"}
"""MuJoCo's primitive shapes by the names that webgl.js has for them."""

ASSETS = Path(__file__).parent
STYLE = (ASSETS / "page.css",)
PLAYER = (ASSETS / "webgl.js", ASSETS / "player.js")
"""Modules of the script that plays a motion; each imports only from those before it."""


def document(
    title: str,
    sections: list[str],
    script: Sequence[Path] = PLAYER,
    style: Sequence[Path] = STYLE,
    *,
    compiles: bool = False,
) -> str:
    """A complete page that runs only its own script, whatever its content, and loads nothing.

    Args:
        script, style: of which files (`bundle`, `asset`).
        compiles: whether the script compiles WebAssembly.
    """
    content = asset(*style)
    body = "\n".join(sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(content, bundle(*script), compiles)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{content}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def asset(*paths: Path) -> str:
    """The whole content of a style element: files of ours."""
    return "\n" + "\n".join(path.read_text(encoding="utf-8") for path in paths)


def bundle(*modules: Path) -> str:
    """The whole content of a script element: modules of ours in one scope. A page that is opened from the disk cannot
    load modules; each may import from those before it, and their names are its own."""
    text = re.sub(r"^import .*;\n", "", asset(*modules), flags=re.MULTILINE)
    return "\n(() => {" + re.sub(r"^export ", "", text, flags=re.MULTILINE) + "})();\n"


def embedded(content: Any) -> str:
    """JSON for a script element: "<" never appears literally in it, so that no text in it can end the element."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _policy(style: str, script: str, compiles: bool) -> str:
    """A Content-Security-Policy (level 3) that knows the page's style and script by their hashes."""
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in (style, script)
    )
    wasm = " 'wasm-unsafe-eval'" if compiles else ""
    return (
        f"default-src 'none'; script-src 'sha256-{script_hash}'{wasm}; style-src 'sha256-{style_hash}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def facts(pairs: list[tuple[str, str]]) -> str:
    """Names and values, one pair a line."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f"<dl>{rows}</dl>"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A plain table."""
    first = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table>"


def card(content: report_card.Card) -> str:
    """The examination's report card."""
    verdict = '<span class="met">passed</span>' if content["passed"] else '<span class="missed">failed</span>'
    rows = "".join(_mark(mark) for mark in content["marks"])
    said = report_card.remarks(content)
    said += [f"Falls by cause: {causes}."] if (causes := report_card.causes(content)) else []
    below = "".join(f"<p>{escape(sentence)}</p>" for sentence in said)
    return (
        f"<section><h2>Examination {verdict}</h2><p>{escape(report_card.about(content))} Marks in bold decide, the "
        "others are for information.</p>"
        "<table><thead><tr><th>mark</th><th>result</th><th>pass mark</th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{below}</section>"
    )


def picture(title: str, path: Path) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<section><h2>{escape(title)}</h2><img alt="{escape(title)}" src="data:image/png;base64,{data}"></section>'


def details(title: str, text: str) -> str:
    """Text that unfolds on a click."""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def player(motion: replay.Trajectory, title: str = "Replay") -> str:
    """A recorded motion to view from all sides."""
    data = embedded(scene(motion))
    return (
        f'<section><h2>{escape(title)}</h2><div class="player"><canvas></canvas><p class="command"></p>'
        '<div class="controls"><button type="button" aria-label="play or pause">❚❚</button>'
        '<input type="range" min="0" max="1000" value="0" aria-label="time"><output></output>'
        '<select aria-label="speed"><option value="0.25">¼ ×</option><option value="0.5">½ ×</option>'
        '<option value="1" selected>1 ×</option><option value="2">2 ×</option></select></div>'
        "<p>Drag to turn, wheel to zoom.</p></div>"
        f'<script type="application/json" class="scene">{data}</script><script>{bundle(*PLAYER)}</script></section>'
    )


def scene(motion: replay.Trajectory, fps: float = PLAYER_FPS) -> dict[str, Any]:
    """What the player needs: shapes, and the pose of every body at every picture, as 16-bit integers in base64.

    poses: (pictures, bodies, 7) little-endian int16; the first three times `metres` are the position, the last four
    over 32767 the quaternion w x y z.
    """
    robot = get_robot(motion.robot)
    model = load_model(robot)
    data = mujoco.MjData(model)
    rows = motion.at(fps)
    poses = np.zeros((len(rows), model.nbody, 7))
    for place, row in enumerate(rows):
        data.qpos[:] = motion.qpos[row]
        mujoco.mj_kinematics(model, data)
        poses[place] = np.concatenate([data.xpos, data.xquat], axis=1)
    metres = max(float(np.abs(poses[..., :3]).max()), 1.0) / 32767
    packed = np.round(poses / ([metres] * 3 + [1 / 32767] * 4)).astype("<i2")
    return {
        "fps": fps,
        "bodies": int(model.nbody),
        "size": DISTANCE * units.growth(robot, "m"),
        "metres": metres,
        "poses": base64.b64encode(packed.tobytes()).decode("ascii"),
        "commands": [motion.words(row) for row in rows],
        "shapes": [shape(model, geom) for geom in drawn(model)],
    }


def drawn(model: mujoco.MjModel) -> list[int]:
    """Geoms that show the robot; where these are meshes, of which the page knows nothing, its colliders do."""
    plain = [geom for geom in range(model.ngeom) if shape_name(model, geom) in SHAPES]
    seen = [geom for geom in plain if model.geom_group[geom] == VISUAL_GROUP]
    meshes = np.any((model.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & (model.geom_group == VISUAL_GROUP))
    return [geom for geom in plain if model.geom_bodyid[geom]] if meshes or not seen else seen


def shape(model: mujoco.MjModel, geom: int) -> dict[str, Any]:
    """One visual primitive in its body's frame."""
    kind, size = shape_name(model, geom), model.geom_size[geom].tolist()
    if kind == "sphere":
        size = [size[0]] * 3
    material = int(model.geom_matid[geom])
    colour = model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom]
    return {
        "body": int(model.geom_bodyid[geom]),
        "shape": SHAPES[kind],
        "size": [round(value, 5) for value in size],
        "pos": np.round(model.geom_pos[geom], 5).tolist(),
        "quat": np.round(model.geom_quat[geom], 6).tolist(),
        "colour": np.round(colour[:3], 3).tolist(),
    }


def _mark(mark: report_card.Result) -> str:
    name = escape(mark["name"])
    title = f"<strong>{name}</strong>" if mark["gates"] else name
    texts = (title, escape(report_card.value(mark)), escape(report_card.limit(mark)))
    cells = "".join(f"<td>{text}</td>" for text in texts)
    result = "met" if mark["met"] else "missed"
    return f'<tr>{cells}<td class="{result}">{result}</td></tr>'
