"""A gait as a reference: joint angles over one cycle, and which of them a policy observes at a given time.

Training computes it with the same formulas as the robot's controller of 2026 (`pupper_gait_deploy`), from tables in the
policy's file. Functions accept numpy and JAX arrays alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from walkies.arrays import namespace

Array = Any
"""numpy.ndarray or jax.Array"""
TABLES, OPTIONAL_TABLES = ("trot_table", "gallop_table"), ("lift_table", "gallop_back_table")
"""Names, as in a policy file."""
STILL = 1e-6
"""rad: angles that are the same."""


@dataclass(frozen=True, eq=False)
class GaitReference:
    """Tables (N, nu) of absolute joint angles, rad, over one cycle of a gait, and when each of them applies."""

    frequency: float
    """Hz, cycles of the trot; measured by a clock, independent of the rate of actions."""
    trot_table: np.ndarray
    gallop_table: np.ndarray
    lift_table: np.ndarray | None = None
    """Where forward velocity is below `dir_threshold`; None: the trot."""
    gallop_back_table: np.ndarray | None = None
    """For backward gallops, stored for a phase that runs backward; None: `gallop_table`."""
    gallop_speed: float = 1000.0
    """m/s: the gallop applies from this speed on, forward or backward."""
    gallop_freq_mult: float = 1.0
    """Ratio of the gallop's frequency to the trot's."""
    blend_speed: float = 0.1
    """Norm of the command from which the reference has its full size; below, it shrinks to the default pose."""
    dir_threshold: float = 0.05
    """m/s: a slower walk takes its direction from the yaw rate."""

    @property
    def n_samples(self) -> int:
        """Rows of each table."""
        return len(self.trot_table)

    @property
    def tables(self) -> dict[str, np.ndarray]:
        """The tables present, by name."""
        known = {name: getattr(self, name) for name in (*TABLES, *OPTIONAL_TABLES)}
        return {name: table for name, table in known.items() if table is not None}

    def stands_still(self, default_pose: Any) -> bool:
        """Whether it is the default pose (nu,) for every command."""
        return all(np.allclose(table, default_pose, rtol=0, atol=STILL) for table in self.tables.values())

    @cached_property
    def stacked(self) -> np.ndarray:
        """(4, N, nu): trot, lift, gallop, gallop back."""
        lift = self.trot_table if self.lift_table is None else self.lift_table
        back = self.gallop_table if self.gallop_back_table is None else self.gallop_back_table
        return np.stack([self.trot_table, lift, self.gallop_table, back])

    def angles(self, seconds: Array, command: Array) -> Array:
        """Absolute joint angles (n, nu), rad, of the table that applies.

        Args:
            seconds: (n,) since the controller's start-up ended.
            command: (n, 3) m/s, m/s, rad/s, as the policy observes it.
        """
        table, row, share = self._place(seconds, command)
        tables = namespace(command).asarray(self.stacked, dtype=command.dtype)
        share = share[..., None]
        return (1 - share) * tables[table, row] + share * tables[table, (row + 1) % self.n_samples]

    def stance(self, seconds: Array, command: Array, stances: np.ndarray) -> Array:
        """Which feet stand in the row that is nearest, (n, legs) bool; stances: (4, N, legs), those of `stacked`."""
        table, row, share = self._place(seconds, command)
        xp = namespace(command)
        return xp.asarray(stances)[table, (row + xp.round(share).astype(int)) % self.n_samples]

    def _place(self, seconds: Array, command: Array) -> tuple[Array, Array, Array]:
        """Of `stacked` the table, its row, and how far it is to the next one, from 0 to 1: three (n,)."""
        xp = namespace(command)
        forward, yaw = command[..., 0], command[..., 2]
        gallops, walks = xp.abs(forward) >= self.gallop_speed, xp.abs(forward) >= self.dir_threshold
        cycles = seconds * self.frequency * xp.where(gallops, self.gallop_freq_mult, 1.0)
        phase = cycles - xp.floor(cycles)
        onward = xp.where(walks, forward, yaw) >= 0
        place = xp.where(onward, phase, -phase) * self.n_samples
        row = xp.floor(place)
        table = xp.where(gallops, xp.where(onward, 2, 3), xp.where(walks, 0, 1))
        first = row.astype(int) % self.n_samples  # of a negative phase too: the remainder is never negative
        return table, first, place - row

    def offset(self, seconds: Array, command: Array, default_pose: Any) -> Array:
        """The policy's observation: `angles` minus the default pose (nu,), fading to zero for small commands."""
        xp = namespace(command)
        size = xp.clip(xp.linalg.norm(command, axis=-1, keepdims=True) / self.blend_speed, 0.0, 1.0)
        return size * (self.angles(seconds, command) - xp.asarray(default_pose, dtype=command.dtype))
