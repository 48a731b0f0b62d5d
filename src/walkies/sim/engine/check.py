"""Check whether the native engine supports a robot. If not, one error names the element and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from walkies.errors import UserError
from walkies.later import mujoco
from walkies.robots import shape_name
from walkies.sim.params import full_contact, on_ground, on_itself, static_geoms

MAX_JOINTS, MAX_COLLIDERS, MAX_SURFACES, MAX_PAIRS = 40, 64, 16, 1024
"""Limits of the engine (`native/engine/layout.h`)."""
ACTUATOR_GROUPS = 31
"""Groups that can be disabled (MuJoCo documentation, option/actuatorgroupdisable): 0 to 30."""

SELF_CONTACTS = ("none", "all")
"""Settings for contacts between the robot's own parts, besides a list of pairs."""

SHAPES = {"sphere": 0, "capsule": 1, "box": 2, "cylinder": 3}
"""Shapes of colliders that it supports, as the engine numbers them."""


STATIC_SHAPES = ("plane", "box", "hfield")
"""Shapes of the world's colliding geoms that it supports."""


def check(model: mujoco.MjModel) -> None:
    """Check that the engine supports the robot.

    Raises:
        ValueError: it does not; the message names the element.
    """
    _check_tree(model)
    _check_options(model)
    for joint in range(model.njnt - 1):
        _check_hinge(model, joint)
    _check_colliders(model)


