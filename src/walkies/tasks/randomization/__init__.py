"""Domain randomization as data: what differs from robot to robot, from episode to episode and from step to step.

Six groups of quantities. Each quantity has a uniform distribution, with its unit and when it is drawn beside it.
`walkies.tasks.randomization.draw` draws them; `walkies.tasks.randomization.disturbances` has those drawn per step.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, NamedTuple

from walkies import renamed
from walkies.bounds import ABOUT, Between, flag, refuse
from walkies.errors import UserError
from walkies.tasks.signal import SIGNALS, Signal


@dataclass(frozen=True)
class Range:
    """A uniform distribution over [low, high]; a fixed value if they are equal, which then costs nothing."""

    low: float
    high: float

    @property
    def fixed(self) -> bool:
        return self.low == self.high

    @property
    def off(self) -> bool:
        """Always zero."""
        return self.low == self.high == 0.0

    @property
    def reach(self) -> float:
        """The largest magnitude."""
        return max(abs(self.low), abs(self.high))

    def value(self, uniform: Any) -> Any:
        """Uniform numbers in [0, 1) scaled to the range."""
        return self.low + (self.high - self.low) * uniform


ONE = Range(1.0, 1.0)
ZERO = Range(0.0, 0.0)


class About(NamedTuple):
    """Description of a quantity, besides its range."""

    unit: str
    drawn: str
    """When: per `episode` (or once for the run, see `Randomization.robots`) or per `step`."""
    meaning: str

    def __str__(self) -> str:
        return f"({self.unit}, {self.drawn}) {self.meaning}"


def quantity(default: Range, unit: str, drawn: Literal["episode", "step"], meaning: str) -> Any:
    """A field of a randomization record: its default and its description."""
    return field(default=default, metadata={ABOUT: About(unit, drawn, meaning)})


def usual(signal: str) -> Range:
    """The default noise of a signal's sensor."""
    noise = SIGNALS[signal].noise
    return Range(-noise, noise)


@dataclass(frozen=True)
class Body:
    """Masses and their distribution. Every draw is a physically possible body."""

    mass: Annotated[Range, Between(0.0, 100.0, "(]")] = quantity(
        Range(0.85, 1.3), "×", "episode", "mass of each body, independently"
    )
    stretch: Annotated[Range, Between(0.0, 100.0, "(]")] = quantity(
        Range(0.95, 1.05),
        "×",
        "episode",
        "length of each body along each of its axes: changes its inertia consistently",
    )
    shear: Annotated[Range, Between(-10.0, 10.0)] = quantity(
        ZERO, "1", "episode", "shear of each body along each pair of its axes: rotates its principal axes"
    )
    com_x: Annotated[Range, Between(-10.0, 10.0)] = quantity(
        Range(-0.025, 0.025), "m", "episode", "shift of the trunk's centre of mass, forward"
    )
    com_y: Annotated[Range, Between(-10.0, 10.0)] = quantity(Range(-0.01, 0.01), "m", "episode", "… leftward")
    com_z: Annotated[Range, Between(-10.0, 10.0)] = quantity(Range(-0.005, 0.005), "m", "episode", "… upward")
    link_com: Annotated[Range, Between(-10.0, 10.0)] = quantity(
        ZERO, "m", "episode", "shift of each leg link's centre of mass along each axis"
    )
    payload: Annotated[Range, Between(-1000.0, 1000.0)] = quantity(
        Range(-0.15, 0.5),
        "kg",
        "episode",
        "point mass on the trunk; a negative one scales the trunk's mass down",
    )
    payload_x: Annotated[Range, Between(-10.0, 10.0)] = quantity(
        ZERO, "m", "episode", "… in front of the trunk's centre of mass"
    )
    payload_height: Annotated[Range, Between(0.0, 10.0)] = quantity(
        Range(0.04, 0.12), "m", "episode", "… above the base origin"
    )


@renamed.added(torsion=ONE)
@dataclass(frozen=True)
class Contact:
    """The ground. It never bounces the robot: the damping ratio of contacts stays the model's."""

    friction: Annotated[Range, Between(0.0, 100.0, "(]")] = quantity(
        Range(0.4, 1.4), "1", "episode", "sliding friction of all contacts with the ground"
    )
    torsion: Annotated[Range, Between(0.0, 1000.0)] = quantity(
        Range(0.0, 2.0),
        "×",
        "episode",
        "torsional friction of the feet: it resists turning on the spot; where it is always 1, as the model has it",
    )
    softness: Annotated[Range, Between(0.0, 1000.0, "(]")] = quantity(
        ONE, "×", "episode", "time constant of ground contacts: a factor of 2 is a quarter of the stiffness"
    )
    depth: Annotated[Range, Between(0.0, 1000.0, "(]")] = quantity(
        ONE, "×", "episode", "depth over which a contact hardens"
    )
    slope: Annotated[Range, Between(0.0, 1.0, "[)")] = quantity(
        Range(0.0, 0.09), "rad", "episode", "slope of the ground, in a uniformly drawn direction: gravity is tilted"
    )

    @property
    def resists_turning(self) -> bool:
        """Whether the ground resists feet that turn, even where it does not in the model."""
        return self.torsion != ONE


