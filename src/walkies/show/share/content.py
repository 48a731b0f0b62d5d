"""What the page knows: the robot as the engine takes it, the policy as its controller takes it, and how both look."""

from __future__ import annotations

import base64
import math
from dataclasses import asdict
from typing import Any

import numpy as np

from walkies.deploy.blocks import MOTION_SIGNALS
from walkies.deploy.blocks.jump import speed_cap
from walkies.deploy.controllers.generic import GenericController
from walkies.deploy.policy_file import PolicyFile, PolicyFileError
from walkies.judge.falls import FALL_TILT
from walkies.judge.motion.replay import FAR
from walkies.later import mujoco
from walkies.quaternions import product
from walkies.robots import load_model, units
from walkies.robots.base import Robot
from walkies.show import page
from walkies.show.viewer.settings import LOAD_SIDE, PUSH, SLIDERS, Slider
from walkies.show.viewer.walker import command_range
from walkies.sim.base import Params
from walkies.sim.engine.model import LeggedModel, pack, read_model
from walkies.sim.native import SOLVERS
from walkies.sim.params import nominal_params
from walkies.tasks import signal
from walkies.tasks.contract import OBSERVATION_CLIP
from walkies.tasks.motion.heights import heights
from walkies.tasks.motion.movement import INSTANT, MAX_QUEUE
from walkies.tasks.randomization.bodies import add_payload

WORLD = ("friction", "payload")
"""Which of SLIDERS the page has."""
MADE = (
    "gyro", "gravity", "command", "desired_up", "joint_position", "joint_velocity", "last_action", signal.GAIT,
    *MOTION_SIGNALS,
)  # fmt: skip
"""Signals that controller.js can make."""
LIMITLESS = 1e6
"""m/s and rad/s: infinity, which JSON lacks."""
LOAD_COLOUR = (0.37, 0.4, 0.44)


def page_content(given: PolicyFile, robot: Robot) -> dict[str, Any]:
    """Everything, as JSON data.

    Raises:
        PolicyFileError: the policy is shown what the page cannot make.
        ValueError: the robot does not fit the engine.
    """
    controller = GenericController(given, robot)
    model = load_model(robot, own_contacts=False, visuals=False)
    legged = read_model(model)
    motors = {"kp": controller.policy.kp, "kd": controller.policy.kd}
    each = {name: np.broadcast_to(values, (1, robot.num_joints)) for name, values in motors.items()}
    params = changed(nominal_params(model, robot), **each)
    return {
        "robot": engine(legged, params, steps_per_action(controller, model)),
        "policy": policy(controller),
        "range": list(command_range(given, robot).values()),
        "sliders": [slider_content(slider, legged, params, robot) for slider in SLIDERS if slider.name in WORLD],
        "start": [0.0, 0.0, robot.reset_height[0], 1.0, 0.0, 0.0, 0.0, *controller.standing(1)[0].tolist()],
        "falls": falls(given, robot, model, legged),
        "push": {"speed": PUSH * units.growth(robot, "m/s"), "mass": robot.mass},
        "load": {"at": load_place(params, robot)[0].tolist(), "side": LOAD_SIDE},
        "size": page.DISTANCE * units.growth(robot, "m"),
        "shapes": shapes(robot, legged),
    }


def falls(given: PolicyFile, robot: Robot, model: mujoco.MjModel, legged: LeggedModel) -> dict[str, Any]:
    """When the robot has fallen: tilt, rad, and spheres that may not touch the ground; if it follows a movement, tilt
    away from its frame, and how far, m, the trunk may be from its height in it."""
    recorded = given.blocks.trick
    if recorded is None:
        torso = [i for i, name in enumerate(legged.spheres) if name in robot.torso_geoms]
        return {"tilt": FALL_TILT, "torso": torso, "heights": None, "far": 0.0}
    far, tilt = FAR
    far *= units.growth(robot, "m")
    return {"tilt": tilt, "torso": [], "heights": packed(heights(recorded, robot, model), "<f8"), "far": far}


def steps_per_action(controller: GenericController, model: mujoco.MjModel) -> int:
    """Physics steps between two actions."""
    return max(1, round(1.0 / (controller.tick_rate * model.opt.timestep)))


def engine(legged: LeggedModel, params: Params, substeps: int) -> dict[str, Any]:
    """What engine.js takes. params: leaves lead with 1."""
    return {
        "joints": legged.num_joints,
        "colliders": len(legged.spheres),
        "timestep": legged.timestep,
        "substeps": substeps,
        "solver": asdict(SOLVERS["exact"]),
        "constants": packed(legged.constants, "<f8"),
        "params": packed(pack(legged, params, 1, np, np.float32), "<f4"),
    }


def policy(controller: GenericController) -> dict[str, Any]:
    """What controller.js takes.

    Raises:
        PolicyFileError: its frame has a signal that the page cannot make.
    """
    given, contract = controller.policy, controller.contract
    if unknown := [one.in_files for one in given.signals if one.name not in MADE]:
        raise PolicyFileError(
            f"walkies share: the policy observes {', '.join(unknown)}, which the page cannot make; expected signals "
            f"among {', '.join(MADE)}"
        )
    blocks = given.blocks
    clip, cap = blocks.command_clip, speed_cap(blocks.jump_slot, 0.0, False)
    ends = [getattr(clip, axis, None) or (-LIMITLESS, LIMITLESS) for axis in ("vx", "vy", "wz")]
    lower, upper = contract.robot.target_limits()
    return {
        "control_dt": 1.0 / controller.tick_rate,
        "history": given.observation_history,
        "frame": [{"name": one.name, "size": one.size(given), "initial": initial(one, given)} for one in given.signals],
        "observation_clip": OBSERVATION_CLIP,
        "layers": [
            {
                "weights": None if layer.weights is None else packed(layer.weights, "<f4"),
                "bias": packed(layer.bias, "<f4"),
                "activation": layer.activation,
            }
            for layer in given.layers
        ],
        "default_pose": list(given.default_joint_pos),
        "action_scale": np.broadcast_to(contract.scale, given.num_joints).tolist(),
        "lower": lower.tolist(),
        "upper": upper.tolist(),
        "fade_in": controller.fade_in,
        "command_clip": [list(pair) for pair in ends],
        "speed_cap": min(cap, LIMITLESS),
        "heading_hold": asdict(blocks.hold) if given.use_imu and blocks.hold.on else None,
        "gait_reference": gait(given),
        "movement": movement(given),
    }


