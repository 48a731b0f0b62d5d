"""Draw robots: from a `Randomization` and the nominal parameters, n slightly different robots.

Every draw starts from the nominal parameters, so nothing accumulates over resets. A quantity whose range is a single
value consumes no random numbers.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

from walkies.accel import random
from walkies.later import Array, jax, jnp
from walkies.sim.actuation import Delays
from walkies.sim.base import Params
from walkies.tasks.randomization import Contact, Randomization, Range
from walkies.tasks.randomization.bodies import add_payload, transform_bodies

RUN_SEED = 123
"""Of robots that are drawn once for the run."""
_TORSION_KEY = 7
"""Folded into the key of a draw for torsional friction."""


class Drawn(NamedTuple):
    """One draw for n robots: physics, sensor errors, and the critic's observation of them."""

    params: Params
    delays: Delays
    sensor_bias: Array
    """(n, 3 + 3 + nu): added to the gyro; rotation vector of the IMU's mounting; added to joint angles."""
    down: Array | None
    """(n, 3): unit vector of gravity, world frame; None on level ground."""
    privileged: Array
    """(n, `privileged_size`): the factors, centred and scaled to about ±1."""


PRIVILEGED = 9
"""Numbers the critic always observes: friction, total mass, payload, trunk x, kp, kd, strength, two latencies."""


def privileged_size(config: Randomization) -> int:
    """How many numbers the critic observes about a drawn robot."""
    return PRIVILEGED + len(_told_contact(config.contact))


def longest_imu_delay(config: Randomization, timestep: float) -> int:
    """Physics steps, jitter included."""
    return sum(round(late.high / timestep) for late in (config.latency.imu_delay, config.latency.imu_jitter))


def draw(key: Array, num_envs: int, config: Randomization, nominal: Params, timestep: float) -> Drawn:
    """Draw `num_envs` robots around `nominal` (leaves with leading axis 1); delays are rounded to physics steps.

    timestep: s, one physics step.
    """
    if config.robots == "run":
        key = jax.random.key(RUN_SEED, impl=jax.random.key_impl(key))
    n, bodies, joints = num_envs, nominal.body_mass.shape[1], nominal.kp.shape[1]
    draws = _Draws(key, n, config, bodies, joints)
    one = lambda record, name: draws.of(record, name)[:, 0]  # noqa: E731
    body, contact, motor, latency, sensing = (
        config.body, config.contact, config.motor, config.latency, config.sensing,
    )  # fmt: skip

    mass, com, inertia = _bodies(nominal, draws, config)
    friction, strength = one(contact, "friction"), draws.of(motor, "strength")
    kp, kd = draws.of(motor, "kp"), draws.of(motor, "kd")
    delays = {name: one(latency, name) for name in ("command_delay", "imu_delay")}
    steps = {name: jnp.round(seconds / timestep).astype(jnp.int32) for name, seconds in delays.items()}
    down = None if contact.slope.off else _tilted(one(contact, "slope"), 2.0 * jnp.pi * draws.direction)
    softness, depth = one(contact, "softness"), one(contact, "depth")
    params = nominal._replace(
        body_mass=mass,
        body_ipos=com,
        body_inertia=inertia,
        friction=friction,
        torsion=nominal.torsion * _torsion(key, n, contact.torsion),
        kp=nominal.kp * kp * strength,
        kd=nominal.kd * kd * strength,
        torque_limit=nominal.torque_limit * strength,
        dof_damping=nominal.dof_damping * draws.of(motor, "damping"),
        dof_frictionloss=nominal.dof_frictionloss * draws.of(motor, "frictionloss"),
        dof_armature=nominal.dof_armature * draws.of(motor, "armature"),
        gravity=nominal.gravity if down is None else jnp.linalg.norm(nominal.gravity) * down,
        contact_solref=_softened(nominal.contact_solref, softness),
        contact_solimp=jnp.broadcast_to(nominal.contact_solimp, (n, 5)).at[:, 2].multiply(depth),
    )
    parts = [(sensing, name) for name in ("gyro_bias", "imu_tilt", "imu_yaw", "encoder_bias")]
    factors = [
        friction - 1.0,
        jnp.sum(mass, axis=1) / jnp.sum(nominal.body_mass) - 1.0,
        one(body, "payload"),
        one(body, "com_x") / 0.02,
        kp[:, 0] - 1.0,
        kd[:, 0] - 1.0,
        jnp.mean(strength, axis=1) - 1.0,
        delays["command_delay"] / 0.02,
        delays["imu_delay"] / 0.02,
        *(one(contact, name) - 1.0 for name in _told_contact(contact)),
    ]
    return Drawn(
        params=params,
        delays=Delays(steps["command_delay"], steps["imu_delay"]),
        sensor_bias=jnp.concatenate([draws.of(*part) for part in parts], axis=1),
        down=down,
        privileged=jnp.stack(factors, axis=1),
    )


