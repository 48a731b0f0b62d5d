"""The linter's rules on a policy's network: its inputs, its size, and its behaviour on plausible observations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from walkies.deploy.blocks import MOTION_SIGNALS
from walkies.deploy.blocks.command import AXES
from walkies.deploy.checks.findings import CONTROLLER, COURSE, ERROR, NOTE, WARNING, Finding
from walkies.deploy.json_values import is_finite
from walkies.deploy.policy_file import PolicyFile
from walkies.deploy.probes import ordinary_observations
from walkies.robots.base import Robot
from walkies.tasks.signal import GAIT

NEVER_VARIED = 300.0
"""An input whose weights are this many times the median input's never varied in training: its deviation was a floor, of
a millionth or so. Gravity's z, which moves least of all that is sensed, comes to 35 in policies of walkies."""
HELD_CONSTANT = 6.0
"""The same where the floor is .01, as of the course's exporter, for what no sensor tells and training alone decides on.
Its rows come out a hundred times as large as they began; the median input's, which was divided by some .2 and trained,
about ten times: so it comes to ten, or to a hundred where little was trained. Commands that varied come to 0.3 … 1.5 in
policies of walkies, a pose command that leans by .05 to 3.5."""
MAX_PARAMETERS = 1_000_000
"""Weights; above it one inference takes a Raspberry Pi a good part of its 19 ms."""
OBSERVATIONS, FEWEST_OBSERVATIONS, MAX_WORK = 200, 25, 100_000_000
"""A large network is asked less often, at most so many multiplications: a check takes a second."""
SATURATED = 0.99
SATURATION_SHARE = 0.3
JUMP = 0.6
"""rad: how far sensor noise alone may move the worst joint's target between two control steps (95th percentile)."""
ROUNDING = 1e-3
"""Largest difference between float32, as on the robot, and float64."""
REFERENCES = (GAIT, *MOTION_SIGNALS)
"""Inputs that the file itself tells."""
FOLDED = f"{COURSE} (brax: 1/σ, σ at least a millionth), pupper-mjlab (1/(σ + .01)): folded into the first layer as W/σ"
BOUNDED = ("tanh", "sigmoid", "softmax")
ONE_SIDED = ("relu", "sigmoid", "softmax")
"""Activations that never give a negative number."""
POSE_COMMANDS = ("maximum_pitch_command", "maximum_roll_command")
"""Degrees of lean commanded in a course's training (pupperv3-mjx); the robot does not read them."""


def leans(document: Mapping[str, Any]) -> bool | None:
    """Whether the training varied the pose command, as far as the file says; None where it does not."""
    said = [document[key] for key in POSE_COMMANDS if is_finite(document.get(key))]
    return any(said) if said else None


def inputs(policy: PolicyFile, leans: bool | None) -> Iterator[Finding]:
    """Weights of the first layer: inputs that never varied in training have untrained weights."""
    first = policy.layers[0].weights
    if first is None:
        return
    weight = np.abs(first).max(axis=1).reshape(policy.observation_history, policy.frame_size)
    typical = float(np.median(weight[weight > 0])) if np.any(weight > 0) else 0.0
    if typical == 0.0:
        mend = "train longer, or export the right checkpoint"
        yield Finding("deaf", WARNING, "layers[0]", "all weights are zero: the policy ignores its input", COURSE, mend)
        return
    others = weight.copy()
    if (pose := policy.slices.get("desired_up")) is not None:
        constant = _median_of_frames(weight[:, pose], typical).min() > HELD_CONSTANT
        yield from _pose_command(leans, float(weight[:, pose].max()), typical, bool(constant))
        others[:, pose] = 0.0
    for name in REFERENCES:  # come with the file as they were in training; only as a whole were they never there
        if name in policy.slices:
            others[:, policy.slices[name]] = 0.0
    for frame, entry in np.argwhere(others > NEVER_VARIED * typical)[:5]:
        name, part = next(item for item in policy.slices.items() if item[1].start <= entry < item[1].stop)
        message = f"{name}[{entry - part.start}] of frame {frame} weighs {others[frame, entry] / typical:.0f} × the"
        message += " median input: it never varied in training, but will on the robot"
        mend = "train with noise on this input, or drop it (scale 0 in the normalizer)"
        key = f"layers[0].weights[0][{frame * policy.frame_size + entry}]"
        yield Finding("never-varied", ERROR, key, message, FOLDED, mend)
    yield from _held_constant(policy, weight, typical)


def _held_constant(policy: PolicyFile, weight: np.ndarray, typical: float) -> Iterator[Finding]:
    """Commands and references that training held constant; weight (frames, frame's size): largest of each input."""
    for name in ("command", *REFERENCES):
        if name not in policy.slices:
            continue
        times = _median_of_frames(weight[:, policy.slices[name]], typical)
        held = np.flatnonzero(times > HELD_CONSTANT)
        if name == "command":  # its axes are told one by one, and what is beyond is told already
            held = held[times[held] <= NEVER_VARIED]
        elif held.size < times.size:  # some of a reference may hardly have moved
            continue
        if held.size == 0:
            continue
        which = f"{name}[{', '.join(map(str, held))}]" if held.size < times.size else name
        message = f"{which} weighs {times[held].min():.0f} × the median input or more: training held it constant"
        if _is_constant(policy, name, held):
            message += ", and so does this file"
            mend = "nothing to do as long as the file's tables and command_clip stay"
            yield Finding("constant-input", NOTE, "layers[0]", message, FOLDED, mend)
        else:
            message += ", and what the policy makes of it on the robot is random"
            mend = "set these rows to zero and add their contribution for the constant to the bias"
            severity = ERROR if times[held].min() > NEVER_VARIED else WARNING
            yield Finding("constant-input", severity, "layers[0]", message, FOLDED, mend)