@dataclass(frozen=True)
class Motor:
    """Servos and joints."""

    kp: Annotated[Range, Between(0.0, 100.0)] = quantity(
        Range(0.6, 1.1), "×", "episode", "servo stiffness, one factor for all joints"
    )
    kd: Annotated[Range, Between(0.0, 100.0)] = quantity(
        Range(0.75, 1.45), "×", "episode", "servo damping, one factor for all joints"
    )
    strength: Annotated[Range, Between(0.0, 100.0)] = quantity(
        Range(0.9, 1.05), "×", "episode", "torque of each motor, independently (gains and limit alike)"
    )
    frictionloss: Annotated[Range, Between(0.0, 100.0)] = quantity(
        Range(0.6, 1.4), "×", "episode", "dry friction of each joint"
    )
    damping: Annotated[Range, Between(0.0, 100.0)] = quantity(
        Range(0.5, 2.0), "×", "episode", "passive damping of each joint"
    )
    armature: Annotated[Range, Between(0.0, 100.0)] = quantity(
        Range(0.9, 1.1), "×", "episode", "rotor inertia of each joint"
    )


@renamed.added(imu_jitter=ZERO)
@dataclass(frozen=True)
class Latency:
    """Latency of commands and readings. Times are rounded to physics steps."""

    command_delay: Annotated[Range, Between(0.0, 1.0)] = quantity(
        Range(0.0, 0.026), "s", "episode", "between sending a joint target and its effect"
    )
    command_jitter: Annotated[Range, Between(0.0, 1.0)] = quantity(
        ZERO, "s", "step", "added to that for each target; a target overtaken by its successor is dropped"
    )
    imu_delay: Annotated[Range, Between(0.0, 1.0)] = quantity(
        Range(0.0, 0.030), "s", "episode", "age of gyro and gravity readings"
    )
    imu_jitter: Annotated[Range, Between(0.0, 1.0)] = quantity(
        Range(0.0, 0.010),
        "s",
        "step",
        "added to that at each reading: the age of the sample of an IMU with its own clock",
    )


@dataclass(frozen=True)
class Sensing:
    """Errors of the readings: constant biases, and noise."""

    encoder_bias: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        Range(-0.02, 0.02), "rad", "episode", "constant error of each joint angle"
    )
    gyro_bias: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        Range(-0.02, 0.02), "rad/s", "episode", "constant error of each gyro axis"
    )
    imu_tilt: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        Range(-0.02, 0.02), "rad", "episode", "misalignment of the IMU, roll and pitch"
    )
    imu_yaw: Annotated[Range, Between(-100.0, 100.0)] = quantity(ZERO, "rad", "episode", "… and yaw")
    gyro_noise: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        usual("gyro"), "rad/s", "step", "noise of each gyro axis"
    )
    gravity_noise: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        usual("gravity"), "1", "step", "noise of each component of the gravity vector, before renormalization"
    )
    joint_position_noise: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        usual("joint_position"), "rad", "step", "noise of each joint angle"
    )
    last_action_noise: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        usual("last_action"), "1", "step", "noise of each component of the last action in the observation"
    )
    joint_velocity_noise: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        usual("joint_velocity"), "rad/s", "step", "noise of each joint velocity"
    )
    motion_anchor_noise: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        usual("motion_anchor"), "1", "step", "noise of each component of a movement's orientation in the observation"
    )

    def noise(self, signal: Signal) -> Range:
        """Noise of a signal: the range of that name if there is one, else the default of its sensor."""
        return getattr(self, f"{signal.name}_noise", Range(-signal.noise, signal.noise))


@dataclass(frozen=True)
class Pushes:
    """External disturbances, horizontal, in a uniformly drawn direction."""

    kick_speed: Annotated[Range, Between(-100.0, 100.0)] = quantity(
        Range(0.0, 0.5), "m/s", "step", "sudden change of the base's velocity"
    )
    kick_interval: Annotated[float, Between(0.0, 1e6, "(]")] = 1.0
    """(s) mean time between two kicks, which come at random times"""
    force: Annotated[Range, Between(-1e4, 1e4)] = quantity(
        ZERO, "N", "step", "lasting force on the trunk's centre of mass"
    )
    force_duration: Annotated[Range, Between(0.0, 1e6)] = quantity(
        Range(0.2, 1.0), "s", "step", "duration of that force"
    )
    force_interval: Annotated[float, Between(0.0, 1e6, "(]")] = 3.0
    """(s) mean time from the last control step of one force to the first of the next"""


@dataclass(frozen=True)
class Randomization:
    """What differs from robot to robot, and from episode to episode."""

    body: Body = field(default_factory=Body)
    contact: Contact = field(default_factory=Contact)
    motor: Motor = field(default_factory=Motor)
    latency: Latency = field(default_factory=Latency)
    sensing: Sensing = field(default_factory=Sensing)
    pushes: Pushes = field(default_factory=Pushes)
    robots: Literal["episode", "run"] = "episode"
    """When robots are drawn: for every episode, or once for the run, each environment keeping its robot."""


