"""Robots in checkpoints of older versions, converted to the form of today's simulators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROBOTS = "actors.state"
BODY, HINGE, REST = 11, 7, 15
"""Numbers per body, hinge and robot in a row of the first edition's native engine."""
GRAVITY, SURFACE, TORSION = 3, 11, 1
"""Numbers of a robot and of a kind of contact in today's row, and the place of the torsional friction among these."""
TORQUE_LIMIT = 2
"""Place of the torque limit among a hinge's numbers; 1 / torque_speed follows it today."""


def upgraded(
    tensors: dict[str, np.ndarray],
    sphere_bodies: Sequence[int] = (),
    surfaces: int = 1,
    imu_rows: int = 0,
    substeps: int = 1,
) -> dict[str, np.ndarray]:
    """Tensors of a checkpoint by name, those of older versions as if today's program had written them.

    In the first edition the native engine's row of parameters ended with the delays of commands and of the IMU, which
    are leaves of their own today, and no motor weakened with speed. Until the engine took any tree of joints, every
    body had its inverse weight in the row, where every colliding geom has that of its body today. Until torsional
    friction was a parameter, every contact had the model's. Until the age of a reading could change from step to step,
    one reading of each control step was remembered; and every fade-in took a second. Whatever is not of these forms is
    returned as it is.

    Args:
        tensors: by name.
        sphere_bodies: of each colliding geom the body that it is part of, the base being 0; empty: not of this engine.
        surfaces: kinds of contact in the row.
        imu_rows: earlier readings of the IMU that the task remembers today.
        substeps: physics steps of a control step.
    """
    tensors = _with_torsion(_of_trees(_without_delays(tensors), sphere_bodies, surfaces), sphere_bodies, surfaces)
    return _with_every_reading(_with_fade_in(tensors), imu_rows, substeps)


def _with_fade_in(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    clock, name = tensors.get(f"{ROBOTS}.clock"), f"{ROBOTS}.fade_in"
    return tensors if clock is None or name in tensors else {**tensors, name: np.ones_like(clock)}


def _with_every_reading(tensors: dict[str, np.ndarray], rows: int, substeps: int) -> dict[str, np.ndarray]:
    """Of each control step the one that was remembered, in all places: no other is read."""
    name = f"{ROBOTS}.imu"
    past = tensors.get(f"{name}.past")
    kept = {key: value for key, value in tensors.items() if not key.startswith(f"{name}.")}
    if past is None:
        return tensors
    steps = np.minimum(np.arange(rows) // substeps, past.shape[1] - 1)
    return {**kept, name: past[:, steps]} if rows else kept


def _with_torsion(tensors: dict[str, np.ndarray], sphere_bodies: Sequence[int], surfaces: int) -> dict[str, np.ndarray]:
    row, targets = tensors.get(f"{ROBOTS}.params"), tensors.get(f"{ROBOTS}.physics.targets")
    if row is None or targets is None or not len(sphere_bodies):
        return tensors
    end = _numbers(targets.shape[-1], len(sphere_bodies), surfaces)
    if row.ndim != 2 or row.shape[1] != end - surfaces:
        return tensors
    start = end - SURFACE * surfaces
    contacts = np.insert(row[:, start:].reshape(len(row), surfaces, SURFACE - 1), TORSION, 1.0, axis=2)
    return {**tensors, f"{ROBOTS}.params": np.concatenate([row[:, :start], contacts.reshape(len(row), -1)], axis=1)}


def _numbers(hinges: int, colliders: int, surfaces: int) -> int:
    """In today's row of the native engine."""
    return BODY - 1 + (BODY - 1 + HINGE + 1) * hinges + colliders + GRAVITY + SURFACE * surfaces


def _of_trees(tensors: dict[str, np.ndarray], sphere_bodies: Sequence[int], surfaces: int) -> dict[str, np.ndarray]:
    row, targets = tensors.get(f"{ROBOTS}.params"), tensors.get(f"{ROBOTS}.physics.targets")
    if row is None or targets is None or not len(sphere_bodies):
        return tensors
    bodies = 1 + targets.shape[-1]
    start, end = BODY * bodies, BODY * bodies + (HINGE + 1) * (bodies - 1)
    today = _numbers(targets.shape[-1], len(sphere_bodies), surfaces)
    if row.ndim != 2 or row.shape[1] != end + REST - 2 or row.shape[1] in (today, today - surfaces):
        return tensors
    body, rest = row[:, :start].reshape(len(row), bodies, BODY), row[:, end:]
    weights = body[:, list(sphere_bodies), -1]
    parts = [body[:, :, :-1].reshape(len(row), -1), row[:, start:end], weights]
    parts += [rest[:, 1:4], rest[:, :1], rest[:, 4:]]  # gravity stood behind friction
    return {**tensors, f"{ROBOTS}.params": np.concatenate(parts, axis=1)}


def _without_delays(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    row, targets = tensors.get(f"{ROBOTS}.params"), tensors.get(f"{ROBOTS}.physics.targets")
    if row is None or targets is None or f"{ROBOTS}.delays.command" in tensors:
        return tensors
    hinges = targets.shape[-1]
    start, end = BODY * (1 + hinges), BODY * (1 + hinges) + HINGE * hinges
    if row.ndim != 2 or row.shape[1] != end + REST:
        return tensors
    motors = np.insert(row[:, start:end].reshape(len(row), hinges, HINGE), TORQUE_LIMIT + 1, 0.0, axis=2)
    return {
        **tensors,
        f"{ROBOTS}.params": np.concatenate([row[:, :start], motors.reshape(len(row), -1), row[:, end:-2]], axis=1),
        f"{ROBOTS}.delays.command": row[:, -2].astype(np.int32),
        f"{ROBOTS}.delays.imu": row[:, -1].astype(np.int32),
    }
