"""An algorithm of your own: an objective is one function, and a recipe that names it is a new algorithm.

    python examples/own_algorithm.py

PPO clips the ratio ρ = π_θ(a | s) / π_old(a | s), and where it is clipped the gradient is zero. Simple Policy
Optimization (Xie et al. 2024) holds ρ near 1 by a penalty instead, whose gradient leads back: it maximizes the mean of
A ρ − |A| (ρ − 1)² / (2 ε). One seed of each is trained here, which shows that both learn and not which is better.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from walkies.accel.cpu import use_cpu
from walkies.envs.classic import CartPole
from walkies.rl import train
from walkies.rl.objectives import OBJECTIVES, ratio
from walkies.rl.recipes import PPO


def simple(terms, coefficient):
    """−A ρ + |A| (ρ − 1)² / (2 ε) (samples,), ε = coefficient. It is minimized, hence the signs."""
    rho = ratio(terms)
    return -terms.advantage * rho + jnp.abs(terms.advantage) * (rho - 1.0) ** 2 / (2.0 * coefficient)


# Tables like this one hold the three choices of an algorithm: walkies.rl.advantages.ADVANTAGES,
# walkies.rl.objectives.OBJECTIVES, walkies.rl.updates.UPDATES. A recipe names one entry of each.
OBJECTIVES["simple"] = simple

SMALL = replace(PPO, num_envs=64, horizon=32, hidden=(32, 32), critic_hidden=(32, 32), learning_rate=1e-3)
SIMPLE = replace(SMALL, objective="simple")


def main():
    use_cpu(None)  # JAX compiles faster, and keeps what it compiled for the next time
    env = CartPole(time_limit=200)
    for name, recipe in {"PPO": SMALL, "SPO": SIMPLE}.items():
        state = train.init(recipe, env, jax.random.key(0))
        iterate = train.make_iteration(recipe, env)
        for _ in range(40):
            state, metrics = iterate(state)
        print(f"{name}: the pole stands for {metrics['episode_length']:.0f} of {env.time_limit} steps")


if __name__ == "__main__":
    main()
