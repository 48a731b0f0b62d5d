"""Motors of a robot: their properties in its file, and typical values for those that are missing.

A servo is chosen by the rotor behind it: kp = J ω², kd = 2 ζ J ω for an armature of J, with ω = 2π · 10 Hz and ζ = 2.
That is how Unitree's robots are driven in BeyondMimic (Liao et al. 2025, arXiv:2508.08241, section III), and within a
third of what the Stanford Pupper and Unitree's Go1 have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots.reading.anatomy import Anatomy
from walkies.robots.reading.check import stated_gains, torque_limits, torques, torques_alone
from walkies.robots.reading.stand import Stand
from walkies.robots.units import GRAVITY

RATE = 2 * np.pi * 10.0
"""rad/s, of a servo's own swing."""
RATIO = 2.0
"""Its damping, 1 being critical."""
GIVE, LEAST_GIVE = 1.0, 0.25
"""rad by which a joint gives way under all of its motor's torque, at most and at least: light rotors ask for less than
a joint needs, and heavy ones for more than the motor has to give."""
SAG = 0.1
"""rad by which it may give way as the robot stands."""
SAG_ALONE, GIVE_ALONE = 0.09, 0.75
"""The same of robots of two legs, which in every step carry everything on one: rad by which a joint may give way then,
and under all of its motor's torque."""
SLOWEST = 20.0
"""1/s: a servo closes a gap at least so fast; the Stanford Pupper's does, and most are faster."""
CATCHES = 12.0
"""√(g/h), of its hips' height h: at least so fast where a robot of two legs must catch itself. With weak motors, full
damping and late commands at once, slower servos cannot do it any more."""
LIGHT = 0.2
"""Damping below which a servo in a file is ignored: it would ring."""
FASTEST = 60.0
"""rad/s beyond which a joint's speed limits no gait."""
RESERVE = 5.0
"""Factor on the standing torque, for a motor of unknown strength."""


class Servos(NamedTuple):
    """Of each hinge, SI."""

    kp: np.ndarray
    kd: np.ndarray
    torque: np.ndarray
    armature: np.ndarray
    damping: np.ndarray
    friction: np.ndarray
    speed: np.ndarray
    """Without load; ∞ where nothing says it."""
    origins: dict[str, str]
    """Where each of these comes from, by its name."""


def servos(model: mujoco.MjModel, parts: Anatomy, stance: Stand, speeds: Mapping[str, float] | None = None) -> Servos:
    """The motors of a robot; speeds: rad/s that the file says of some joints, by name."""
    dofs = model.jnt_dofadr[list(parts.joints)]
    needed, torque = np.abs(torques(model, parts, stance)), torque_limits(model, parts)
    needed = _even(parts, needed)
    origins = {}
    unstated = np.isinf(torque)
    torque = np.where(unstated, RESERVE * max(float(needed.max()), 1e-3), torque)
    origins["torque"] = _origin(unstated, f"{RESERVE:g} times what standing takes of the most loaded joint")

    kp, kd = stated_gains(model, parts)
    armature, damping = model.dof_armature[dofs].copy(), model.dof_damping[dofs].copy()
    absent, bare = np.isnan(kp), armature <= 0
    give = GIVE_ALONE if len(parts.legs) == 2 else GIVE
    stiff = np.where(bare, torque / give, np.clip(armature * RATE**2, torque / give, torque / LEAST_GIVE))
    least, slowest = needed / SAG, SLOWEST
    if len(parts.legs) == 2:
        alone = _even(parts, torques_alone(model, parts, stance))
        least = np.maximum(least, np.minimum(alone / SAG_ALONE, torque / LEAST_GIVE))
        slowest = max(SLOWEST, CATCHES * float(np.sqrt(GRAVITY / stance.hips)))
    sagging = stiff < least
    kp = np.where(absent, np.maximum(stiff, least), kp)
    why = f"{RATE / 2 / np.pi:g} Hz on the rotor's inertia"
    why = (
        why
        if not bare.any()
        else f"all of the torque at {give:g} rad"
        if bare.all()
        else f"{why}, or all torque at {give:g} rad"
    )
    origins["kp"] = _origin(absent, why + (f"; {(sagging & absent).sum()} stiffer, to stand" if (sagging & absent).any()
                                            else ""))  # fmt: skip
    origins["armature"] = _origin(bare, f"such that kp is {RATE / 2 / np.pi:g} Hz on it")
    armature = np.where(bare, kp / RATE**2, armature)
    ringing = np.isnan(kd) | (kd + damping < 2 * LIGHT * np.sqrt(kp * armature))
    wanted = np.minimum(2 * RATIO * np.sqrt(kp * armature), kp / slowest)
    kd = np.where(ringing, np.maximum(wanted - damping, 0.1 * wanted), kd)
    origins["kd"] = _origin(
        ringing, f"a damping ratio of {RATIO:g} on the rotor, or kp/{slowest:.3g}, less the damping"
    )
    loss = model.dof_frictionloss[dofs].copy()
    origins["damping"] = origins["friction"] = "of the file"
    # Against damping alone a motor runs as fast as this; models of hobby servos are made so.
    speed = np.divide(torque, damping, out=np.full(len(torque), np.inf), where=damping > 0)
    told = [(speeds or {}).get(model.joint(joint).name, np.inf) for joint in parts.joints]
    speed = np.minimum(speed, told)
    origins["speed"] = f"rad/s without load, of the file or by its damping; 0: not known, or above {FASTEST:g}"
    return Servos(kp, kd, torque, armature, damping, loss, np.where(speed > FASTEST, np.inf, speed), origins)


def _origin(estimated: np.ndarray, how: str) -> str:
    if not estimated.any():
        return "of the file"
    return f"estimated: {how}" if estimated.all() else f"of the file; where it says none, estimated: {how}"


def _even(parts: Anatomy, values: np.ndarray) -> np.ndarray:
    """The larger of each joint and its mirror image."""
    return values if parts.partner is None else np.maximum(values, values[list(parts.partner)])