class _Draws:
    """The random numbers of one draw, quantity by quantity; quantities with a single value consume none."""

    def __init__(self, key: Array, num_envs: int, config: Randomization, bodies: int, joints: int) -> None:
        self._size = dict.fromkeys(("strength", "frictionloss", "damping", "armature", "encoder_bias"), joints)
        self._size |= {"mass": bodies, "stretch": 3 * bodies, "shear": 3 * bodies, "link_com": 3 * (bodies - 1)}
        self._size |= {"gyro_bias": 3, "imu_tilt": 2}
        self._num_envs = num_envs
        self._where: dict[str, slice] = {}
        start = 0
        for record in (config.body, config.contact, config.motor, config.latency, config.sensing):
            for field in fields(record):
                if not getattr(record, field.name).fixed and not field.name.endswith(("_noise", "_jitter", "torsion")):
                    self._where[field.name] = slice(start, start := start + self._size.get(field.name, 1))
        self._uniform = random.uniform(key, (num_envs, start if config.contact.slope.off else start + 1))

    @property
    def direction(self) -> Array:
        """(n,) in [0, 1): direction of the slope, in turns."""
        return self._uniform[:, -1]

    def of(self, record: Any, name: str) -> Array:
        """(n, size) values of the quantity `record.name`."""
        bounds: Range = getattr(record, name)
        if name not in self._where:
            return jnp.full((self._num_envs, self._size.get(name, 1)), bounds.value(0.0))
        return bounds.value(self._uniform[:, self._where[name]])


def _bodies(nominal: Params, draws: _Draws, config: Randomization) -> tuple[Array, Array, Array]:
    """Masses (n, b), centres of mass (n, b, 3) and inertias (n, b, 6)."""
    names = ("mass", "stretch", "shear", "com_x", "com_y", "com_z", "link_com")
    factor, stretch, shear, x, y, z, links = (draws.of(config.body, name) for name in names)
    payload, payload_x, height = (draws.of(config.body, name) for name in ("payload", "payload_x", "payload_height"))
    shape = (*factor.shape, 3)
    mass, com, inertia = transform_bodies(
        nominal.body_mass,
        nominal.body_ipos,
        nominal.body_inertia,
        factor,
        stretch.reshape(shape),
        shear.reshape(shape),
        jnp.concatenate([x, y, z, links], axis=1).reshape(shape),
    )
    at = jnp.concatenate([com[:, 0, :1] + payload_x, com[:, 0, 1:2], height], axis=1)
    base_mass, base_com, base_inertia = add_payload(mass[:, 0], com[:, 0], inertia[:, 0], payload[:, 0], at)
    return mass.at[:, 0].set(base_mass), com.at[:, 0].set(base_com), inertia.at[:, 0].set(base_inertia)


def _torsion(key: Array, num_envs: int, torsion: Range) -> Array:
    """(n,) torsional friction, ×, from random numbers of its own: all else is the same with and without it."""
    if torsion.fixed:
        return jnp.full(num_envs, torsion.value(0.0))
    own = jax.random.fold_in(key, _TORSION_KEY)
    return torsion.value(random.uniform(own, (num_envs, 1))[:, 0])


def _tilted(angle: Array, direction: Array) -> Array:
    """Unit vectors (n, 3) of gravity on ground that falls by `angle` (n,) rad towards `direction` (n,) rad."""
    sin = jnp.sin(angle)
    return jnp.stack([sin * jnp.cos(direction), sin * jnp.sin(direction), -jnp.cos(angle)], axis=1)


def _softened(solref: Array, softness: Array) -> Array:
    """solref (n, 2) with the time constant multiplied by `softness` (n,), the damping ratio kept.

    Where solref is (−stiffness, −damping), that is stiffness / softness² and damping / softness.
    """
    s = softness[:, None]
    standard = solref * jnp.concatenate([s, jnp.ones_like(s)], axis=1)
    direct = solref / jnp.concatenate([s * s, s], axis=1)
    return jnp.where(solref[:, :1] > 0, standard, direct)


def _told_contact(contact: Contact) -> list[str]:
    """What the critic observes of the ground besides its friction: the randomized quantities.

    Not the torsional friction: until it grows (`WalkConfig.twisting`) training is the same with and without it.
    """
    return [name for name in ("softness", "depth") if not getattr(contact, name).fixed]
