"""The numbers of a task in a robot's own units, so that one task serves small and large robots.

The numbers in the records of a task are those of one robot, `walkies.robots.units.REFERENCE`; `task_of` scales them
to another. What does not grow with a robot stays the same: the control period, latencies, sensor noise, friction,
slopes, factors of any kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from walkies.bounds import ABOUT
from walkies.robots.base import Robot
from walkies.robots.units import REFERENCE, SHIFTS, growth, measures, shift, tidy
from walkies.tasks import rewards
from walkies.tasks.curriculum import Ramp
from walkies.tasks.randomization import Randomization, Range, turning_freely
from walkies.tasks.rewards import RewardWeights, terms_of
from walkies.tasks.walk import WalkConfig

T = TypeVar("T", bound=Any)
UPRIGHT = ("biped", "humanoid")
"""Kinds of robots that must balance before they can stand, let alone walk."""

FOLLOWS = ("tracking_lin_vel", "tracking_ang_vel", "lin_vel_error", "ang_vel_error")
FOLLOWING = 3.3
"""Factor on these weights for robots that must balance: with less, stepping on the spot is worth more than the risk of
going anywhere."""
TURNING = 2.5
"""How much more than at the start those of turning count once such a robot walks. Its trunk turns to and fro with
every step, which costs little until it counts more; counting so much from the start, it teaches to turn and to fall."""

APART = {"humanoid": -1.2}
"""Weight of feet that come near each other, by kind. Humanoids have legs close together and arms that are held still:
the small one of the zoo let its soles touch in 29% of the time."""


def plain(kind: str) -> WalkConfig:
    """Plain walking for robots of a kind, in the numbers of `REFERENCE`."""
    task = WalkConfig()
    if kind not in UPRIGHT:
        return task
    grown = {name: TURNING * task.turning.start for name in rewards.TURNING}
    following = {name: FOLLOWING * grown.get(name, 1.0) * getattr(task.rewards, name) for name in FOLLOWS}
    return replace(
        task,
        # What a fall costs and how fast commands change: the numbers with which these kinds have learned so far.
        rewards=replace(
            task.rewards,
            alive=1.0,
            alternate_feet=3.0,
            feet_apart=APART.get(kind, 0.0),
            termination=-100.0,
            **following,
        ),
        commands=replace(task.commands, acceleration=2.0),
        turning=Ramp(start=tidy(1.0 / TURNING), steps=40_000_000),
        # Who falls now and then where conditions are nominal learns nothing from harder ones.
        curriculum=replace(task.curriculum, steps=4_000_000, lin_vel_error=0.2),
        # Where they stand on several points of a foot, sliding friction resists turning it already.
        randomization=replace(
            turning_freely(task.randomization),
            pushes=replace(task.randomization.pushes, kick_speed=Range(0.0, 0.3)),
        ),
        start=replace(task.start, tilt=0.05, joint_position=0.05, joint_velocity=0.3, velocity=0.1),
    )


def task_of(robot: Robot, task: WalkConfig | None = None) -> WalkConfig:
    """A task whose numbers are those of `REFERENCE` in a robot's own units; None: plain walking.

    Command ranges, gains and action scale are those of its record; a task that commands nothing still does not.
    """
    task, own = replace(plain(robot.kind), hold=robot.hold) if task is None else task, measures(robot)
    if own == REFERENCE:
        return task
    asked = task.commands.forward, task.commands.sideways, task.commands.yaw
    forward, sideways, yaw = (most if any(asked) else 0.0 for most in robot.gamepad)
    time, fast, quick = growth(robot, "s"), own.forward / REFERENCE.forward, own.yaw / REFERENCE.yaw

    def grown(record: T, **sizes: float) -> T:
        """A record with some of its numbers multiplied."""
        return replace(record, **{name: tidy(size * getattr(record, name)) for name, size in sizes.items()})

    start = grown(task.start, joint_velocity=growth(robot, "rad/s"), velocity=growth(robot, "m/s"))
    commands = grown(task.commands, interval=time, yaw_acceleration=growth(robot, "rad/s²"))
    return replace(
        grown(task, episode_seconds=time),
        commands=replace(commands, forward=forward, sideways=sideways, yaw=yaw),
        rewards=weights_of(robot, task.rewards),
        shape=grown(
            task.shape,
            tracking_width=fast,
            yaw_width=quick,
            still=fast,
            air_time=time,
            clearance=growth(robot, "m"),
            motion_speeds=growth(robot, "rad/s"),
        ),
        randomization=_outside(robot, task.randomization),
        curriculum=grown(task.curriculum, falls=1.0 / time, lin_vel_error=fast),
        start=start if robot.fade_in else replace(start, fade_probability=0.0),
        action_scale=None,
        kp=None,
        kd=None,
    )


SLOW = 0.9
"""Of how fast others turn in their own units. Marks are a share of the commands, and slow motors limit those; a robot
that does not know how much the ground resists it cannot turn so exactly. The servo dog of the zoo came to 0.134 rad/s
with torsional friction and to 0.064 without (mark 0.084; seed 0, 31 and 22 million steps)."""

TORQUES = "N² m²"
"""Torques count by the robot's weight and height, or by its motors, whichever asks less: legs that reach far out to the
sides need much more than others as they stand."""


def weights_of(robot: Robot, weights: RewardWeights) -> RewardWeights:
    """The weights of reward terms: what a robot gets in one of its own units of time for the same motion is the same.

    Sums over joints, feet and knees are taken as means. Tracking terms are measured relative to the commands. The cost
    of falling, an event, stays the same.
    """
    own, found = measures(robot), dict[str, float]()
    counts = {"": 1.0, "joint": own.joints / REFERENCE.joints, "leg": own.legs / REFERENCE.legs}
    speeds = {"m/s": own.forward / REFERENCE.forward, "rad/s": own.yaw / REFERENCE.yaw}
    for name, term in terms_of(weights).items():
        size = speeds[term.unit] if term.tracks else growth(robot, term.unit)
        if term.unit == TORQUES:
            size = max(size, (own.torque / REFERENCE.torque) ** 2)
        steady = 1.0 if term.event else growth(robot, "s")
        found[name] = tidy(getattr(weights, name) / (size * counts[term.per] * steady))
    return replace(weights, **{name: value for name, value in found.items() if value != getattr(weights, name)})


def discount_of(robot: Robot, discount: float) -> float:
    """A discount per step, γ or λ, over the same time in a robot's own units."""
    time = growth(robot, "s")
    return discount if time == 1.0 else tidy(discount ** (1.0 / time))


def _outside(robot: Robot, randomization: Randomization) -> Randomization:
    """The randomization with masses, lengths and pushes in the robot's own units, and without torsional friction for
    robots that turn slowly for their size."""
    own = measures(robot)
    if own.yaw * own.time < SLOW * REFERENCE.yaw * REFERENCE.time:
        randomization = turning_freely(randomization)
    pushes = replace(
        randomization.pushes,
        kick_interval=tidy(randomization.pushes.kick_interval * growth(robot, "s")),
        force_interval=tidy(randomization.pushes.force_interval * growth(robot, "s")),
    )
    return replace(randomization, body=_grown(robot, randomization.body), pushes=_grown(robot, pushes))


def _grown(robot: Robot, record: Any) -> Any:
    """A record of quantities with each in the robot's own units."""
    sizes: Mapping[str, float] = {
        entry.name: shift(robot) if entry.name in SHIFTS else growth(robot, entry.metadata[ABOUT].unit)
        for entry in fields(record)
        if ABOUT in entry.metadata
    }
    grown = {}
    for name, size in sizes.items():
        old: Range = getattr(record, name)
        if size != 1.0:
            grown[name] = Range(tidy(old.low * size), tidy(old.high * size))
    return replace(record, **grown)
