"""A robot's record as a text file, `robot.toml`: what walkies read from its model, and the user's changes.

Its numbers of joints replace those of the model beside it. What walkies had read is kept next to it, so that reading
the model again preserves the user's changes.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from walkies import records
from walkies.errors import UserError
from walkies.files import parse_json, read_text, write_text
from walkies.robots.base import Joints, Robot
from walkies.robots.folders import MODEL, RECORD

if TYPE_CHECKING:  # who only asks for a robot does not load MuJoCo
    import mujoco

READ = "robot.read.json"
"""File with the values that walkies read from the model."""
EXPECTED = "what `walkies robot add` wrote, with only numbers changed; add the robot's file again, or fix it by hand"
LONG = 1.5
"""Assumed length of an unknown trunk, in hip heights."""
DAMPED = 0.99
"""Share of a motor's torque from which on damping alone is said to hold a joint at its speed, which was rounded."""
UNLIMITED = 1e6
"""Value written for caps that are not stated."""


class Joint(NamedTuple):
    """A joint in the record. rad, N m, SI."""

    pose: float
    lower: float
    upper: float
    kp: float
    kd: float
    torque: float
    scale: float
    """rad of target per unit of action"""
    armature: float
    damping: float
    friction: float
    mirror: str = ""
    """The joint that is its mirror image; itself where it lies in the middle."""
    turns: float = 1.0
    """1.0: as that one does, as angles count; -1.0: the other way."""
    speed: float = 0.0
    """rad/s without load; 0: not known."""


class Leg(NamedTuple):
    """A leg in the record."""

    joints: list[str]
    feet: list[str]
    """Its spheres on the ground."""
    mirror: str = ""


class Body(NamedTuple):
    """The robot as a whole. m, kg."""

    name: str
    kind: str
    base: str
    imu: str
    mass: float
    hip_height: float
    standing_height: float
    reset_height: tuple[float, float]
    payload_height: float
    fade_in: float = 1.0
    """s; 0: it falls where only its servos hold it"""
    trunk_length: float = 0.0
    """0: not known"""
    hold: tuple[str, ...] = ()
    """Joints at rest in training, as `--task.hold` takes them."""


class Commands(NamedTuple):
    """What it is told at most: m/s, m/s, rad/s."""

    forward: float
    sideways: float
    yaw: float


class Parts(NamedTuple):
    """Spheres that touch the ground besides the feet, joints of meaning, and what else touches."""

    knees: list[str]
    torso: list[str]
    sideways: list[str]
    """Joints that move a leg sideways."""
    itself: bool = False
    """Whether its parts can touch one another."""


class Record(NamedTuple):
    """All of it."""

    robot: Body
    commands: Commands
    contact: Parts
    legs: dict[str, Leg]
    joints: dict[str, Joint]


def read(folder: Path) -> Robot:
    """The robot in a folder.

    Raises:
        UserError: its record is damaged; names the line or field, and what belongs there.
    """
    return robot_of(parse(folder / RECORD), folder)


def parse(path: Path) -> Record:
    """The record in a file.

    Raises:
        UserError: as `read`.
    """
    return in_text(read_text(path, EXPECTED), path)