def unfit(element: str, given: str, expected: str) -> NoReturn:
    """Report an element that the engine does not support.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"the native engine cannot take {element}: {given}; expected {expected}. Use the simulator 'mujoco'"
    )


def geom_name(model: mujoco.MjModel, geom: int) -> str:
    """How a geom is named to the user."""
    return f"geom {model.geom(geom).name!r}"


def _body(model: mujoco.MjModel, body: int) -> str:
    return f"body {model.body(body).name!r}"


def _check_tree(model: mujoco.MjModel) -> None:
    """A base with one free joint, and a tree of hinges that hangs from it."""
    for kind, count in (
        ("equality constraints", model.neq),
        ("tendons", model.ntendon),
        ("flexes", model.nflex),
        ("mocap bodies", model.nmocap),
        ("activation states", model.na),
        ("plugins", model.nplugin),
        ("plastic joints", model.nplastic),
        ("explicit contact pairs", model.npair),
    ):
        if count:
            unfit(kind, f"the model has {count}", "none")
    if model.nbody < 2 or model.njnt < 1 or model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE or model.jnt_bodyid[0] != 1:
        unfit("the base", "the first body has no free joint", "one base body with a free joint")
    for body in range(2, model.nbody):
        if model.body_rootid[body] != 1:
            unfit(_body(model, body), "it is no part of the robot", f"one tree, that of {_body(model, 1)}")
        if model.body_mass[body] <= 0:
            unfit(_body(model, body), "its mass is 0", "mass in every body")
    joints = model.njnt - 1
    if not 1 <= joints <= MAX_JOINTS:
        unfit("the number of joints", f"{joints} besides the free one", f"1 to {MAX_JOINTS}")
    for body in range(1, model.nbody):
        if model.body_gravcomp[body]:
            unfit(_body(model, body), f"gravcomp {model.body_gravcomp[body]:g}", "0")
    lossy = (model.dof_damping, model.dof_dampingpoly, model.dof_armature, model.dof_frictionloss)
    if any(np.any(values[:6]) for values in lossy):
        unfit("the free joint", "damping, armature or frictionloss", "none of them")
    if model.jnt_stiffness[0] or np.any(model.jnt_stiffnesspoly[0]):
        unfit("the free joint", "stiffness", "0")


def _check_options(model: mujoco.MjModel) -> None:
    option = model.opt
    disable = mujoco.mjtDisableBit
    integrators = mujoco.mjtIntegrator
    if option.integrator != integrators.mjINT_EULER and option.integrator != integrators.mjINT_IMPLICITFAST:
        unfit("the integrator", str(mujoco.mjtIntegrator(option.integrator).name), "Euler or implicitfast")
    if option.cone != mujoco.mjtCone.mjCONE_PYRAMIDAL:
        unfit("the friction cone", "elliptic", "pyramidal")
    if option.solver != mujoco.mjtSolver.mjSOL_NEWTON:
        unfit("the solver", str(mujoco.mjtSolver(option.solver).name), "Newton")
    if option.noslip_iterations:
        unfit("the noslip solver", f"{option.noslip_iterations} iterations", "0")
    if option.density or option.viscosity:
        unfit("a fluid", "density or viscosity is not 0", "vacuum")
    on = "CONSTRAINT", "FRICTIONLOSS", "LIMIT", "CONTACT", "GRAVITY", "ACTUATION", "REFSAFE", "DAMPER", "CLAMPCTRL"
    for name in on:
        if option.disableflags & getattr(disable, f"mjDSBL_{name}"):
            unfit("a disable flag", f"{name.lower()} is off", "it on")
    for name in ("OVERRIDE", "DIAGEXACT", "SLEEP", "SPECULATIVE"):
        if option.enableflags & getattr(mujoco.mjtEnableBit, f"mjENBL_{name}"):
            unfit("an enable flag", f"{name.lower()} is on", "it off")


def _check_hinge(model: mujoco.MjModel, joint: int) -> None:
    """Hinge number `joint` and its servo."""
    j, dof = 1 + joint, 6 + joint
    name = f"joint {model.joint(j).name!r}"
    if model.jnt_type[j] != mujoco.mjtJoint.mjJNT_HINGE:
        unfit(name, "it is no hinge", "a hinge")
    low, high = model.jnt_range[j]
    if model.jnt_limited[j] and high - low <= 2 * model.jnt_margin[j]:
        unfit(name, f"range {low:g} {high:g} and margin {model.jnt_margin[j]:g}", "a range wider than both margins")
    _check_solref(name, "solreflimit", model.jnt_solref[j])
    _check_solref(name, "solreffriction", model.dof_solref[dof])
    if model.jnt_actgravcomp[j]:
        unfit(name, "actuatorgravcomp", "none")
    for field in ("jnt_stiffnesspoly", "dof_dampingpoly"):
        values = getattr(model, field, None)
        if values is not None and np.any(values[j if field.startswith("jnt") else dof]):
            unfit(name, f"{field.removeprefix('jnt_').removeprefix('dof_')} {values[j]}", "0")

    if model.nu != model.njnt - 1:
        unfit("the actuators", f"{model.nu} for {model.njnt - 1} hinges", "one motor per hinge")
    servo = f"actuator {model.actuator(joint).name!r}"
    if model.actuator_trntype[joint] != mujoco.mjtTrn.mjTRN_JOINT or model.actuator_trnid[joint, 0] != j:
        unfit(servo, f"it does not drive {name}", "actuators in the order of the joints")
    if model.actuator_gear[joint, 0] == 0 or np.any(model.actuator_gear[joint, 1:]):
        unfit(servo, f"gear {model.actuator_gear[joint]}", "one number")
    bias = model.actuator_biastype[joint]
    linear = (
        model.actuator_gaintype[joint] == mujoco.mjtGain.mjGAIN_FIXED
        and (bias == mujoco.mjtBias.mjBIAS_AFFINE or bias == mujoco.mjtBias.mjBIAS_NONE)
        and model.actuator_dyntype[joint] == mujoco.mjtDyn.mjDYN_NONE
    )
    if not linear or model.actuator_biasprm[joint, 0] != 0:
        unfit(servo, "it is neither a motor nor a position servo", "<motor/> or <position kp=… kv=…/>")
    if bias == mujoco.mjtBias.mjBIAS_NONE and np.any(model.actuator_biasprm[joint]):
        unfit(servo, "biasprm without biastype, which MuJoCo ignores", 'biastype="affine", or no biasprm')
    group = model.actuator_group[joint]
    if 0 <= group < ACTUATOR_GROUPS and model.opt.disableactuator & (1 << int(group)):
        unfit(servo, f"its group {group} is disabled", "no actuatorgroupdisable")
    for field in ("actuator_damping", "actuator_dampingpoly", "actuator_armature", "actuator_delay"):
        values = getattr(model, field, None)
        if values is not None and np.any(values[joint]):
            unfit(servo, field.removeprefix("actuator_"), "0")


def _check_solref(element: str, which: str, solref: np.ndarray) -> None:
    """Of two numbers with different signs MuJoCo makes its default, with a warning in every step."""
    if (solref[0] > 0) != (solref[1] > 0):
        unfit(element, f"{which} {solref[0]:g} {solref[1]:g}", "two numbers above 0, or none")


def _check_colliders(model: mujoco.MjModel) -> None:
    """In the world one horizontal plane at height 0, or none, with boxes and height fields; on the robot shapes whose
    contacts with them are MuJoCo's."""
    static = static_geoms(model)
    planes = [geom for geom in static if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_PLANE]
    touching: set[int] = set()
    for geom in static:
        name, kind = geom_name(model, geom), shape_name(model, geom)
        if kind not in STATIC_SHAPES:
            unfit(name, f"a colliding {kind} in the world", "the ground, boxes and height fields alone")
        upright = np.zeros(9)
        mujoco.mju_quat2Mat(upright, model.geom_quat[geom])
        if geom in planes and (geom != planes[0] or model.geom_pos[geom, 2] != 0 or abs(upright[8] - 1) > 1e-12):
            unfit(name, "a second, raised or tilted plane", "one horizontal plane at z = 0")
        touching.update(on_ground(model, geom))
        for other in on_ground(model, geom):
            _check_pair(model, geom, other)
    if not static:
        unfit("the ground", "no colliding plane", "one horizontal plane at z = 0, static boxes or a height field")
    for number, geom in enumerate(sorted(touching)):
        if number >= MAX_COLLIDERS:
            unfit(geom_name(model, geom), f"collider number {number + 1}", f"at most {MAX_COLLIDERS}")
    if not touching:
        unfit("the robot", "no shape that collides with the ground", "at least its feet")


