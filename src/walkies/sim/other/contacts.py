"""What each engine makes of `Params`: a table by name, and the conversions."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from walkies.sim.base import Params

Kind = Literal["exact", "converted", "ignored"]
"""exact: means the same. converted: by the rule in the text. ignored: the engine has no such number."""


class Use(NamedTuple):
    """How an engine takes one of the parameters."""

    kind: Kind
    how: str


_INERTIAS = Use("exact", "of the link")
_MOTOR = Use("exact", "computed before the engine, in each physics step")
_ROTOR = Use("converted", "inertia of the link about the joint's axis, so that it also turns with the trunk")
_NONE_OF_SOLIMP = Use("ignored", "contacts are rigid at any depth")
_MUJOCO_ONLY = Use("ignored", "the engine's own effective masses")
_GRAVITY = Use("exact", "of the world")
_SLIDING_ALONE = Use("ignored", "friction resists sliding alone")

_SAME: dict[str, Use] = {
    **dict.fromkeys(("body_mass", "body_ipos", "body_inertia"), _INERTIAS),
    **dict.fromkeys(("kp", "kd", "torque_limit", "torque_speed"), _MOTOR),
    "torsion": _SLIDING_ALONE,
    "dof_damping": Use("exact", "a torque against the speed, explicit in the state"),
    "dof_armature": _ROTOR,
    "gravity": _GRAVITY,
    "contact_solimp": _NONE_OF_SOLIMP,
    "body_invweight0": _MUJOCO_ONLY,
    "dof_invweight0": _MUJOCO_ONLY,
}

USES: dict[str, dict[str, Use]] = {
    "bullet": _SAME
    | {
        "friction": Use("exact", "of the ground; 1 on the robot: Bullet multiplies"),
        "dof_frictionloss": Use("exact", "greatest force of a velocity motor with target 0"),
        "contact_solref": Use(
            "converted", "contactERP = 1 − exp(−timestep / time constant); the damping ratio is ignored"
        ),
    },
    "dart": _SAME
    | {
        "friction": Use("exact", "of the robot's shapes; very large on the ground: DART takes the smaller"),
        "dof_frictionloss": Use("exact", "Coulomb friction of the joint"),
        "contact_solref": Use("ignored", "DART's own error reduction, which its Python API does not reach"),
    },
    "newton": _SAME
    | {
        "friction": Use("exact", "of the robot's shapes, which decide alone"),
        "dof_frictionloss": Use("exact", "MuJoCo's, of the joint"),
        "dof_armature": Use("exact", "of the joint"),
        "contact_solref": Use("exact", "MuJoCo's, of the robot's shapes, which decide alone"),
        "contact_solimp": Use("exact", "MuJoCo's, of the robot's shapes, which decide alone"),
        **dict.fromkeys(
            ("body_invweight0", "dof_invweight0"), Use("converted", "computed by Newton from the robot's inertias")
        ),
    },
}
"""By engine, what becomes of each field of `Params`."""

assert all(set(uses) == set(Params._fields) for uses in USES.values())


def error_reduction(solref: Any, timestep: float) -> float:
    """Share of a contact's depth that is corrected in a physics step.

    A critically damped contact of MuJoCo with time constant t loses its depth as exp(−time / t); other damping ratios
    are taken as critical, and a solref of stiffness and damping (negative) as of the same decay, damping / 2.
    """
    first, second = (float(number) for number in np.asarray(solref))
    rate = 1.0 / first if first > 0 else -second / 2
    return float(-np.expm1(-timestep * rate))


def table() -> str:
    """The uses of all engines as a Markdown table."""
    rows = ["| parameter | " + " | ".join(f"`{engine}`" for engine in USES) + " |", "|---" * (1 + len(USES)) + "|"]
    for name in Params._fields:
        cells = [f"{uses[name].kind}: {uses[name].how}" for uses in USES.values()]
        rows.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)
