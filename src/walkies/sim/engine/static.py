"""Static boxes and height fields in the engine's order (`native/engine/layout.h`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from walkies.later import mujoco
from walkies.sim.engine.check import geom_name, unfit

MAX_KINDS, MAX_BOXES, MAX_NEAR, MAX_CELLS, MAX_FIELDS, MAX_PRISMS = 8, 4096, 16, 1 << 14, 4, 50
KIND_NUMBERS, TOUCH_NUMBERS, FIELD_NUMBERS, BOX_NUMBERS = 7, 5, 3 + 9 + 7, 15
"""As in layout.h."""

CELLS_ALONG, CELLS_PER_BOX = 124, 8
"""Cells of the boxes' grid along its longer side, without the empty ones around it: at most; and times √boxes."""
SLACK = 1e-4
"""m: single precision may place a sphere in the cell beside its own by that much, and by far less."""
NOWHERE = -1e6
"""m, the highest point of no box."""

Touches = tuple[tuple[float, ...], ...]
"""For every collider margin (−∞: they never touch), surface, condim, torsional and rolling friction."""
Touch = Callable[[int, int], tuple[float, ...]]
"""The same of a static geom and a collider."""


@dataclass
class _Kind:
    """Geoms that are the same to all colliders."""

    touches: Touches
    boxes: list[int] = field(default_factory=list)
    fields: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Static:
    """Static geoms in the form of the engine."""

    kinds: int
    fields: int
    numbers: list[float]
    """The last ones of a model's constants."""
    terrain: np.ndarray
    """Flat float64, m: of every kind the highest point of each cell, and the boxes; then the fields' heights."""
    cells: np.ndarray
    """Flat int32: of every kind where each cell's boxes begin in the list that follows, and that list."""


def read_static(
    model: mujoco.MjModel,
    geoms: Sequence[int],
    colliders: Sequence[int],
    touch: Callable[[int, int], tuple[float, ...]],
) -> Static:
    """Static geoms in the engine's terms.

    Args:
        geoms: the static ones, boxes and height fields.
        colliders: those of the robot, in the engine's order.
        touch: what a static geom and a collider are to one another.

    Raises:
        ValueError: there are too many; the message names the element.
    """
    kinds = _kinds(model, geoms, colliders, touch)
    numbers: list[float] = []
    terrain: list[np.ndarray] = []
    cells: list[np.ndarray] = []
    for kind in kinds:
        reach = _reach(model, colliders, kind.touches)
        grid = _grid(model, kind.boxes, reach) if kind.boxes else _Grid((0, 0), np.zeros(2), 1.0, np.zeros(1, int), [])
        numbers += [len(kind.boxes), grid.near, *grid.shape, *grid.begin, 1 / grid.cell]
        terrain += [_tops(model, kind.boxes, grid), *(_box(model, geom) for geom in kind.boxes)]
        cells += [grid.start, np.asarray(grid.boxes)] if kind.boxes else []
    numbers += [number for kind in kinds for touches in kind.touches for number in touches]
    fields = [(number, geom) for number, kind in enumerate(kinds) for geom in kind.fields]
    if len(fields) > MAX_FIELDS:
        unfit(geom_name(model, fields[-1][1]), f"height field number {len(fields)}", f"at most {MAX_FIELDS}")
    for number, geom in fields:
        size, rows, columns = _field_size(model, geom)
        _check_cells(model, geom, colliders, kinds[number].touches)
        begin = model.hfield_adr[model.geom_dataid[geom]]
        heights = model.hfield_data[begin : begin + rows * columns].astype(np.float64) * size[2]
        numbers += [number, *model.geom_pos[geom], *_rotation(model, geom).ravel(), *size[:2]]
        numbers += [-size[3], heights.max(), columns, rows]
        terrain.append(heights)
    return Static(
        len(kinds),
        len(fields),
        numbers,
        np.concatenate(terrain) if terrain else np.zeros(0),
        np.concatenate(cells).astype(np.int32) if cells else np.zeros(0, np.int32),
    )


def _kinds(
    model: mujoco.MjModel,
    geoms: Sequence[int],
    colliders: Sequence[int],
    touch: Callable[[int, int], tuple[float, ...]],
) -> list[_Kind]:
    """Geoms grouped by their contacts with the colliders; those that nothing touches are left out."""
    properties = ("contype", "conaffinity", "condim", "priority", "friction", "solref", "solimp", "solmix", "margin")
    known: dict[bytes, Touches] = {}
    kinds: dict[Touches, _Kind] = {}
    for geom in geoms:
        key = b"".join(getattr(model, f"geom_{name}")[geom].tobytes() for name in properties)
        if key not in known:
            known[key] = tuple(touch(geom, collider) for collider in colliders)
        touches = known[key]
        if all(margin == -np.inf for margin, *_ in touches):
            continue
        kind = kinds.setdefault(touches, _Kind(touches))
        if len(kinds) > MAX_KINDS:
            unfit(
                geom_name(model, geom), f"kind of contact number {len(kinds)} of static geoms", f"at most {MAX_KINDS}"
            )
        (kind.boxes if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX else kind.fields).append(geom)
        if len(kind.boxes) > MAX_BOXES:
            unfit(geom_name(model, geom), f"static box number {len(kind.boxes)}", f"at most {MAX_BOXES}")
    return list(kinds.values())


