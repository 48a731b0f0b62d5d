"""A log of the real robot against its policy file and the simulator.

First whether the robot ran this policy correctly, then the robot's parameters, then how to randomize for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from walkies.deploy.identification.identify import TOLERANCE, Estimate, Identified
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.recordings.align import Log, target_offset
from walkies.robots.base import Robot

AGREE = 1e-4
"""Largest difference of an action from the policy's own answer: RTNeural computes in float32, in another order."""
LITTLE, FAR, ODD = 0.7, 0.01, 2.5
"""A fit explains little if this share of the nominal robot's error is left; rad that is more than encoders' noise; a
joint is odd if it is this many times as far off as the median joint."""
FLAGS = {
    "latency": "latency.command-delay",
    "kp": "motor.kp",
    "kd": "motor.kd",
    "frictionloss": "motor.frictionloss",
    "ground_friction": "contact.friction",
}
"""Estimates and the ranges of `walkies.tasks.randomization` that they belong to."""


class Reproduction(NamedTuple):
    """Whether the log is this policy's."""

    compared: int
    """actions"""
    error: float
    """largest difference between a logged action and the policy's answer to the logged observation"""
    commands_compared: int
    command_error: float
    """rad, largest difference between a logged position command and the one that scale, pose and limits give"""

    @property
    def reproduced(self) -> bool:
        return self.compared > 0 and self.error <= AGREE and self.command_error <= AGREE


def reproduce(log: Log, policy: PolicyFile) -> Reproduction:
    """Evaluate the policy on the robot's observations, and compare."""
    both = np.isfinite(log.seen).all(axis=1) & np.isfinite(log.output).all(axis=1)
    answers = policy.act(log.seen[both].astype(np.float32))
    clamped = np.clip(target_offset(log.applied, policy), policy.joint_lower_limits, policy.joint_upper_limits)
    command_error = np.abs(clamped - log.commanded)
    known = np.isfinite(command_error).all(axis=1)
    return Reproduction(
        int(both.sum()),
        float(np.max(np.abs(answers - log.output[both]), initial=0.0)),
        int(known.sum()),
        float(np.max(command_error[known], initial=0.0)),
    )


def propose(estimates: tuple[Estimate, ...]) -> dict[str, tuple[float, float]]:
    """Ranges for training around what was found, by flag of `walkies train --task.randomization.…`.

    A range covers the uncertainty of the estimate (two standard deviations, at least the wanted accuracy): one log of
    one robot says nothing about other days and other robots. Parameters that were not identifiable keep their default.
    """
    ranges: dict[str, tuple[float, float]] = {}
    for e in estimates:
        if not e.identifiable or e.name not in FLAGS:
            continue
        if e.name == "latency":
            reach = max(2 * e.deviation, TOLERANCE["latency"])
            ranges[FLAGS[e.name]] = (max(e.value - reach, 0.0), e.value + reach)
        else:
            factor = e.factor if e.nominal else e.value
            reach = factor * max(2 * e.deviation / e.value, TOLERANCE[e.name])
            ranges[FLAGS[e.name]] = (factor - reach, factor + reach)
    biases = [e for e in estimates if e.name.startswith("gyro_bias") and e.identifiable]
    if biases:
        reach = max(abs(e.value) + max(2 * e.deviation, TOLERANCE["gyro_bias"]) for e in biases)
        ranges["sensing.gyro-bias"] = (-reach, reach)
    return ranges


def doubts(found: Identified, robot: Robot) -> list[str]:
    """What to check before trusting the numbers."""
    notes = []
    if found.joint_error > LITTLE * found.nominal_error and found.joint_error > FAR:
        where = "held in the air" if found.held else "on the ground"
        notes.append(
            f"the fitted simulator is {found.joint_error:.3f} rad off, hardly less than the nominal one: was the robot "
            f"really {where} (--held True, --held False)? Is it this robot, with this policy file?"
        )
    typical = float(np.median(found.each_joint))
    for name, error in zip(robot.joint_names, found.each_joint, strict=True):
        if error > ODD * typical and error > FAR:
            notes.append(
                f"{name} is {error:.3f} rad off, the others about {typical:.3f}: a weak motor, a slipped zero, "
                "something in its way?"
            )
    return notes


def describe_log(log: Log, reproduction: Reproduction) -> str:
    """The first part of the report, as text: whether the robot ran this policy."""
    policys = "reproduced" if reproduction.error <= AGREE else "NOT this policy's answers"
    commands = "as the file says" if reproduction.command_error <= AGREE else "NOT what scale, pose and limits give"
    return (
        f"log: {log.received} observations over {len(log.frame) * log.period:.1f} s, "
        f"one every {log.period * 1e3:.2f} ms, received within ±{log.jitter * 1e3:.1f} ms; "
        f"{log.recovered} lost ones recovered from their successors, {log.gaps} gaps\n"
        f"policy: {reproduction.compared} actions compared, largest difference {reproduction.error:.1e}: {policys}\n"
        f"position commands: {reproduction.commands_compared} compared, largest difference "
        f"{reproduction.command_error:.1e} rad: {commands}"
    )


def describe_robot(found: Identified, robot: Robot) -> str:
    """The second part: the robot's parameters, and how to randomize for them."""
    lines = [
        f"robot: {'held in the air' if found.held else 'on the ground'}; over {found.windows} windows the simulated "
        f"joints are {found.joint_error:.4f} rad off (root mean square), the nominal robot's {found.nominal_error:.4f}",
        "",
        f"{'':<15}{'found':>10} {'±':>7} {'unit':<9} {'nominal':>7} {'factor':>6}",
    ]
    for e in found.estimates:
        if not e.identifiable:
            lines.append(f"{e.name:<15} not identifiable from this log")
            continue
        nominal = "" if not e.nominal else f"{e.nominal:>7.3f} {e.factor:>6.2f}"
        lines.append(f"{e.name:<15}{e.value:>10.4f} {e.deviation:>7.4f} {e.unit:<9} {nominal}".rstrip())
    lines += [f"note: {doubt}" for doubt in doubts(found, robot)]
    lines += ["", "randomize around it, in training:"]
    lines += [f"  --task.randomization.{flag}.low {a:.4g} --task.randomization.{flag}.high {b:.4g}"
              for flag, (a, b) in propose(found.estimates).items()]  # fmt: skip
    return "\n".join(lines)


def as_json(log: Log, reproduction: Reproduction, found: Identified) -> dict[str, Any]:
    """The report for programs; what is not identifiable has no value."""
    return {
        "log": {
            "observations": log.received,
            "period_s": log.period,
            "recovered": log.recovered,
            "gaps": log.gaps,
            "jitter_s": log.jitter,
        },
        "reproduced": reproduction.reproduced,
        "reproduction": reproduction._asdict(),
        "held": found.held,
        "joint_error_rad": found.joint_error,
        "nominal_joint_error_rad": found.nominal_error,
        "error_of_each_joint_rad": list(found.each_joint),
        "estimates": {
            e.name: {"value": e.value, "deviation": e.deviation, "unit": e.unit} if e.identifiable else None
            for e in found.estimates
        },
        "randomization": {flag.replace("-", "_"): list(pair) for flag, pair in propose(found.estimates).items()},
    }
