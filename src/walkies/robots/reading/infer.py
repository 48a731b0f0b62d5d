"""From a robot's file to its folder: everything that a task needs to know about it, each fact with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from walkies.errors import UserError
from walkies.files import write_bytes, write_text
from walkies.later import mujoco
from walkies.robots import record
from walkies.robots.base import IDLE, Robot
from walkies.robots.folders import HERE, MODEL, NAME, name_of
from walkies.robots.reading import model_file, shapes
from walkies.robots.reading.anatomy import Anatomy, anatomy, limits, posed
from walkies.robots.reading.check import STRAINED
from walkies.robots.reading.servos import Servos, servos
from walkies.robots.reading.shapes import Sphere
from walkies.robots.reading.source import read
from walkies.robots.reading.stand import KEYFRAME, Stand, stand
from walkies.robots.reading.trials import meet, stands, topples
from walkies.robots.record import Body, Commands, Joint, Leg, Parts, Record
from walkies.robots.units import GRAVITY

WIDEST = 0.75
"""rad of target per unit of action at most."""
BEYOND = 1.25
"""Of the angle at which a servo gives all of its motor's torque: what a unit of action may ask for."""
SWING = 0.35
"""rad per unit of action at least where a joint is in a leg, which must swing, however soon a stiff servo of a weak
motor gives all it has."""
SHARES = {2: (0.45, 0.2, 0.3), 4: (0.6, 0.4, 0.26)}
"""Commands: shares of √(g h) forward and sideways, and of √(g/h) in turning; of two legs, which people use at 0.45
where nobody hurries them, and of more."""
SIDEWAYS = 0.7
"""Of an axis along x, that of a joint that moves its leg sideways."""
ABOVE = (0.025, 0.24)
"""Of the hips' height: how far above the ground episodes begin."""
PAYLOAD = 0.62
"""Of it: how far above the hips the judge puts a load."""
WORDS = {2: ("front", "back"), 3: ("front", "middle", "back")}
"""What rows of legs are called."""
SIDES = ("right", "left")


class Added(NamedTuple):
    """A robot that has a folder."""

    robot: Robot
    folder: Path
    kept: tuple[str, ...]
    """What a person had changed in its record, and what stays."""
    notes: tuple[str, ...]


class Anatomized(NamedTuple):
    """A robot's model with what was found in it."""

    model: mujoco.MjModel
    parts: Anatomy
    stance: Stand
    data: mujoco.MjData
    """In its pose."""


def add(path: Path, name: str | None = None, place: Path = HERE) -> Added:
    """Read the robot in a file, and write its folder.

    Raises:
        UserError: says what is wrong with the file or the name; nothing is written then.
    """
    name = name_of(path) if name is None else name
    if NAME.fullmatch(name) is None:
        raise UserError(f"--name {name!r}: expected only lowercase letters, digits, - and _, since it names a folder")
    source = read(path)
    model = source.spec.compile()
    parts = anatomy(model)
    stance = stand(model, parts)
    seen = Anatomized(model, parts, stance, posed(model, parts.joints, stance.angles))
    _refuse_massless(path, seen)
    motors = servos(model, parts, stance, dict(source.speeds))
    found, spheres, origins = _record(name, seen, motors)
    feet = [sphere for leg in found.legs.values() for sphere in leg.feet]
    apart, overlaps = _apart(seen)
    slow = _slower(seen, motors.speed)
    narrowed = (
        f"its motors are slow for a robot of its size: its commands are limited to {found.commands.forward:g} m/s, "
        f"{slow:.0%} of what is usual"
    )
    notes = (*source.notes, *overlaps, *([narrowed] if slow < 1.0 else []))
    about = f"{path.name}, {source.mass:.4g} kg"
    start = found.robot.reset_height[0]
    written = model_file.write(model, parts, name, about, spheres, feet, apart, stance.hips, start)
    try:
        mujoco.MjModel.from_xml_string(written.xml, {f"{mesh}.stl": data for mesh, data in written.meshes.items()})
    except ValueError as error:
        raise UserError(f"{path}: MuJoCo does not take the model that walkies made of it: {error}") from error
    robot = record.robot_of(found, Path())
    compiled = _compiled(written, robot)
    if not stands(compiled, robot):
        found = found._replace(robot=found.robot._replace(fade_in=0.0))
    found = found._replace(
        contact=found.contact._replace(itself=meet(compiled, robot)),
        robot=found.robot._replace(hold=_hold(compiled, robot)),
    )
    folder = place / name
    (folder / model_file.ASSETS).mkdir(parents=True, exist_ok=True) if written.meshes else folder.mkdir(
        parents=True, exist_ok=True
    )
    for mesh, content in written.meshes.items():
        write_bytes(folder / model_file.ASSETS / f"{mesh}.stl", content)
    write_text(folder / MODEL, written.xml)
    kept = record.write(folder, found, origins)
    return Added(record.read(folder), folder, kept, (*notes, *written.notes))


