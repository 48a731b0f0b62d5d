"""Stable-Baselines3's PPO on a robot of walkies: the vector of robots as a VecEnv.

    pip install 'walkies[compare]'                      # Stable-Baselines3 and PyTorch, which `make setup` leaves out
    python examples/sb3_on_walkies.py                   # a hundred thousand steps of the dog called go

`PPO("MlpPolicy", gymnasium.make("walkies/Velocity-v0", robot="go"))` works as well, with one robot. Robots step faster
together, and Stable-Baselines3 has a vector interface of its own, which is 40 lines here.
"""

import os
import sys

import gymnasium
import numpy as np

import walkies  # noqa: F401  registers the environments

try:
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecEnv, VecMonitor
except ImportError:
    sys.exit("this example needs Stable-Baselines3: pip install 'walkies[compare]'")

FAST = bool(os.environ.get("WALKIES_FAST"))  # a few seconds, to see that it runs


class Robots(VecEnv):
    """A Gymnasium vector environment as Stable-Baselines3 takes it: episodes begin anew in the step that ends one."""

    def __init__(self, envs):
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self):
        return self.envs.reset(seed=self._seeds[0])[0]

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        seen, rewards, terminated, truncated, infos = self.envs.step(self.actions)
        done = terminated | truncated
        told = [{} for _ in done]
        for i in np.flatnonzero(done):  # the value function is asked of the state that a time limit cut off
            told[i] = {"terminal_observation": infos["final_obs"][i], "TimeLimit.truncated": bool(truncated[i])}
        return seen, rewards.astype(np.float32), done, told

    def close(self):
        self.envs.close()

    def get_attr(self, name, indices=None):
        return [getattr(self.envs, name, None)] * self.num_envs

    def set_attr(self, name, value, indices=None):
        setattr(self.envs, name, value)  # all robots are one environment

    def env_method(self, name, *args, indices=None, **kwargs):
        return [getattr(self.envs, name)(*args, **kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper, indices=None):
        return [False] * self.num_envs


def main():
    num_envs = 8 if FAST else 64
    envs = gymnasium.make_vec("walkies/Velocity-v0", num_envs, robot="go", autoreset_mode="SameStep")
    model = PPO("MlpPolicy", VecMonitor(Robots(envs)), n_steps=16 if FAST else 64, batch_size=64, seed=0, verbose=1,
                device="cpu")  # fmt: skip
    model.learn(256 if FAST else 100_000)
    seen = model.env.reset()
    actions, _ = model.predict(seen, deterministic=True)
    print(f"actions of {len(actions)} robots, {actions.shape[1]} joints each")
    envs.close()


if __name__ == "__main__":
    main()