FIELD = "task.randomization"
"""Where a training has one."""
GROUPS = ("body", "contact", "motor", "latency", "sensing", "pushes")

NONE = Randomization(
    body=Body(ONE, ONE, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO),
    contact=Contact(ONE, ONE, ONE, ONE, ZERO),
    motor=Motor(ONE, ONE, ONE, ONE, ONE, ONE),
    latency=Latency(ZERO, ZERO, ZERO, ZERO),
    sensing=Sensing(*[ZERO] * len(fields(Sensing))),
    pushes=Pushes(kick_speed=ZERO, force=ZERO),
)
"""Every robot is the nominal robot, with perfect sensors and without pushes."""

COURSE = Randomization(
    body=replace(
        NONE.body,
        mass=Range(0.9, 1.3),
        stretch=Range(0.82, 1.18),
        com_x=Range(-0.02, 0.03),
        com_y=Range(-0.005, 0.005),
        com_z=Range(-0.005, 0.005),
    ),
    contact=replace(NONE.contact, friction=Range(0.6, 1.4)),
    motor=replace(NONE.motor, kp=Range(0.6, 1.1), kd=Range(0.8, 1.5)),
    latency=replace(NONE.latency, command_delay=Range(0.0, 0.020), imu_delay=Range(0.0, 0.020)),
    sensing=replace(
        NONE.sensing,
        gyro_noise=Range(-0.1, 0.1),
        gravity_noise=Range(-0.05, 0.05),
        joint_position_noise=Range(-0.05, 0.05),
        last_action_noise=Range(-0.01, 0.01),
    ),
    pushes=replace(NONE.pushes, kick_speed=Range(0.0, 0.1), kick_interval=0.5),
    robots="run",
)
"""The values of the Stanford CS 123 course (pupperv3-mjx), robots drawn once for the run as there.

Two differ in form. The course multiplies each principal inertia by its own factor, U(0.9, 1.3), besides the mass, which
makes bodies that cannot exist; here the stretch varies the ratio of inertia to mass as widely. The course's latency is
a whole control step or none, redrawn at every step, which reorders commands; here it is any time up to a control step,
constant over the episode."""

WALKIES = Randomization()
"""The default."""

SETS = {"none": NONE, "course": COURSE, "walkies": WALKIES}


def turning_freely(randomization: Randomization) -> Randomization:
    """`randomization` with ground that resists turning feet only where the model does."""
    return replace(randomization, contact=replace(randomization.contact, torsion=ONE))


def without(randomization: Randomization, group: str) -> Randomization:
    """`randomization` with one of the six groups switched off.

    Raises:
        UserError: there is no such group.
    """
    if group not in GROUPS:
        raise UserError(f"unknown group {group!r} of randomized quantities; choose one of: {', '.join(GROUPS)}")
    return replace(randomization, **{group: getattr(NONE, group)})


def named_set(name: str) -> Randomization:
    """One of the presets.

    Raises:
        UserError: there is no preset of that name.
    """
    if name not in SETS:
        raise UserError(f"unknown randomization {name!r}; choose one of: {', '.join(SETS)}")
    return SETS[name]


class Quantity(NamedTuple):
    """One randomized quantity, described."""

    group: str
    name: str
    range: Range
    unit: str
    drawn: str
    """`episode`, `run` or `step`."""
    meaning: str


def quantities(randomization: Randomization) -> list[Quantity]:
    """Every randomized quantity."""
    found = []
    for group in GROUPS:
        record = getattr(randomization, group)
        for entry in fields(record):
            if (about := entry.metadata.get(ABOUT)) is not None:
                drawn = randomization.robots if about.drawn == "episode" else about.drawn
                value = getattr(record, entry.name)
                found.append(Quantity(group, entry.name, value, about.unit, drawn, about.meaning))
    return found


def check(randomization: Randomization, longest_command_delay: float, trunk_mass: float) -> None:
    """Refuse what cannot be simulated.

    Args:
        longest_command_delay: s.
        trunk_mass: kg, nominal.

    Raises:
        UserError: which quantity, what was given and what was expected.
    """
    refuse(randomization, Randomization, FIELD)
    for group, name, bounds, *_ in quantities(randomization):
        if not bounds.low <= bounds.high:
            where = flag(f"{FIELD}.{group}.{name}")
            raise UserError(f"{where}: got low {bounds.low:g} and high {bounds.high:g}; expected low ≤ high")
    latency = randomization.latency
    latest = latency.command_delay.high + latency.command_jitter.high
    if latest > longest_command_delay + 1e-9:
        raise UserError(
            f"{flag(FIELD)}.latency: command-delay and command-jitter reach {1e3 * latest:g} ms together; expected at "
            f"most {1e3 * longest_command_delay:g} ms: older targets are not stored"
        )
    if (payload := randomization.body.payload.low) <= (limit := -trunk_mass * randomization.body.mass.low):
        raise UserError(
            f"{flag(FIELD)}.body.payload.low: got {payload:g} kg, expected more than {limit:.3g} kg: the lightest trunk"
        )
