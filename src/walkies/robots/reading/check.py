"""What would make a robot's training fail, found before it: a sentence and a fix each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from walkies.later import mujoco
from walkies.robots.reading.anatomy import Anatomy, limits, lowest, posed
from walkies.robots.reading.stand import KEYFRAME, Stand
from walkies.robots.units import GRAVITY

STRAINED = 0.7
"""Share of a motor's torque beyond which standing leaves too little for walking."""
LOWER = 0.02
"""Share of the hips' height: the robot stands on a part that is lower than the feet by more."""
EVEN = 1e-4
"""Weight of carrying evenly beside that of carrying."""
HEAVY, SMALL = 500.0, 0.05
"""kg and m: robots beyond are in other units than these, more likely than not."""

SOFT = 0.4
"""kp of the hips that swing the legs, in the robot's weight times the height of its hips. Of episodes with the zoo's
full-size humanoid 0.98 survived with 0.59, and 0.75 with 0.24 after more than twice the training (docs/robots.md)."""
FAR = 0.75
"""rad by which a servo that gives all of its motor's torque is stiff enough, whatever it carries."""
ACROSS = 0.7
"""Of an axis along y, that of a joint that swings its leg."""


class Problem(NamedTuple):
    """Something that you should look at."""

    what: str
    mend: str


def check(model: mujoco.MjModel, parts: Anatomy, stance: Stand) -> list[Problem]:
    """All problems found, the most serious first."""
    data = posed(model, parts.joints, stance.angles)
    return [
        *_units(model, stance),
        *_bodies(model, parts),
        *_joints(model, parts, stance),
        *_feet(model, data, parts, stance),
        *_contacts(model, parts, stance),
        *_torques(model, parts, stance),
        *_soft(model, data, parts, stance),
        *_image(parts),
    ]


def _units(model: mujoco.MjModel, stance: Stand) -> list[Problem]:
    mass = float(model.body_mass.sum())
    found = []
    if mass > HEAVY:
        found.append(Problem(f"the robot weighs {mass:,.0f} kg", "state masses in kg"))
    if stance.hips > 3.0:
        found.append(Problem(f"its hips are {stance.hips:,.1f} m above its feet", "state lengths in m, not mm"))
    if stance.hips < SMALL:
        found.append(Problem(f"its hips are {1e3 * stance.hips:.0f} mm above its feet", "state lengths in m"))
    return found


def _bodies(model: mujoco.MjModel, parts: Anatomy) -> list[Problem]:
    found = []
    for body in range(1, model.nbody):
        if model.body_rootid[body] != parts.base:
            continue
        name, mass, inertia = model.body(body).name, model.body_mass[body], np.sort(model.body_inertia[body])
        if mass == 0.0 and model.body_jntnum[body]:
            found.append(Problem(f"{name} moves and has no mass", "state its mass and inertia"))
        elif inertia[2] > (inertia[0] + inertia[1]) * (1 + 1e-6):
            found.append(Problem(f"{name} has an impossible inertia", "the largest is at most the others' sum"))
    return found


def _joints(model: mujoco.MjModel, parts: Anatomy, stance: Stand) -> list[Problem]:
    low, high = limits(model, parts.joints)
    driven = {int(model.actuator_trnid[i, 0]) for i in range(model.nu)}
    found = []
    for place, joint in enumerate(parts.joints):
        name, angle = model.joint(joint).name, stance.angles[place]
        if model.jnt_limited[joint] and low[place] >= high[place]:
            found.append(Problem(f"{name} has limits {low[place]:g} … {high[place]:g}", "state the lower one first"))
        elif not low[place] - 1e-6 <= angle <= high[place] + 1e-6:
            found.append(Problem(f"{name} stands at {angle:.2f}, outside its limits", "move the pose or the limits"))
        elif stance.origin != KEYFRAME and min(angle - low[place], high[place] - angle) < 1e-3:
            found.append(Problem(f"{name} stands at its limit, {angle:.2f}", "state a pose in a keyframe"))
        elif max(-low[place], high[place]) > 7.0 and model.jnt_limited[joint]:
            found.append(Problem(f"{name} may turn to {max(-low[place], high[place]):g} rad", "state limits in rad"))
        if model.nu and joint not in driven:
            found.append(Problem(f"{name} has no motor, other joints have", "give it one, or weld it"))
    if free := int(np.isinf(high).sum()):
        found.append(Problem(f"{free} joints have no limits", "state their ranges"))
    return found


