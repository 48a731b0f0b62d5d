"""Ground that is no plane: boxes in all directions, stones, stairs, height fields, under any MJCF with a floor."""

from __future__ import annotations

import mujoco
import numpy as np

FLOOR = '<geom name="floor" type="plane" size="0 0 1" contype="1" conaffinity="0"'
STATIC = 'contype="1" conaffinity="0"'


def on(mjcf: str, geoms: str, plane: bool = True, assets: str = "") -> str:
    """An MJCF on which further static geoms lie, or, without the plane, these alone."""
    begin = mjcf.index('<geom name="floor"')
    end = mjcf.index("/>", begin) + 2
    text = mjcf[:begin] + (mjcf[begin:end] if plane else "") + geoms + mjcf[end:]
    return text.replace("<worldbody>", f"<asset>{assets}</asset><worldbody>")


def box(name: str, center: np.ndarray, half: np.ndarray, quat: np.ndarray | None = None, more: str = "") -> str:
    turn = "" if quat is None else f'quat="{_text(quat)}"'
    return f'<geom name="{name}" type="box" pos="{_text(center)}" size="{_text(half)}" {turn} {STATIC} {more}/>'


def any_boxes(count: int, seed: int, more: str = "", spread: float = 1.0) -> str:
    """Boxes in all directions, in and above one another, around the origin."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(count):
        quat = rng.normal(size=4) * rng.choice([0.05, 1.0]) + [1, 0, 0, 0]
        center = rng.normal(size=3) * [spread, spread, 0.05]
        parts.append(box(f"box{i}", center, rng.uniform(0.05, 0.3, 3), quat, more))
    return "".join(parts)


def stones_and_stairs(rows: int = 9, steps: int = 19, seed: int = 0) -> str:
    """rows × rows stones of 16 to 24 cm, 26 cm apart and of different heights, and a staircase: boxes side by side."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in range(rows * rows):
        center = 0.26 * np.array([i % rows - rows // 2, i // rows - rows // 2, 0.0]) + [0, 0, rng.uniform(-0.08, -0.05)]
        yaw = rng.uniform(0, np.pi)
        half = np.array([*rng.uniform(0.08, 0.12, 2), 0.08])
        parts.append(box(f"stone{i}", center, half, np.array([np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])))
    for i in range(steps):
        parts.append(box(f"step{i}", np.array([1.5 + 0.2 * i, 0, 0.02 * i - 0.1]), np.array([0.1, 1.2, 0.12])))
    return "".join(parts)


FIELD = '<geom name="field" type="hfield" hfield="field" pos="{0}" euler="{1}" ' + STATIC + " {2}/>"


def field(pos: str = "0 0 -0.05", euler: str = "0 0 0", more: str = "") -> str:
    return FIELD.format(pos, euler, more)


def field_asset(points: int = 80, half: float = 4.0, top: float = 0.3) -> str:
    """points × (points − 3) heights, whose numbers `rough` fills in."""
    return f'<hfield name="field" nrow="{points - 3}" ncol="{points}" size="{half} {half} {top} 0.4"/>'


def rough(mjcf: str, seed: int, smooth: int = 2) -> mujoco.MjModel:
    """The model, its height field filled by chance and smoothed a number of times."""
    model = mujoco.MjModel.from_xml_string(mjcf)
    rows, columns = model.hfield_nrow[0], model.hfield_ncol[0]
    height = np.random.default_rng(seed).uniform(size=(rows, columns))
    for _ in range(smooth):
        height = (height + sum(np.roll(height, step, axis) for step in (-1, 1) for axis in (0, 1))) / 5
    model.hfield_data[:] = ((height - height.min()) / np.ptp(height)).ravel()
    return model


def _text(values: np.ndarray) -> str:
    return " ".join(f"{value:.9g}" for value in values)