def _check_pair(model: mujoco.MjModel, ground: int, geom: int) -> None:
    """A static geom, and one of the robot that can touch it."""
    name, shape = geom_name(model, geom), model.geom_type[geom]
    gap = bool(model.geom_gap[geom] or model.geom_gap[ground])
    if shape_name(model, geom) not in SHAPES:
        shapes = "spheres, capsules, boxes and cylinders on the robot (others need contype=0 conaffinity=0)"
        unfit(name, f"a colliding {shape_name(model, geom)}", shapes)
    for one in (geom, ground):
        if model.geom_adhesion[one] or np.any(model.geom_surfacevel[one]):
            unfit(geom_name(model, one), "adhesion or surfacevel", "neither")
    contact = full_contact(model, ground, geom)
    _check_solref(name, "solref", contact.solref)
    if contact.condim > 1 and contact.friction[0] <= mujoco.mjMINMU:
        unfit(name, "no friction with the ground", "friction, or condim 1")
    if model.geom_type[ground] == mujoco.mjtGeom.mjGEOM_PLANE:
        if shape == mujoco.mjtGeom.mjGEOM_BOX and gap:
            # MuJoCo takes four corners of those within margin and gap, the engine of those within the margin.
            unfit(name, "a box with a gap", "gap 0")
        return
    static = f"the {shape_name(model, ground)} {model.geom(ground).name!r}"
    allowed = ("sphere", "capsule") if model.geom_type[ground] == mujoco.mjtGeom.mjGEOM_BOX else ("sphere",)
    if shape_name(model, geom) not in allowed:
        unfit(name, f"a {shape_name(model, geom)} that can touch {static}", f"a {' or a '.join(allowed)}")
    if model.geom_type[ground] == mujoco.mjtGeom.mjGEOM_HFIELD and gap:
        unfit(name, f"a gap between it and {static}", "gap 0")


def check_pairs(model: mujoco.MjModel, self_contacts: str | Sequence[tuple[str, str]]) -> list[tuple[int, int]]:
    """Ids of the geoms whose contacts with one another the engine is to compute.

    Args:
        self_contacts: `none`, `all` that MuJoCo would compute, or pairs of geom names.

    Raises:
        ValueError: such a contact is not supported, or MuJoCo would not compute it; the message names the geoms.
    """
    if isinstance(self_contacts, str):
        if self_contacts not in SELF_CONTACTS:
            raise ValueError(
                f"unknown self_contacts {self_contacts!r}; choose one of: {', '.join(SELF_CONTACTS)}; or list pairs of "
                "geom names"
            )
        pairs = [] if self_contacts == "none" else on_itself(model)
    else:
        possible = {frozenset(pair): pair for pair in on_itself(model)} if self_contacts else {}
        pairs = []
        for names in self_contacts:
            ids = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in names]
            if len(ids) != 2 or -1 in ids:
                raise ValueError(f"self_contacts {names!r}: expected the names of two geoms of the model")
            pair = possible.get(frozenset(ids))
            if pair is None:
                raise ValueError(
                    f"self_contacts {names!r}: MuJoCo computes no contact between them (their contype and conaffinity "
                    "do not meet, they are excluded, or their bodies are parent and child or welded together)"
                )
            if pair not in pairs:
                pairs.append(pair)
    for pair in pairs:
        geoms = np.array(pair)
        of_two = "the contact of geoms {!r} and {!r}".format(*(model.geom(geom).name for geom in geoms))
        kinds = model.geom_type[geoms]
        if not np.isin(kinds, (mujoco.mjtGeom.mjGEOM_SPHERE, mujoco.mjtGeom.mjGEOM_CAPSULE)).all():
            given = f"{shape_name(model, geoms[0])} and {shape_name(model, geoms[1])}"
            unfit(of_two, given, "spheres and capsules; list the pairs that count in self_contacts")
    if len(pairs) > MAX_PAIRS:
        unfit(
            "contacts of the robot's parts with one another", f"{len(pairs)} pairs", f"at most {MAX_PAIRS}; list them"
        )
    return pairs
