"""What a user can change about the environment while the robot walks, and how it is written into MuJoCo's model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from walkies.deploy.controllers.neural_controller import ControllerConfig
from walkies.deploy.controllers.twin import PHYSICS_PER_TICK, SOLVER_ITERATIONS
from walkies.later import mujoco
from walkies.robots import load_spec
from walkies.robots.base import Robot
from walkies.sim import conditions
from walkies.sim.params import ground_geom

PAYLOAD_BODY = "payload"
PAYLOAD_SIZE = 0.03
"""m, half the side of the cube that a payload is."""
LOAD_SIDE = 0.055
"""m, side of a load of 1 kg as it is shown; it grows with the cube root of the mass."""
PUSH = 0.6
"""m/s that one push gives the robot."""
WEIGHTLESS = 1e-6
"""kg: MuJoCo wants every body to have some mass."""
SLOPE_SPEED = 5.0
"""degrees/s at which the ground tilts: the feet stay on it."""


NOMINAL = conditions.Condition()


class Slider(NamedTuple):
    """One number that a person may change: a quantity of `walkies.sim.conditions`, in units that people like."""

    name: str
    label: str
    unit: str
    low: float
    high: float
    step: float


@dataclass(frozen=True)
class Settings:
    """The world's properties."""

    friction: float = NOMINAL.friction
    """Sliding friction between robot and ground."""
    payload: float = NOMINAL.payload
    """kg on the robot's back."""
    latency: float = 0.0
    """ms from the controller's command to the motors."""
    strength: float = 1.0
    """Share of the motors' stiffness, damping and greatest torque."""
    slope: float = 0.0
    """degrees by which the ground rises along the world's x axis."""
    ground: float = 1e3 * NOMINAL.contact_time
    """ms, time constant of contacts (MuJoCo's solref): short is hard ground, long is a mat."""

    @property
    def condition(self) -> conditions.Condition:
        """The same in SI units. `strength` is the share of the greatest torque too."""
        return conditions.Condition(
            friction=self.friction,
            payload=self.payload,
            command_delay=1e-3 * self.latency,
            kp=self.strength,
            kd=self.strength,
            slope=math.radians(self.slope),
            contact_time=1e-3 * self.ground,
        )

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """These settings with some replaced; each is cut to its slider's range, and what is no number is left out."""
        good = {
            slider.name: min(max(value, slider.low), slider.high)
            for slider in SLIDERS
            if (value := finite(values.get(slider.name))) is not None
        }
        return replace(self, **good)


SLIDERS = (
    Slider("friction", "Friction", "", 0.1, 1.5, 0.05),
    Slider("payload", "Payload", "kg", 0.0, 1.5, 0.05),
    Slider("latency", "Latency", "ms", 0.0, 40.0, 2.0),
    Slider("strength", "Motor strength", "×", 0.3, 1.2, 0.05),
    Slider("slope", "Slope", "°", -15.0, 15.0, 0.5),
    Slider("ground", "Give of the ground", "ms", 5.0, 80.0, 5.0),
)
"""Every field of `Settings`, with the range that a person may choose from."""

assert tuple(slider.name for slider in SLIDERS) == tuple(field.name for field in fields(Settings))


def finite(value: Any) -> float | None:
    """A number out of JSON, or None. Python reads there NaN, infinities, and whole numbers beyond the largest float."""
    if type(value) not in (int, float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def build_model(robot: Robot, config: ControllerConfig) -> mujoco.MjModel:
    """The robot at the controller twin's time step, with a payload of no weight on its back."""
    spec = load_spec(robot, own_contacts=True, solver_iterations=SOLVER_ITERATIONS, visuals=False)
    base = spec.body(robot.base_body)
    payload = base.add_body(name=PAYLOAD_BODY, pos=[base.ipos[0], base.ipos[1], robot.payload_height])
    payload.explicitinertial = True
    payload.mass, payload.inertia = WEIGHTLESS, [WEIGHTLESS * PAYLOAD_SIZE**2] * 3
    model = spec.compile()
    model.opt.timestep = 1.0 / (config.tick_rate * PHYSICS_PER_TICK)
    # The midphase's bounding boxes are stored about the nominal centre of mass, which a payload moves.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    _free_ground(model)
    return model


def write(model: mujoco.MjModel, settings: Settings) -> None:
    """Give `model` the friction, ground and payload of `settings`. The others act while it walks."""
    wanted = settings.condition
    conditions.set_friction(model, np.array([wanted.friction]))
    conditions.set_contact_time(model, np.array([wanted.contact_time]))
    mass = max(wanted.payload, WEIGHTLESS)
    payload = model.body(PAYLOAD_BODY).id
    if model.body_mass[payload] != mass:
        model.body_mass[payload] = mass
        model.body_inertia[payload] = mass * (2.0 * PAYLOAD_SIZE) ** 2 / 6.0
        mujoco.mj_setConst(model, mujoco.MjData(model))
        _free_ground(model)


def _free_ground(model: mujoco.MjModel) -> None:
    """Let the ground be moved. A level ground lies in the world's own frame, which the compiler and `mj_setConst` note,
    and MuJoCo would from then on not look at where the ground is."""
    model.geom_sameframe[ground_geom(model)] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE


def tilt_ground(model: mujoco.MjModel, floor: int, angle: float, under: np.ndarray) -> None:
    """Tilt the ground to `angle` (rad, rising along x) about the point of it that lies under `under` (x, y, z)."""
    slope = np.tan(ground_angle(model, floor))
    height = model.geom_pos[floor, 2] + slope * (under[0] - model.geom_pos[floor, 0])
    model.geom_pos[floor] = (under[0], under[1], height)
    model.geom_quat[floor] = (np.cos(angle / 2), 0.0, -np.sin(angle / 2), 0.0)


def ground_angle(model: mujoco.MjModel, floor: int) -> float:
    """rad by which the ground rises along x."""
    return float(-2.0 * np.arctan2(model.geom_quat[floor, 2], model.geom_quat[floor, 0]))