def initial(one: signal.FrameSignal, given: PolicyFile) -> list[float]:
    """What the robot's buffer holds of a signal before the first frame."""
    return signal.spread((one,), given, lambda each: each.initial).tolist()


def gait(given: PolicyFile) -> dict[str, Any] | None:
    """The reference gait, where there is one."""
    reference = given.blocks.gait_reference
    if reference is None:
        return None
    names = ("frequency", "blend_speed", "gallop_speed", "gallop_freq_mult", "dir_threshold")
    numbers = {name: getattr(reference, name) for name in names}
    return {**numbers, "tables": [packed(table, "<f8") for table in reference.stacked]}


def movement(given: PolicyFile) -> dict[str, Any] | None:
    """The recorded movement, where there is one."""
    if (recorded := given.blocks.trick) is None:
        return None
    clips = [
        {"name": clip.name, "start": clip.start, "end": clip.end, "following": recorded.following(index)}
        for index, clip in enumerate(recorded.clips)
    ]
    tables = {name: packed(getattr(recorded, name), "<f8") for name in ("joint_pos", "joint_vel", "anchor_quat_wxyz")}
    return {"fps": recorded.fps, "clips": clips, **tables, "most_queued": MAX_QUEUE, "instant": INSTANT}


def slider_content(slider: Slider, legged: LeggedModel, params: Params, robot: Robot) -> dict[str, Any]:
    """A slider: what is written on it, and the engine's parameters in each of its places, those that it changes."""
    grown = units.growth(robot, slider.unit)
    step, places = round_number(grown * slider.step), round((slider.high - slider.low) / slider.step) + 1
    values = [units.tidy(grown * slider.low + step * place) for place in range(places)]
    place_in = {"friction": rubbed, "payload": loaded}[slider.name]
    rows = np.stack([pack(legged, place_in(params, value, robot), 1, np, np.float32)[0] for value in values])
    nominal = pack(legged, params, 1, np, np.float32)[0]
    columns = np.flatnonzero((rows != nominal).any(axis=0))
    # Where it stands at first: nearest to the world as it is.
    usual = int(np.argmin(np.abs(rows[:, columns] - nominal[columns]).sum(axis=1)))
    return {
        "name": slider.name,
        "label": slider.label,
        "unit": slider.unit,
        "values": values,
        "usual": usual,
        "columns": columns.tolist(),
        "rows": packed(rows[:, columns], "<f4"),
    }


def round_number(value: float) -> float:
    """The nearest 1, 2, 2.5 or 5 times a power of ten."""
    decade = 10.0 ** math.floor(math.log10(value))
    return min((digit * decade for digit in (1.0, 2.0, 2.5, 5.0, 10.0)), key=lambda one: abs(one - value))


def rubbed(params: Params, friction: float, robot: Robot) -> Params:
    """On ground of that friction."""
    return changed(params, friction=np.array([friction]))


def loaded(params: Params, payload: float, robot: Robot) -> Params:
    """With so many kg on its back, where the judge puts them."""
    kg: Any = np.array([payload])
    names = ("body_mass", "body_ipos", "body_inertia")
    bodies = [getattr(params, name) for name in names]
    mass, com, inertia = (leaf[:, 0] for leaf in bodies)
    trunk = add_payload(mass, com, inertia, kg, load_place(params, robot))
    leaves = {
        name: np.concatenate([np.asarray(first)[:, None], others[:, 1:]], axis=1)
        for name, first, others in zip(names, trunk, bodies, strict=True)
    }
    return changed(params, **leaves)


def changed(params: Params, **leaves: Any) -> Params:
    """The parameters with some replaced by NumPy arrays, (1, …)."""
    return params._replace(**leaves)


def load_place(params: Params, robot: Robot) -> Any:
    """(1, 3) m in the base's frame."""
    return np.concatenate([params.body_ipos[:, 0, :2], [[robot.payload_height]]], axis=1)


def shapes(robot: Robot, legged: LeggedModel) -> list[dict[str, Any]]:
    """What is drawn: the robot's shapes in the frames of the engine's links, and after these, as one more, its load."""
    model = load_model(robot)
    found = []
    for geom in page.drawn(model):
        one = page.shape(model, geom)
        if (body := one["body"] - 1) < 0:
            continue
        turn = np.zeros(4)
        mujoco.mju_mat2Quat(turn, legged.rotation[body].ravel())
        one["body"] = int(legged.link[body])
        one["pos"] = np.round(legged.rotation[body] @ one["pos"] + legged.offset[body], 5).tolist()
        one["quat"] = np.round(product(turn, np.array(one["quat"])), 6).tolist()
        found.append(one)
    cube = {"shape": "box", "size": [0.5] * 3, "pos": [0.0] * 3, "quat": [1.0, 0.0, 0.0, 0.0], "colour": LOAD_COLOUR}
    return [*found, {"body": legged.num_joints + 1, **cube}]


def packed(values: Any, kind: str) -> str:
    """Numbers as base64."""
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")