def _hold(model: mujoco.MjModel, robot: Robot) -> tuple[str, ...]:
    """What a humanoid holds still: arms, head and waist, but for joints whose servos do not hold what they carry."""
    if robot.kind != "humanoid":
        return ()
    weak = topples(model, robot)
    return tuple(robot.joint_names[joint] for joint in robot.idle_joints if joint not in weak) if weak else (IDLE,)


def _compiled(written: model_file.Written, robot: Robot) -> mujoco.MjModel:
    """A model that is not in a folder yet, with the numbers of its robot's record."""
    spec = mujoco.MjSpec.from_string(written.xml, assets={f"{mesh}.stl": data for mesh, data in written.meshes.items()})
    record.impose(spec, robot)
    return spec.compile()


def _refuse_massless(path: Path, seen: Anatomized) -> None:
    model = seen.model
    for body in range(1, model.nbody):
        links = np.flatnonzero(model.body_weldid == body)
        if model.body_rootid[body] == seen.parts.base and len(links) and not model.body_mass[links].sum() > 0:
            raise UserError(f"{path}: {model.body(body).name} moves and has no mass; state its mass and inertia")


def _record(name: str, seen: Anatomized, motors: Servos) -> tuple[Record, dict[str, Sphere], dict[str, str]]:
    model, parts, stance, data = seen
    named = model_file.names(model)
    legs = _leg_names(seen)
    soles = shapes.feet(model, data, parts, stance)
    upper, base, rest = shapes.others(model, data, parts, stance)
    spheres, feet = dict[str, Sphere](), list[list[str]]()
    for leg, own in zip(legs, soles, strict=True):
        feet.append([f"{leg}_foot" if len(own) == 1 else f"{leg}_foot_{i}" for i in range(len(own))])
        spheres |= dict(zip(feet[-1], own, strict=True))
    groups = {"knee": upper, "torso": base, "part": rest}
    lists = {word: [f"{word}_{i}" for i in range(len(own))] for word, own in groups.items()}
    for word, own in groups.items():
        spheres |= dict(zip(lists[word], own, strict=True))
    joints = _joints(seen, named.joint, motors)
    sideways = [named.joint[joint] for joint in _sideways(seen)]
    above = [_round(stance.height + share * stance.hips, 4) for share in ABOVE]
    body = Body(
        name=name,
        kind=parts.kind,
        base=named.body[parts.base],
        imu=model_file.IMU,
        mass=_round(float(model.body_mass[model.body_rootid == parts.base].sum()), 8),
        hip_height=_round(stance.hips, 5),
        standing_height=_round(stance.height, 5),
        reset_height=(above[0], above[1]),
        trunk_length=_round(trunk_length(model, parts.base), 3),
        payload_height=_round(_hips_above_base(seen) + PAYLOAD * stance.hips, 4),
    )  # fmt: skip
    found = Record(
        body,
        _commands(seen, bool(sideways), motors.speed),
        Parts(knees=lists["knee"], torso=lists["torso"], sideways=sideways),
        {leg: Leg([named.joint[j] for j in limb.joints], own, mirror)
         for leg, limb, own, mirror in zip(legs, parts.legs, feet, _leg_mirrors(seen, legs), strict=True)},
        joints,
    )  # fmt: skip
    return found, spheres, _origins(seen, motors)


def trunk_length(model: mujoco.MjModel, base: int) -> float:
    """m, forward, of the box that has the mass and inertia of what is welded into the base."""
    mass, squares = 0.0, np.zeros(3)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    parts = [body for body in range(model.nbody) if model.body_weldid[body] == base]
    centre = np.average(data.xipos[parts], axis=0, weights=model.body_mass[parts] + 1e-12)
    for body in parts:
        axes, inertia = data.ximat[body].reshape(3, 3), model.body_inertia[body]
        second = 0.5 * inertia.sum() - inertia  # of mass, about each principal axis's plane
        squares += axes**2 @ second + model.body_mass[body] * (data.xipos[body] - centre) ** 2
        mass += model.body_mass[body]
    return float(np.sqrt(12.0 * max(squares[0], 0.0) / mass))


def _round(value: float, digits: int) -> float:
    """To significant digits."""
    return float(f"{value:.{digits}g}")


def _hips_above_base(seen: Anatomized) -> float:
    return seen.stance.hips - seen.stance.height


