"""A simulator with no dynamics: joints jump to their targets, the base stays where it was put.

The force it is given, and the targets of the step, it keeps in the warm start, where tests find them.
"""

from functools import cache

import jax
import jax.numpy as jnp

from walkies.robots import get_robot, load_model
from walkies.sim import nominal_params
from walkies.sim.base import Readings, State
from walkies.tasks.walk import Walk, WalkConfig


class StillSimulator:
    """Implements `walkies.sim.base.Simulator`; a robot whose base is below 0, or whose target is no number, has
    blown up."""

    name = "still"
    substeps = 5
    timestep = 0.004

    def __init__(self, robot):
        self.model = load_model(robot)
        self.spheres = (*robot.foot_geoms, *robot.knee_geoms, *robot.torso_geoms)

    def prepare(self, params, num_envs):
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (num_envs, *x.shape[1:])), params)

    def step(self, params, state, targets, force=None):
        n, steps, _ = targets.shape
        target = targets[:, -1] if steps else state.qpos[:, 7:]
        spheres = len(self.spheres)
        ok = (state.qpos[:, 2] > 0.0) & jnp.isfinite(target).all(axis=1)
        target = jnp.where(ok[:, None], target, state.qpos[:, 7:])
        qpos = jnp.concatenate([state.qpos[:, :7], target], axis=1)
        w, x, y, z = (state.qpos[:, 3 + i] for i in range(4))
        gravity = -jnp.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1)
        readings = Readings(
            contact_distance=jnp.full((n, spheres), 0.1),
            contact_force=jnp.zeros((n, spheres, 3)),
            contact_position=jnp.zeros((n, spheres, 3)),
            contact_velocity=jnp.zeros((n, spheres, 3)),
            joint_torque=jnp.zeros((n, 12)),
            base_acceleration=jnp.zeros((n, 3)),
            imu=jnp.repeat(jnp.concatenate([state.qvel[:, 3:6], gravity], axis=1)[:, None], steps, axis=1),
            ok=ok,
        )
        given = state.qacc_warmstart
        if force is not None:
            given = given.at[:, :3].set(force).at[:, 3 : 3 + steps].set(targets[:, :, 0])
        return State(qpos, state.qvel, given), readings


@cache
def still_walk(config: WalkConfig) -> Walk:
    """The walking task on a `StillSimulator`, its functions compiled."""
    walk = plain_walk(config)
    walk.reset, walk.step = jax.jit(walk.reset, static_argnums=1), jax.jit(walk.step)
    return walk


def plain_walk(config: WalkConfig) -> Walk:
    """The walking task on a `StillSimulator`."""
    robot = get_robot("pupper")
    simulator = StillSimulator(robot)
    return Walk(robot, simulator, nominal_params(simulator.model, robot), config)
