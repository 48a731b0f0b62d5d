"""`jump_slot`: a short movement that a button plays over the gait reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from walkies.deploy.json_values import Problem, describe, require_numbers, require_table, size, whole

KEY = "jump_slot"
TIMES = ("playback_s", "active_s", "cross_fade_s", "grid_s", "busy_s")
HOP = ("hop_speed", "hop_play_s", "hop_table_s", "hop_reach_frequency")
DEFAULTS = {"trigger_button": 0, "run_button": 1, "walk_speed_cap": 0.49, "run_speed_cap": 1.5}
PENDING = 2
"""Jumps that may wait at once."""
INSTANT = 1e-6
"""s by which the controller keeps its comparisons of times apart."""


class Jumps(NamedTuple):
    """The jumps of n robots."""

    start: np.ndarray
    """(n, PENDING) s since the end of start-up, infinite where there is none; earlier ones first"""
    hops: np.ndarray
    """(n, PENDING) bool: begun fast enough for a hop"""
    latched: np.ndarray
    """(n, PENDING) bool: begun, so that `hops` is settled"""


@dataclass(frozen=True, eq=False)
class JumpSlot:
    """See the module. Tables hold absolute joint angles, rad."""

    jump_table: np.ndarray
    """(N, nu)"""
    playback_s: float
    """s that the table takes"""
    active_s: float
    """s after the start in which it shows"""
    cross_fade_s: float
    grid_s: float
    """s: starts lie on multiples of it"""
    busy_s: float
    """s after a start in which no other may begin; at least `active_s`"""
    trigger_button: int = 0
    run_button: int = 1
    walk_speed_cap: float = 0.49
    """m/s, either way and on either axis, unless `run_button` is held"""
    run_speed_cap: float = 1.5
    hop_table: np.ndarray | None = None
    hop_speed: float = np.inf
    """m/s of forward command at the start from which on it is a hop"""
    hop_play_s: float = 0.0
    """s: stored in the file, but unused."""
    hop_table_s: float = 1.0
    hop_reach_frequency: float = 1.0

    def begin(self, n: int) -> Jumps:
        """No jumps, as after activation."""
        no = np.zeros((n, PENDING), bool)
        return Jumps(np.full((n, PENDING), np.inf), no, no)

    def trigger(self, jumps: Jumps, pressed: np.ndarray, seconds: float) -> Jumps:
        """The jumps after a rising edge of the button for the robots `pressed` (n,), so late after start-up."""
        start = np.where(jumps.start + self.busy_s <= seconds, np.inf, jumps.start)  # what is over is forgotten
        order = np.argsort(start, axis=1, kind="stable")
        start, hops, latched = (np.take_along_axis(part, order, axis=1) for part in (start, *jumps[1:]))
        begins = np.full(len(start), np.ceil((seconds + INSTANT) / self.grid_s) * self.grid_s)
        for pending in start.T:
            collides = (pending <= begins) & (begins < pending + self.busy_s)
            later = np.ceil((np.where(collides, pending, 0.0) + self.busy_s - INSTANT) / self.grid_s) * self.grid_s
            begins = np.where(collides, later, begins)
        free = np.isinf(start)
        place = np.argmax(free, axis=1)
        taken = pressed & free.any(axis=1)
        start, hops, latched = start.copy(), hops.copy(), latched.copy()
        rows = np.flatnonzero(taken)
        start[rows, place[rows]], hops[rows, place[rows]], latched[rows, place[rows]] = begins[rows], False, False
        return Jumps(start, hops, latched)

    def blend(
        self, jumps: Jumps, gait: np.ndarray, seconds: float, command: np.ndarray, default_pose: np.ndarray
    ) -> tuple[Jumps, np.ndarray]:
        """The next state, and the gait reference (n, nu) with the current part of a jump."""
        since = seconds - jumps.start
        active = (since >= 0) & (since < self.active_s)
        new = active & ~jumps.latched
        hops = np.where(new, (command[:, :1] >= self.hop_speed) & (self.hop_table is not None), jumps.hops)
        jumps = jumps._replace(hops=hops, latched=jumps.latched | active)
        weight = np.clip(np.minimum(since, self.active_s - since) / self.cross_fade_s, 0.0, 1.0)
        for slot in range(PENDING):
            share = np.where(active[:, slot], weight[:, slot], 0.0)[:, None]
            angles = self._jump(np.where(active[:, slot], since[:, slot], 0.0))
            if self.hop_table is not None:
                hop = self._hop(np.where(active[:, slot], jumps.start[:, slot], 0.0), since[:, slot])
                angles = np.where(hops[:, slot, None], hop, angles)
            gait = share * (angles - default_pose) + (1 - share) * gait
        return jumps, gait

    def _jump(self, since: np.ndarray) -> np.ndarray:
        place = np.clip(since / self.playback_s, 0.0, 1.0) * len(self.jump_table)
        return _row(self.jump_table, place, wraps=True)

    def _hop(self, start: np.ndarray, since: np.ndarray) -> np.ndarray:
        assert self.hop_table is not None
        cycles = start * self.hop_reach_frequency
        reached = (cycles - np.floor(cycles)) / self.hop_reach_frequency
        share = np.clip((reached + since) / self.hop_table_s, 0.0, 1.0)
        return _row(self.hop_table, share * (len(self.hop_table) - 1), wraps=False)

    @classmethod
    def parse(cls, block: Mapping[str, Any]) -> JumpSlot:
        numbers: dict[str, Any] = {name: float(block[name]) for name in (*TIMES, *HOP) if name in block}
        settings: dict[str, Any] = {name: type(default)(block.get(name, default)) for name, default in DEFAULTS.items()}
        hop = np.array(block["hop_table"], float) if "hop_table" in block else None
        return cls(np.array(block["jump_table"], float), **numbers, **settings, hop_table=hop)

    def document(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in (*TIMES, *DEFAULTS)}
        block = {"n_samples": len(self.jump_table), **numbers, "jump_table": self.jump_table.tolist()}
        if self.hop_table is not None:
            block |= {"hop_table": self.hop_table.tolist(), **{name: getattr(self, name) for name in HOP}}
        return block

    @staticmethod
    def check(block: Any, joints: int, found: list[Problem]) -> None:
        if not isinstance(block, dict):
            found.append(Problem("bad-block", KEY, describe(block), "an object with a table of a jump"))
            return
        above = ("playback_s", "active_s", "cross_fade_s", "grid_s")
        times = require_numbers(block, KEY, TIMES, found, positive=above)
        if times and block["busy_s"] < block["active_s"]:
            expected = f"at least active_s, {block['active_s']:g}"
            found.append(Problem("bad-block", f"{KEY}.busy_s", describe(block["busy_s"]), expected))
        require_table(block, KEY, "jump_table", joints, size([block.get("n_samples")]), found)
        require_numbers(block, KEY, [name for name in ("walk_speed_cap", "run_speed_cap") if name in block], found)
        for name in ("trigger_button", "run_button"):
            if whole(block.get(name, 0)) is None:
                found.append(Problem("bad-block", f"{KEY}.{name}", describe(block[name]), "the number of a button"))
        if "hop_table" in block:
            require_table(block, KEY, "hop_table", joints, None, found)
            require_numbers(block, KEY, HOP, found, positive=("hop_table_s", "hop_reach_frequency"))


def _row(table: np.ndarray, place: np.ndarray, wraps: bool) -> np.ndarray:
    """Rows of a table at places (n,) between them; behind the last row comes the first, or the last again."""
    row, rows = np.floor(place).astype(int), len(table)
    first, second = ((i % rows if wraps else np.minimum(i, rows - 1)) for i in (row, row + 1))
    share = (place - row)[:, None]
    return (1 - share) * table[first] + share * table[second]


def speed_cap(slot: JumpSlot | None, of_node: float, running: bool) -> float:
    """m/s that vx and vy are capped at: the node's own cap where it has one (above 0), else the slot's."""
    if of_node > 0:
        return of_node
    if slot is None:
        return np.inf
    return slot.run_speed_cap if running else slot.walk_speed_cap