def in_text(text: str, path: Path) -> Record:
    """The record in the text of a file.

    Raises:
        UserError: as `read`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: is not TOML ({error}); expected {EXPECTED}") from error
    found = records.build(content, Record, str(path), EXPECTED)
    _refuse(found, path)
    return found


def _refuse(found: Record, path: Path) -> None:
    """Raise where a name in the record is one of nothing, or numbers contradict each other."""
    joints, legs = set(found.joints), set(found.legs)
    named = {f"legs.{name}.joints": set(leg.joints) - joints for name, leg in found.legs.items()}
    named |= {f"joints.{name}.mirror": {one.mirror} - joints - {""} for name, one in found.joints.items()}
    named |= {f"legs.{name}.mirror": {leg.mirror} - legs - {""} for name, leg in found.legs.items()}
    named["contact.sideways"] = set(found.contact.sideways) - joints
    for where, unknown in named.items():
        if unknown:
            raise UserError(f"{path}: {where}: there is no {', '.join(sorted(unknown))}; expected names of this file")
    for name, one in found.joints.items():
        if not one.lower <= one.pose <= one.upper:
            raise UserError(
                f"{path}: joints.{name}: pose {one.pose:g} lies outside its limits {one.lower:g} … {one.upper:g}; "
                "expected lower ≤ pose ≤ upper"
            )
        rest = one.kd, one.armature, one.damping, one.friction, one.speed
        if min(one.kp, one.torque, one.scale) <= 0 or min(rest) < 0:
            raise UserError(f"{path}: joints.{name}: expected kp, torque and scale above 0, and nothing below it")
    if len({len(leg.feet) for leg in found.legs.values()}) != 1 or len(found.legs) < 2:
        raise UserError(f"{path}: legs: expected two at least, each with as many spheres in feet")


def robot_of(found: Record, folder: Path) -> Robot:
    """The robot that a record describes."""
    joints, legs, order = found.joints, found.legs, list(found.joints)
    body = found.robot
    column = {name: tuple(getattr(one, name) for one in joints.values()) for name in Joint._fields}
    mirrored = all(column["mirror"]) and all(leg.mirror for leg in legs.values())
    return Robot(
        name=body.name,
        mjcf=folder / MODEL,
        base_body=body.base,
        leg_names=tuple(legs),
        joint_names=tuple(order),
        joint_labels=tuple(f"joint {i + 1}" for i in range(max(len(leg.joints) for leg in legs.values()))),
        default_pose=column["pose"],
        lower_limits=column["lower"],
        upper_limits=column["upper"],
        limit_inset=0.0,
        kp=column["kp"],
        kd=column["kd"],
        torque_limit=column["torque"],
        torque_speed=tuple(torque_speed(one) for one in joints.values()),
        kp_cap=UNLIMITED,
        kd_cap=UNLIMITED,
        init_kp=column["kp"],
        init_kd=column["kd"],
        foot_geoms=tuple(name for leg in legs.values() for name in leg.feet),
        knee_geoms=tuple(found.contact.knees),
        torso_geoms=tuple(found.contact.torso),
        foot_sites=tuple(name for leg in legs.values() for name in leg.feet),
        imu_site=body.imu,
        reset_height=body.reset_height,
        standing_height=body.standing_height,
        hip_height=body.hip_height,
        mass=body.mass,
        mirror_joints=tuple(order.index(name) for name in column["mirror"]) if mirrored else None,
        mirror_signs=column["turns"] if mirrored else None,
        mirror_legs=tuple(list(legs).index(leg.mirror) for leg in legs.values()) if mirrored else None,
        abduction_joints=tuple(order.index(name) for name in found.contact.sideways),
        swing=tuple(
            min(0.3, 0.5 * scale, 0.5 * torque / kp)  # a motor at its limit would show nothing of its servo
            for scale, torque, kp in zip(column["scale"], column["torque"], column["kp"], strict=True)
        ),
        gamepad=(found.commands.forward, found.commands.sideways, found.commands.yaw),
        action_scale=column["scale"],
        leg_joints=tuple(tuple(order.index(name) for name in leg.joints) for leg in legs.values()),
        fade_in=body.fade_in,
        trunk_length=body.trunk_length or LONG * body.hip_height,
        kind=body.kind,
        payload_height=body.payload_height,
        self_contacts=found.contact.itself,
        hold=body.hold,
        joints=Joints(column["armature"], column["damping"], column["friction"]),
    )


def torque_speed(joint: Joint) -> float:
    """rad/s at which the motor's torque falls to zero, such that the joint runs just as fast as recorded.

    At its speed without load, all that the motor still gives goes into damping: torque (1 − speed / torque_speed) =
    damping · speed. ∞ where the speed is not known, or damping alone holds the joint at it.
    """
    lost = joint.damping * joint.speed / joint.torque
    return joint.speed / (1.0 - lost) if joint.speed > 0.0 and lost < DAMPED else math.inf


def impose(spec: mujoco.MjSpec, robot: Robot) -> None:
    """Set the numbers of its robot's record in a model."""
    import numpy as np

    assert robot.joints is not None
    names = {joint.name: i for i, joint in enumerate(spec.joints)}
    numbers = (robot.lower_limits, robot.upper_limits, *robot.joints.__dict__.values())
    for name, low, high, armature, damping, loss in zip(robot.joint_names, *numbers, strict=True):
        joint = spec.joint(name)
        joint.range, joint.armature, joint.frictionloss = (low, high), armature, loss
        joint.damping = np.array([damping, *np.zeros(np.size(joint.damping) - 1)])
    order = sorted(range(robot.num_joints), key=lambda i: names[robot.joint_names[i]])
    pose = [robot.default_pose[i] for i in order]
    spec.add_key(name="stand", qpos=[0.0, 0.0, robot.standing_height, 1.0, 0.0, 0.0, 0.0, *pose])
    gains = (np.broadcast_to(part, robot.num_joints) for part in (robot.kp, robot.kd, robot.torque_limit))
    for name, kp, kd, torque in zip(robot.joint_names, *gains, strict=True):
        servo = spec.actuator(name)
        servo.gainprm[0], servo.biasprm[1], servo.biasprm[2] = kp, -kp, -kd
        servo.forcerange = (-torque, torque)