def _is_constant(policy: PolicyFile, name: str, entries: np.ndarray) -> bool:
    """Whether the file itself keeps these entries of a command or reference from ever moving on the robot."""
    if name == "command":
        clip, turns = policy.blocks.command_clip, policy.blocks.hold.on
        pairs = [None if clip is None else getattr(clip, AXES[entry]) for entry in entries]
        held = all(pair is not None and pair[0] == pair[1] for pair in pairs)
        return held and not (turns and AXES.index("wz") in entries)
    return name == GAIT and _stands_still(policy)


def _median_of_frames(weight: np.ndarray, typical: float) -> np.ndarray:
    """Of inputs (frames, k), each in its median frame, as multiples of the typical input's (k,)."""
    return np.median(weight, axis=0) / typical


def _stands_still(policy: PolicyFile) -> bool:
    """Whether the gait reference is the default pose whatever is commanded."""
    gait, jump = policy.blocks.gait_reference, policy.blocks.jump_slot
    return gait is not None and jump is None and gait.stands_still(policy.default_joint_pos)


def size(policy: PolicyFile) -> Iterator[Finding]:
    """Last activation and number of weights."""
    last = len(policy.layers) - 1
    final = policy.layers[last].activation
    if final not in BOUNDED:
        message = "only the joint limits bound the actions"
        yield Finding("unbounded", WARNING, f"layers[{last}].activation", message, COURSE, "export with a final tanh")
    if final in ONE_SIDED:
        message = f"{final} gives no negative action: every joint turns only to one side of the default pose"
        message += ", and the actions share a sum of 1" if final == "softmax" else ""
        severity = ERROR if final == "softmax" else WARNING
        yield Finding("one-sided", severity, f"layers[{last}].activation", message, COURSE, "export with a final tanh")
    count = policy.num_parameters
    if count > MAX_PARAMETERS:
        message = f"{count:,} weights; an action must be ready within 19 ms on the robot's computer"
        reference = f"{CONTROLLER}: policy_latest.json has 38.9 MB; watch ~/policy_inference_latency_seconds"
        mend = "train a smaller network (two layers of 128 are enough to walk)"
        yield Finding("large", WARNING, "layers", message, reference, mend)


def behaviour(policy: PolicyFile, robot: Robot) -> Iterator[Finding]:
    """The policy's behaviour on plausible observations, and on the same ones a moment later with other sensor noise."""
    count = max(FEWEST_OBSERVATIONS, min(OBSERVATIONS, MAX_WORK // policy.num_parameters))
    now, later = ordinary_observations(policy.contract(robot), count)
    actions, after, exact = policy.act(now), policy.act(later), policy.act_exactly(now)
    if not (np.all(np.isfinite(actions)) and np.all(np.isfinite(after))):
        message = "some actions on ordinary observations are not finite"
        yield Finding("overflow", ERROR, "layers", message, f"{CONTROLLER}: NaN stops the controller", "train again")
        return
    with np.errstate(over="ignore"):  # the largest float32 twice is no float32 any more
        rounding = float(np.abs(actions - exact).max())
        jumps = np.abs(after.astype(float) - actions) * np.abs(policy.action_scale)
    if rounding > ROUNDING:
        message = f"float32, as on the robot, differs from exact arithmetic by {rounding:.2g}"
        yield Finding("rounding", WARNING, "layers", message, "RTNeural computes in float32", "look for huge weights")
    share = float(np.mean(np.abs(actions) > SATURATED))
    if policy.layers[-1].activation == "tanh" and share > SATURATION_SHARE:
        message = f"{share:.0%} of actions are saturated on ordinary observations: bang-bang control"
        mend = "train with a larger action-rate or torque cost, or a larger action scale"
        yield Finding("saturated", WARNING, f"layers[{len(policy.layers) - 1}]", message, COURSE, mend)
    worst = float(np.quantile(jumps.max(axis=-1), 0.95))
    if worst > JUMP:
        message = f"sensor noise alone moves some joint's target by {worst:.2f} rad between two control steps"
        mend = "train with the sensors' noise and a larger action-rate cost"
        yield Finding("jumpy", WARNING, "layers", message, f"{COURSE}: action_rate -0.1, noise ±0.05 rad", mend)


def _pose_command(leans: bool | None, most: float, typical: float, constant: bool) -> Iterator[Finding]:
    """Weights on `desired_up`, which some trainings vary, so that the policy leans on command, and others never do.

    constant: whether all of it weighs as an input does that was held constant.
    """
    if most == 0.0:
        return
    huge = most > NEVER_VARIED * typical
    weights = f"weights up to {most:.3g} on desired_up"
    if leans is False or (leans is None and (huge or constant)):
        said = "which the file says its training held constant" if leans is False else "as of an input held constant"
        message = f"{weights}, {most / typical:.0f} × the median input's, {said}"
        mend = "set these rows to zero and add their (0, 0, 1) to the bias; never publish /cmd_pose until then"
        yield Finding("constant-input", ERROR if huge else WARNING, "layers[0]", message, FOLDED, mend)
        return
    said = "trained to, says the file" if leans else "whether trained to, the file does not say"
    message = f"{weights}: the policy follows pose commands (/cmd_pose), {said}"
    mend = "publish /cmd_pose only as far as its training did; walkies commands an upright trunk"
    yield Finding("pose-input", NOTE, "layers[0]", message, f"{COURSE}: desired_world_z", mend)