def _joints(seen: Anatomized, names: Mapping[int, str], motors: Servos) -> dict[str, Joint]:
    model, parts, stance, _ = seen
    low, high = (np.clip(end, -np.pi, np.pi) if np.isinf(end).any() else end for end in limits(model, parts.joints))
    found = {}
    for place, joint in enumerate(parts.joints):
        pose = float(np.clip(stance.angles[place], low[place], high[place]))
        reach = max(high[place] - pose, pose - low[place])
        swings = any(joint in leg.joints for leg in parts.legs)
        scale = min(WIDEST, reach, max(SWING if swings else 0.0, BEYOND * motors.torque[place] / motors.kp[place]))
        partner = "" if parts.partner is None else names[parts.joints[parts.partner[place]]]
        found[names[joint]] = Joint(
            pose=round(pose, 4) + 0.0 if low[place] <= round(pose, 4) <= high[place] else pose,
            lower=_round(float(low[place]), 8), upper=_round(float(high[place]), 8),
            kp=_round(motors.kp[place], 4), kd=_round(motors.kd[place], 4) + 0.0,
            torque=_round(motors.torque[place], 6),
            scale=_round(max(scale, 0.01), 3), armature=_round(motors.armature[place], 4),
            damping=_round(motors.damping[place], 6), friction=_round(motors.friction[place], 6),
            speed=_round(motors.speed[place], 4) if np.isfinite(motors.speed[place]) else 0.0,
            mirror=partner, turns=1.0 if parts.sign is None else float(parts.sign[place]),
        )  # fmt: skip
    return found


def _leg_names(seen: Anatomized) -> list[str]:
    """By where their feet are: front_right and so on."""
    legs, feet = seen.parts.legs, _feet(seen)
    side = [SIDES[int(y > 0)] for y in feet[:, 1]]
    called = [""] * len(legs)
    for word in SIDES:
        own = sorted((i for i in range(len(legs)) if side[i] == word), key=lambda i: -feet[i, 0])
        rows = WORDS.get(len(own), tuple(f"row{i + 1}" for i in range(len(own))))
        for row, i in enumerate(own):
            called[i] = word if len(own) == 1 else f"{rows[row]}_{word}"
    return called


def _feet(seen: Anatomized) -> np.ndarray:
    """(legs, 3) m, in the frame of the level base."""
    return np.array([seen.data.geom_xpos[list(leg.feet)].mean(axis=0) for leg in seen.parts.legs])


def _leg_mirrors(seen: Anatomized, legs: list[str]) -> list[str]:
    if seen.parts.partner is None:
        return [""] * len(legs)
    own = [{seen.parts.joints.index(j) for j in leg.joints} for leg in seen.parts.legs]
    images = [{seen.parts.partner[place] for place in places} for places in own]
    return [legs[own.index(image)] if image in own else legs[i] for i, image in enumerate(images)]


def _sideways(seen: Anatomized) -> list[int]:
    """Of each leg the first joint that turns about the line forward, if there is one."""
    found = []
    for leg in seen.parts.legs:
        along = [joint for joint in leg.joints if abs(seen.data.xaxis[joint][0]) > SIDEWAYS]
        found += along[:1]
    return found


def _commands(seen: Anatomized, sideways: bool, motors: np.ndarray) -> Commands:
    """Like robots walk alike: speeds in √(g h), turning in √(g/h), and no faster at the feet than forward.

    motors: rad/s, of each joint.
    """
    hips = seen.stance.hips
    speed, rate = float(np.sqrt(GRAVITY * hips)), float(np.sqrt(GRAVITY / hips))
    forward, left, turn = SHARES[2 if len(seen.parts.legs) == 2 else 4]
    slower = _slower(seen, motors)
    forward, left, turn = slower * forward, slower * left, slower * turn
    feet = _feet(seen)[:, :2]
    radius = float(np.linalg.norm(feet - feet.mean(axis=0), axis=1).max())
    yaw = min(turn * rate, forward * speed / radius)
    return Commands(_round(forward * speed, 2), _round(left * speed, 2) if sideways else 0.0, _round(yaw, 2))


def _slower(seen: Anatomized, motors: np.ndarray) -> float:
    """Share of the usual speed that the motors of its legs (rad/s) allow.

    A leg swings about twice as fast as it is left behind, by that of its joints that moves the foot fastest.
    """
    if not np.isfinite(motors).all():
        return 1.0
    data, fastest = seen.data, []
    for leg, foot in zip(seen.parts.legs, _feet(seen), strict=True):
        arms = [np.cross(data.xaxis[joint], foot - data.xanchor[joint])[:2] for joint in leg.joints]
        speeds = motors[[seen.parts.joints.index(joint) for joint in leg.joints]]
        fastest.append(max(float(np.linalg.norm(arm)) * speed for arm, speed in zip(arms, speeds, strict=True)))
    usual = SHARES[2 if len(seen.parts.legs) == 2 else 4][0] * float(np.sqrt(GRAVITY * seen.stance.hips))
    return min(1.0, STRAINED * float(min(fastest)) / 2.0 / usual)


