"""PPO of walkies in an environment of Gymnasium: any vector environment with flat observations.

    python examples/ppo_on_gymnasium.py

Needs the extra `gym`, which `make setup` installs. The environments step one by one in NumPy; acting and learning are
compiled.
"""

from dataclasses import replace

import gymnasium

from walkies.accel.cpu import use_cpu
from walkies.gymnasium import learning
from walkies.rl.recipes import PPO

ITERATIONS = 30


def report(iteration, metrics):
    """Called after every iteration."""
    if iteration % 10 == 9:
        print(f"{iteration + 1:3}: return {metrics['episode_return']:.0f} of 500, KL {metrics['kl']:.4f}")


def main():
    use_cpu(None)  # JAX compiles faster, and keeps what it compiled for the next time
    envs = gymnasium.make_vec("CartPole-v1", num_envs=8)
    # The recipe's number of environments is that of the vector.
    recipe = replace(PPO, num_envs=8, horizon=128, hidden=(64, 64), critic_hidden=(64, 64), learning_rate=1e-3)
    training, returns = learning.run(recipe, envs, seed=0, iterations=ITERATIONS, report=report)
    print(f"return {returns[1]:.0f} at first, {returns[-1]:.0f} at the end")
    envs.close()

    # What was learned: weights and biases of each layer, and the statistics that observations are normalized by.
    policy = training.state.learner.params.policy
    print("the policy's layers:", [weights.shape for weights, bias in policy.layers])


if __name__ == "__main__":
    main()
