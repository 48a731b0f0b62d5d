"""An environment of your own: three pure functions, and every algorithm learns in it.

    python examples/own_environment.py

A puck of 1 kg slides on ice and is pushed to the middle. Every twentieth iteration prints how far it is from there.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from walkies.accel.cpu import use_cpu
from walkies.mdp import Box, Observation, Outcome
from walkies.rl import train
from walkies.rl.recipes import PPO


@dataclass(frozen=True)
class Puck:
    """State and observation: x, y (m), their velocities (m/s). Action: force in x and y (N)."""

    dt: float = 0.1
    edge: float = 2.0
    """m; beyond it an episode ends."""
    time_limit: int | None = 50

    # Numbers that learning must know. `Box(size, low, high)` is a continuous space, `Discrete(n)` one of n actions.
    observation_size = 4
    privileged_size = 4
    action_space = Box(2, -1.0, 1.0)

    def reset(self, key, num_envs):
        """Where episodes begin, for `num_envs` pucks at once."""
        place = jax.random.uniform(key, (num_envs, 2), minval=-1.0, maxval=1.0)
        return jnp.concatenate([place, jnp.zeros_like(place)], axis=1)

    def observe(self, state):
        """What the policy sees, and what the value function sees: here the state, both."""
        return Observation(state, state)

    def step(self, state, action, key):
        """One step of every puck. Nothing is reset here, and the time limit is not applied here: training does both."""
        place, velocity = state[:, :2], state[:, 2:]
        velocity = velocity + self.dt * action
        place = place + self.dt * velocity
        distance = jnp.linalg.norm(place, axis=1)
        off = distance > self.edge
        reward = -distance - 0.1 * jnp.sum(action**2, axis=1) - 50.0 * off
        return jnp.concatenate([place, velocity], axis=1), Outcome(reward, off, {"distance": distance})


def main():
    use_cpu(None)  # JAX compiles faster, and keeps what it compiled for the next time
    env = Puck()
    recipe = replace(PPO, num_envs=128, horizon=50, hidden=(32, 32), critic_hidden=(32, 32), initial_std=0.5)
    state = train.init(recipe, env, jax.random.key(0))
    iterate = train.make_iteration(recipe, env)  # acting and learning, one compiled function
    for iteration in range(41):
        state, metrics = iterate(state)
        if iteration % 20 == 0:
            print(f"{iteration:3}: mean distance {metrics['distance']:.2f} m, return {metrics['episode_return']:.1f}")


if __name__ == "__main__":
    main()