def _apart(seen: Anatomized) -> tuple[list[tuple[int, int]], list[str]]:
    """Links that never touch: those that could not in the file, and those that overlap in the pose, which is told."""
    model, parts, _, data = seen
    links = [body for body in range(parts.base, model.nbody)
             if model.body_rootid[body] == parts.base and model.body_weldid[body] == body]  # fmt: skip
    could = _touching(model)
    mujoco.mj_collision(model, data)
    overlap = set()
    for contact in data.contact[: data.ncon]:
        ids = [int(model.body_weldid[model.geom_bodyid[geom]]) for geom in contact.geom]
        if contact.dist < 0 and set(ids) <= set(links):
            overlap.add((min(ids), max(ids)))
    apart = [(a, b) for a in links for b in links if a < b and ((a, b) not in could or (a, b) in overlap)
             and model.body_weldid[model.body_parentid[b]] != a]  # fmt: skip
    has = {int(model.body_weldid[model.geom_bodyid[g]]) for g in range(model.ngeom)
           if model.geom_contype[g] or model.geom_conaffinity[g]}  # fmt: skip
    named = model_file.names(model).body
    told = [f"{named[a]} and {named[b]} overlap in the standing pose; contact between them is disabled"
            for a, b in sorted(overlap & could)]  # fmt: skip
    return [(a, b) for a, b in apart if {a, b} <= has], told


def _touching(model: mujoco.MjModel) -> set[tuple[int, int]]:
    """Pairs of links of which shapes may touch in the file."""
    excluded = {(int(pair) >> 16, int(pair) & 0xFFFF) for pair in model.exclude_signature}
    found = set()
    for one in range(model.ngeom):
        for other in range(one):
            bits = (model.geom_contype[one] & model.geom_conaffinity[other]
                    or model.geom_contype[other] & model.geom_conaffinity[one])  # fmt: skip
            bodies = sorted(int(model.geom_bodyid[geom]) for geom in (one, other))
            if bits and (bodies[0], bodies[1]) not in excluded and (bodies[1], bodies[0]) not in excluded:
                a, b = sorted(int(model.body_weldid[body]) for body in bodies)
                if a != b:
                    found.add((a, b))
    return found


def _origins(seen: Anatomized, motors: Servos) -> dict[str, str]:
    pose = (
        "a keyframe of the file"
        if seen.stance.origin == KEYFRAME
        else "computed: feet below the hips, legs three quarters stretched, centre of mass over the feet"
    )
    limited = seen.model.jnt_limited[list(seen.parts.joints)].astype(bool)
    found = {
        "robot.kind": "by its legs and other limbs",
        "robot.mass": "kg, the sum of the file's",
        "robot.hip_height": "m, of the hips above the feet in the pose: the unit of length of its task",
        "robot.standing_height": "m, of the base there",
        "robot.reset_height": "m, of the base as episodes begin",
        "robot.fade_in": "s over which actions grow as a policy starts; 0: on its servos alone it falls",
        "robot.trunk_length": "m, of a box of the base's mass and inertia: how far its centre of mass may shift",
        "robot.payload_height": "m above the base, where the judge puts a load",
        "robot.hold": "joints that training keeps in the pose; not those whose servos do not hold what they carry",
        "commands.forward": "m/s, a share of √(g · hip_height), or what the motors' speeds allow",
        "commands.sideways": "m/s, likewise; 0: it has no joints for it",
        "commands.yaw": "rad/s, likewise, and such that the feet are no faster than forward",
        "contact.knees": "spheres that should not touch the ground",
        "contact.torso": "spheres that touch the ground in a fall",
        "contact.sideways": "joints that move a leg sideways, by their axes",
        "contact.itself": "whether parts of it touch one another in random poses: it trains with such contacts then",
        "legs.joints": "from the trunk outwards; feet: spheres on the ground; mirror: by geometry",
        "joints.pose": pose,
        "joints.lower, upper": "of the file"
        if limited.all()
        else f"of the file; half a turn for {(~limited).sum()} joints without limits",
        "joints.scale": f"rad of target per unit of action: the least of {WIDEST:g}, the reach and {BEYOND:g} "
        f"torque/kp, which in a leg is {SWING:g} at least",
        "joints.mirror, turns": "by geometry",
    }
    return found | {f"joints.{name}": origin for name, origin in motors.origins.items()}