def _reach(model: mujoco.MjModel, colliders: Sequence[int], touches: Touches) -> float:
    """m from a collider's centre at which it begins to touch, at most."""
    return max(
        # A capsule's second size is half its length without the ends; MuJoCo has 0 there for spheres.
        float(model.geom_size[geom, :2].sum() + margin)
        for geom, (margin, *_) in zip(colliders, touches, strict=True)
        if margin != -np.inf
    )


@dataclass(frozen=True)
class _Grid:
    """Boxes by horizontal cell."""

    shape: tuple[int, int]
    """Cells along x and along y. The outermost ones have no box, so what lies beyond is as they are."""
    begin: np.ndarray
    """(2,) m, its smallest x and y."""
    cell: float
    """m, the side of a cell."""
    start: np.ndarray
    """(cells + 1,): where in `boxes` those of each cell begin; x varies fastest."""
    boxes: Sequence[int] | np.ndarray

    @property
    def near(self) -> int:
        return int(np.diff(self.start).max(initial=0))


def _grid(model: mujoco.MjModel, boxes: Sequence[int], reach: float) -> _Grid:
    center = model.geom_pos[boxes]
    half = np.stack([_extent(model, geom) for geom in boxes]) + reach + SLACK
    low, high = (center - half)[:, :2], (center + half)[:, :2]
    size = high.max(axis=0) - low.min(axis=0)
    cell = float(max(size.max() / min(CELLS_ALONG, CELLS_PER_BOX * len(boxes) ** 0.5), reach))
    begin = low.min(axis=0) - cell
    columns, rows = (int(count) + 3 for count in size / cell)
    first, last = (np.floor((edge - begin) / cell).astype(int) for edge in (low, high))
    pairs = []
    for box in range(len(boxes)):
        x, y = (np.arange(first[box, axis], last[box, axis] + 1) for axis in (0, 1))
        over = (y[:, None] * columns + x).ravel()
        pairs.append(np.stack([over, np.full_like(over, box)]))
    cells, numbers = np.concatenate(pairs, axis=1)
    order = np.argsort(cells, kind="stable")
    count = np.bincount(cells, minlength=columns * rows)
    crowded = int(count.argmax())
    if count[crowded] > MAX_NEAR:
        there = numbers[cells == crowded]
        unfit(
            geom_name(model, boxes[there[-1]]),
            f"{len(there)} boxes within {1e3 * cell:.0f} mm or above one another",
            f"at most {MAX_NEAR} static boxes about one place, or in one column",
        )
    start = np.concatenate([[0], np.cumsum(count)])
    return _Grid((columns, rows), begin, cell, start, numbers[order])


def _tops(model: mujoco.MjModel, boxes: Sequence[int], grid: _Grid) -> np.ndarray:
    """(cells,) m: the highest point of each cell's boxes."""
    top = np.full(len(grid.start) - 1, NOWHERE)
    if boxes:
        height = np.array([model.geom_pos[geom, 2] + _extent(model, geom)[2] for geom in boxes])
        cells = np.repeat(np.arange(len(top)), np.diff(grid.start))
        np.maximum.at(top, cells, height[grid.boxes])
    return top


def _extent(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """(3,) m, half of a box's bounding box in world axes."""
    return np.abs(_rotation(model, geom)) @ model.geom_size[geom]


def _box(model: mujoco.MjModel, geom: int) -> np.ndarray:
    return np.concatenate([model.geom_pos[geom], _rotation(model, geom).ravel(), model.geom_size[geom]])


def _field_size(model: mujoco.MjModel, geom: int) -> tuple[np.ndarray, int, int]:
    """MuJoCo's size (4,), m, and how many rows and columns of heights."""
    number = model.geom_dataid[geom]
    return model.hfield_size[number], int(model.hfield_nrow[number]), int(model.hfield_ncol[number])


def _check_cells(model: mujoco.MjModel, geom: int, colliders: Sequence[int], touches: Touches) -> None:
    """Check that no sphere is over too many prisms."""
    size, rows, columns = _field_size(model, geom)
    step = 2 * size[:2] / (np.array([columns, rows]) - 1)
    for collider, (margin, *_) in zip(colliders, touches, strict=True):
        if margin == -np.inf:
            continue
        below = 2 * np.prod(np.floor(2 * (model.geom_size[collider, 0] + margin) / step) + 2)
        if below > MAX_PRISMS:
            unfit(
                geom_name(model, geom),
                f"{below:.0f} of its prisms below {geom_name(model, collider)}",
                f"at most {MAX_PRISMS}; take larger cells",
            )


def _rotation(model: mujoco.MjModel, geom: int) -> np.ndarray:
    """(3, 3): from a static geom's axes to the world's."""
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, model.geom_quat[geom])
    return flat.reshape(3, 3)