def write(folder: Path, found: Record, origins: Mapping[str, str]) -> tuple[str, ...]:
    """Write a record that was read from a model into a folder; the user's changes to an existing one are kept.

    Args:
        origins: of parts of the record, `joints.kp` for instance, where they come from.

    Returns:
        What was kept, a word each: `joints.hip.kp`.
    """
    new, kept, path = flat(found), dict[str, Any](), folder / RECORD
    if path.is_file() and (folder / READ).is_file():
        before = parse_json(read_text(folder / READ, EXPECTED), str(folder / READ), EXPECTED)
        now = flat(parse(path))
        kept = {key: value for key, value in now.items() if key in new and key in before and value != before[key]}
    write_text(folder / READ, json.dumps(new, indent=1) + "\n")
    write_text(path, _toml(_record(found, kept), origins))
    return tuple(kept)


def flat(found: Record) -> dict[str, Any]:
    """Every value by its place, as JSON values: `joints.hip.kp`."""
    found_at: dict[str, Any] = {}
    for part in ("robot", "commands", "contact"):
        found_at |= {f"{part}.{name}": value for name, value in getattr(found, part)._asdict().items()}
    for group in ("legs", "joints"):
        for one, record in getattr(found, group).items():
            found_at |= {f"{group}.{one}.{name}": value for name, value in record._asdict().items()}
    return json.loads(json.dumps(found_at))


def _record(found: Record, kept: Mapping[str, Any]) -> Record:
    """The record with other values in some places."""

    def with_kept(where: str, part: Any) -> Any:
        own = {name: kept[f"{where}.{name}"] for name in part._fields if f"{where}.{name}" in kept}
        return part._replace(**own)

    return Record(
        with_kept("robot", found.robot),
        with_kept("commands", found.commands),
        with_kept("contact", found.contact),
        {name: with_kept(f"legs.{name}", one) for name, one in found.legs.items()},
        {name: with_kept(f"joints.{name}", one) for name, one in found.joints.items()},
    )


def _toml(found: Record, origins: Mapping[str, str]) -> str:
    """The record as text, for people."""
    return "\n".join([*_head(found), *_tables(found, origins)]) + "\n"


def _head(found: Record) -> Iterator[str]:
    yield f"# The robot {found.robot.name}, as walkies read it off its model. SI units: m, kg, s, rad, N m."
    yield "# Any value may be changed here; adding the robot's file again keeps what was changed."


def _tables(found: Record, origins: Mapping[str, str]) -> Iterator[str]:
    for part in ("robot", "commands", "contact"):
        yield from ("", f"[{part}]")
        for name, value in getattr(found, part)._asdict().items():
            about = origins.get(f"{part}.{name}")
            yield f"{name} = {_value(value)}" + (f"  # {about}" if about else "")
    for group in ("legs", "joints"):
        yield from ("", f"[{group}]")
        yield from (f"# {name.removeprefix(f'{group}.')}: {about}" for name, about in origins.items() if
                    name.startswith(f"{group}."))  # fmt: skip
        width = max(len(key_of(name)) for name in getattr(found, group))
        for name, one in getattr(found, group).items():
            cells = ", ".join(f"{key} = {_value(value)}" for key, value in one._asdict().items())
            yield f"{key_of(name):<{width}} = {{ {cells} }}"


def key_of(name: str) -> str:
    """A name as TOML writes it before a value."""
    plain = name.isascii() and all(c.isalnum() or c in "_-" for c in name) and name
    return name if plain else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, str | bool):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _number(value)


def _number(value: float) -> str:
    """Of four digits after the leading zeros; as TOML writes floats."""
    if not math.isfinite(value):
        raise ValueError(f"a record holds {value}; expected a finite number")
    text = f"{value:.10g}"
    return text if any(c in text for c in ".en") else f"{text}.0"