def _feet(model: mujoco.MjModel, data: mujoco.MjData, parts: Anatomy, stance: Stand) -> list[Problem]:
    ground = -stance.height
    feet = {geom for leg in parts.legs for geom in leg.feet}
    found = []
    for geom in range(model.ngeom):
        collides = model.geom_contype[geom] or model.geom_conaffinity[geom]
        body = int(model.geom_bodyid[geom])
        if geom in feet or not collides or model.body_rootid[body] != parts.base:
            continue
        below = ground - lowest(model, data, geom)
        if below > LOWER * stance.hips:
            found.append(Problem(f"{model.body(body).name} is {1e3 * below:.0f} mm lower than the feet where it stands",
                                 "move the pose"))  # fmt: skip
    return found


def _contacts(model: mujoco.MjModel, parts: Anatomy, stance: Stand) -> list[Problem]:
    data = posed(model, parts.joints, stance.angles)
    mujoco.mj_collision(model, data)
    pairs = set()
    for contact in data.contact[: data.ncon]:
        bodies = sorted(model.body(int(model.geom_bodyid[geom])).name for geom in contact.geom)
        if contact.dist < 0 and all(model.body_rootid[model.geom_bodyid[geom]] == parts.base for geom in contact.geom):
            pairs.add(tuple(bodies))
    return [
        Problem(f"{one} and {other} overlap where the robot stands", "exclude the pair, or shrink their shapes")
        for one, other in sorted(pairs)
    ]


def torques(model: mujoco.MjModel, parts: Anatomy, stance: Stand) -> np.ndarray:
    """N m that each joint needs to stand, the ground carrying the robot straight upward wherever a foot touches it."""
    from scipy.optimize import nnls

    data = posed(model, parts.joints, stance.angles)
    mujoco.mj_forward(model, data)
    gravity = np.zeros(model.nv)
    mujoco.mj_rne(model, data, 0, gravity)
    lift = []
    for leg in parts.legs:
        for geom in leg.feet:
            jacobian = np.zeros((3, model.nv))
            mujoco.mj_jac(model, data, jacobian, None, data.geom_xpos[geom], int(model.geom_bodyid[geom]))
            lift.append(jacobian[2])
    base = model.jnt_dofadr[model.body_jntadr[parts.base]] + np.arange(6)
    carries = np.array(lift)[:, base].T
    even = EVEN * float(np.abs(carries).max()) * np.eye(len(lift))  # of all ways to carry it that of least squares
    force, _ = nnls(np.vstack([carries, even]), np.concatenate([gravity[base], np.zeros(len(lift))]))
    return (gravity - force @ np.array(lift))[model.jnt_dofadr[list(parts.joints)]]


def torques_alone(model: mujoco.MjModel, parts: Anatomy, stance: Stand) -> np.ndarray:
    """N m that each joint of a leg needs where that leg alone carries all the rest, leaning until that is above its
    foot; 0 for other joints."""
    data = posed(model, parts.joints, stance.angles)
    whole, gravity = model.body_subtreemass[parts.base], float(np.linalg.norm(model.opt.gravity))
    needed = np.zeros(len(parts.joints))
    for leg in parts.legs:
        upward = data.subtree_com[parts.base] - np.mean([data.geom_xpos[geom] for geom in leg.feet], axis=0)
        upward /= np.linalg.norm(upward)
        for joint in leg.joints:
            below = model.jnt_bodyid[joint]
            rest = whole - model.body_subtreemass[below]
            moment = whole * data.subtree_com[parts.base] - model.body_subtreemass[below] * data.subtree_com[below]
            lever = moment - rest * data.xanchor[joint]  # kg m
            needed[parts.joints.index(joint)] = gravity * abs(np.cross(lever, upward) @ data.xaxis[joint])
    return needed


