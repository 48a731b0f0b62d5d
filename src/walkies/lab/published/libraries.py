"""The same trainings by public libraries, for figures measured on this machine: their returns and their speed.

Stable-Baselines3 and sb3-contrib with the settings of our protocols. They come with PyTorch, so they are an extra of
their own (`compare`). These rows start again if they are killed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import stable_baselines3
import torch
from sb3_contrib import TRPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from walkies.errors import UserError
from walkies.files import write_json
from walkies.lab.published import trials
from walkies.lab.published.protocols import ACTION_SIZES, Protocol, Row
from walkies.rl.normalize import OBSERVATION_CLIP
from walkies.rl.recipes import Recipe
from walkies.rl.samples.batches import REWARD_CLIP


def make_model(row: Row) -> Any:
    """The library's algorithm under the row's protocol, in environments seeded like ours.

    Raises:
        UserError: the recipe is neither PPO nor TRPO.
    """
    protocol, recipe = row.protocol, row.protocol.recipe
    trials.make_envs(protocol).close()  # silences Gymnasium's advice to take newer environments
    envs: Any = DummyVecEnv([lambda: _make_env(protocol)] * recipe.num_envs)
    envs.seed(row.seed)
    if recipe.normalize_observations or recipe.normalize_reward:
        envs = VecNormalize(
            envs,
            norm_obs=recipe.normalize_observations,
            norm_reward=recipe.normalize_reward,
            clip_obs=OBSERVATION_CLIP,
            clip_reward=REWARD_CLIP,
            gamma=recipe.gamma,
        )
    samples = recipe.num_envs * recipe.horizon
    common = dict(
        n_steps=recipe.horizon,
        batch_size=samples // recipe.minibatches,
        gamma=recipe.gamma,
        gae_lambda=recipe.lam,
        seed=row.seed,
        device="cpu",
        policy_kwargs=dict(
            net_arch=dict(pi=list(recipe.hidden), vf=list(recipe.critic_hidden)), activation_fn=torch.nn.Tanh
        ),
    )
    if recipe.update == "natural_step":
        return TRPO("MlpPolicy", envs, **common, **_trpo(protocol))
    if recipe.update == "minibatch_epochs":
        return stable_baselines3.PPO("MlpPolicy", envs, **common, **_ppo(recipe))
    raise UserError(f"{row.key}: update is {recipe.update!r}; Stable-Baselines3 is asked for PPO and TRPO only")


def _make_env(protocol: Protocol) -> gymnasium.Env:
    env = gymnasium.make(protocol.env)
    return Monitor(trials.DeadAtLimit(env) if protocol.limit_is_death else env)


def _ppo(recipe: Recipe) -> dict[str, Any]:
    rate = recipe.learning_rate
    return {
        "learning_rate": (lambda left: rate * left) if recipe.schedule == "linear" else rate,
        "n_epochs": recipe.epochs,
        "clip_range": recipe.objective_coefficient,
        "clip_range_vf": recipe.value_clip,
        "ent_coef": recipe.entropy_coefficient,
        "vf_coef": 0.25,  # of a squared error without ½: CleanRL's 0.5 of a squared error with ½
        "max_grad_norm": recipe.max_grad_norm,
    }


def _trpo(protocol: Protocol) -> dict[str, Any]:
    """sb3-contrib's KL of a Gaussian is the mean over the action's components; see `protocols.mean_kl`."""
    recipe, size = protocol.recipe, ACTION_SIZES.get(protocol.env, 1)
    return {
        "learning_rate": recipe.critic_learning_rate,
        "n_critic_updates": recipe.epochs,
        "cg_max_steps": recipe.cg_iterations,
        "cg_damping": recipe.damping / size,
        "target_kl": recipe.target_kl / size,
    }


class _Watch(BaseCallback):
    """Collects the library's training episodes as ours are collected."""

    def __init__(self, episodes: trials.Episodes):
        super().__init__()
        self.episodes = episodes
        self.ended: list[float] = []

    def _on_step(self) -> bool:
        self.ended += [float(info["episode"]["r"]) for info in self.locals["infos"] if "episode" in info]
        return True

    def _on_rollout_end(self) -> None:
        self.episodes.add(self.num_timesteps - self.episodes.steps, self.ended)
        self.ended = []


def as_library(protocol: Protocol) -> Protocol:
    """The same settings, as a protocol of a library."""
    return replace(protocol, library=protocol.library or "sb3")


def train_row(row: Row, out: Path) -> Path:
    """Train the library's algorithm to the protocol's number of steps; the finished row's JSON file."""
    torch.set_num_threads(1)
    model, episodes = make_model(row), trials.Episodes(False, row.protocol.steps)
    started = time.monotonic()
    model.learn(row.protocol.steps, callback=_Watch(episodes))
    seconds = time.monotonic() - started
    envs = model.get_env()
    if isinstance(envs, VecNormalize):
        envs.training = False

    def choose(observation: np.ndarray) -> Any:
        seen = envs.normalize_obs(observation) if isinstance(envs, VecNormalize) else observation
        return model.predict(seen, deterministic=True)[0]

    return trials.write_row(row, out, episodes, trials.evaluate_policy(row, choose), seconds)


class Speed(NamedTuple):
    """Seconds per environment step, acting and learning together."""

    key: str
    ours: float
    theirs: float


def speed(row: Row, steps: int = 50_000) -> Speed:
    """Time `steps` steps of our training and of the library's, alternating iteration by iteration; the median of each.

    Neither compilation nor the first two iterations count. row: one whose protocol names a library.
    """
    torch.set_num_threads(1)
    model, trial = make_model(row), trials.Trial(row)
    samples = row.protocol.recipe.num_envs * row.protocol.recipe.horizon
    pauses = _Pauses(trial.advance)
    model.learn((-(-steps // samples) + 3) * samples, callback=pauses)
    theirs, ours = pauses.theirs[2:], pauses.ours[2:]
    return Speed(row.key, statistics.median(ours) / samples, statistics.median(theirs) / samples)


def write_speed(result: Speed, row: Row, out: Path) -> Path:
    """Keep a measurement beside the finished rows, as JSON."""
    path = out / "speed" / f"{row.key}.json"
    write_json(path, {**result._asdict(), **trials.circumstances(row)}, indent=1)
    return path


class _Pauses(BaseCallback):
    """Stops the library's clock at the start of each of its iterations to let ours run."""

    def __init__(self, run_ours: Callable[[], None]):
        super().__init__()
        self.run_ours = run_ours
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.resumed: float | None = None

    def _on_rollout_start(self) -> None:
        paused = time.monotonic()
        if self.resumed is not None:
            self.theirs.append(paused - self.resumed)
        self.run_ours()
        self.resumed = time.monotonic()
        self.ours.append(self.resumed - paused)

    def _on_step(self) -> bool:
        return True