def torque_limits(model: mujoco.MjModel, parts: Anatomy) -> np.ndarray:
    """N m of each joint's motor, the smallest of what the model states; ∞ where it states none."""
    most = np.full(len(parts.joints), np.inf)
    for place, joint in enumerate(parts.joints):
        if model.jnt_actfrclimited[joint]:
            most[place] = np.abs(model.jnt_actfrcrange[joint]).max()
        for i in range(model.nu):
            if model.actuator_trnid[i, 0] != joint or model.actuator_trntype[i] != mujoco.mjtTrn.mjTRN_JOINT:
                continue
            gear, gain = abs(model.actuator_gear[i, 0]), abs(model.actuator_gainprm[i, 0])
            if model.actuator_forcelimited[i]:
                most[place] = min(most[place], gear * np.abs(model.actuator_forcerange[i]).max())
            if model.actuator_ctrllimited[i] and model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE:
                most[place] = min(most[place], gear * gain * np.abs(model.actuator_ctrlrange[i]).max())
    return most


def stated_gains(model: mujoco.MjModel, parts: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """kp and kd of the file's position servos; NaN where a joint has none."""
    kp, kd = np.full(len(parts.joints), np.nan), np.full(len(parts.joints), np.nan)
    for actuator in range(model.nu):
        joint = int(model.actuator_trnid[actuator, 0])
        if model.actuator_trntype[actuator] != mujoco.mjtTrn.mjTRN_JOINT or joint not in parts.joints:
            continue
        gear = float(model.actuator_gear[actuator, 0])
        gain, bias = model.actuator_gainprm[actuator, 0], model.actuator_biasprm[actuator]
        if gain > 0 and np.isclose(bias[1], -gain):
            place = parts.joints.index(joint)
            kp[place], kd[place] = gain * gear**2, -bias[2] * gear**2
    return kp, kd


def _soft(model: mujoco.MjModel, data: mujoco.MjData, parts: Anatomy, stance: Stand) -> list[Problem]:
    """Servos too soft to swing the legs of a robot on two, and of motors that could do more."""
    if len(parts.legs) != 2:
        return []
    kp, _ = stated_gains(model, parts)
    weight = float(model.body_subtreemass[parts.base]) * GRAVITY
    most = torque_limits(model, parts)
    least = np.where(np.isinf(most), 0.0, np.minimum(SOFT * weight * stance.hips, most / FAR))
    hips = [next((joint for joint in leg.joints if abs(data.xaxis[joint][1]) > ACROSS), None) for leg in parts.legs]
    return [
        Problem(
            f"the servo of {model.joint(joint).name} has a kp of {kp[place]:.3g} N m/rad, soft for a robot on two legs",
            f"{least[place]:.2g} at least, for this weight, these legs and this motor",
        )
        for joint in hips
        if joint is not None and kp[place := parts.joints.index(joint)] < least[place]
    ]


def _torques(model: mujoco.MjModel, parts: Anatomy, stance: Stand) -> list[Problem]:
    needed, most = np.abs(torques(model, parts, stance)), torque_limits(model, parts)
    found = []
    for place, joint in enumerate(parts.joints):
        name = model.joint(joint).name
        if needed[place] > STRAINED * most[place]:
            what = f"{name} needs {needed[place]:.2g} N m to stand, {needed[place] / most[place]:.0%} of its motor's"
            found.append(Problem(what, "a stronger motor, a lighter robot, or a straighter leg"))
    if unstated := int(np.isinf(most).sum()):
        found.append(Problem(f"{unstated} joints state no torque limit", "effort in a URDF, forcerange in an MJCF"))
    return found


def _image(parts: Anatomy) -> list[Problem]:
    if parts.partner is not None:
        return []
    return [Problem("left and right are not mirror images", "none needed; training cannot use the symmetry")]
