"""One row of the benchmark: train under a protocol, survive being killed, leave one JSON file and one curve."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from walkies import __version__
from walkies.accel.cpu import machine
from walkies.files import write_json, writing
from walkies.gymnasium.learning import VectorTraining, env_spec, init, make_iteration
from walkies.gymnasium.rollout import VectorState
from walkies.gymnasium.state import load_state, save_state
from walkies.lab.published.protocols import Protocol, Row
from walkies.rl import train
from walkies.rl.rollout import Rollout
from walkies.run.saved import checkpoint

RECENT = 100
"""Training episodes whose mean is the training score (CleanRL's openrlbenchmark)."""
EVALUATION_EPISODES = 20
"""Episodes of the evaluation at the end (sb3-contrib's TRPO table)."""
EVALUATION_SEED = 10_000
"""Added to a row's seed for the environment of its evaluation."""
CURVE_POINTS = 100
CHECKPOINTS = 20
"""Checkpoints in one training."""


class DeadAtLimit(gymnasium.Wrapper):
    """A time limit reported as the end of the world, as libraries do that keep one flag for both."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated or truncated, False, info


def make_envs(protocol: Protocol) -> SyncVectorEnv:
    """The environments that a protocol trains in."""
    gymnasium.logger.min_level = gymnasium.logger.ERROR  # -v4 is old, and is what was published
    envs = gymnasium.make_vec(
        protocol.env,
        protocol.recipe.num_envs,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        wrappers=[DeadAtLimit] if protocol.limit_is_death else [],
    )
    assert isinstance(envs, SyncVectorEnv)
    return envs


class Episodes:
    """Counts transitions and keeps the returns of ended training episodes, for the score and the curve."""

    def __init__(self, whole_episodes: bool, total: int):
        self.whole_episodes = whole_episodes
        self.every = total / CURVE_POINTS
        self.steps = 0
        self.count = 0
        self.recent: list[float] = []
        self.pending: list[float] = []
        self.curve: list[tuple[int, float]] = []
        """(transitions, mean return of the episodes that ended since the previous point)."""

    def watch(self, record: Rollout) -> None:
        """Take in a rollout; of whole episodes only those that are learned from."""
        done, returns = np.asarray(record.done), np.asarray(record.episode_returns)
        if self.whole_episodes:
            done = done & (np.cumsum(done, axis=0) == 1)
        self.add(int(np.asarray(record.valid).sum()), returns[done].tolist())

    def add(self, steps: int, ended: list[float]) -> None:
        """Take in the number of transitions and the returns of the episodes that ended during them."""
        self.steps += steps
        self.count += len(ended)
        self.recent = (self.recent + ended)[-RECENT:]
        self.pending += ended
        if self.pending and self.steps >= self.every * (len(self.curve) + 1):
            self.curve.append((self.steps, sum(self.pending) / len(self.pending)))
            self.pending = []

    def save(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("steps", "count", "recent", "pending", "curve")}

    def load(self, saved: dict[str, Any]) -> None:
        for name, value in saved.items():
            setattr(self, name, value)
        self.curve = [(steps, mean) for steps, mean in self.curve]


class Trial:
    """A row while it is trained."""

    def __init__(self, row: Row):
        self.row = row
        protocol = row.protocol
        self.envs = make_envs(protocol)
        self.episodes = Episodes(protocol.recipe.whole_episodes, protocol.steps)
        self.training = init(protocol.recipe, self.envs, row.seed, protocol.clip_observations)
        self.iterate = make_iteration(protocol.recipe, self.envs, self.episodes.watch)
        self.seconds = 0.0

    @property
    def finished(self) -> bool:
        return self.episodes.steps >= self.row.protocol.steps

    def advance(self) -> None:
        """One iteration."""
        started = time.monotonic()
        self.training, metrics = self.iterate(self.training)
        jax.block_until_ready(metrics)
        self.seconds += time.monotonic() - started

    def save(self, path: Path) -> None:
        """Write all of it as one checkpoint."""
        actors = self.training.actors
        header = {
            "row": self.row.key,
            "seconds": self.seconds,
            "episodes": self.episodes.save(),
            "envs": [save_state(env) for env in self.envs.envs],
            "actors": {name: np.asarray(value).tolist() for name, value in actors._asdict().items()},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.save(path, self.training.state, header)

    def load(self, path: Path) -> None:
        """Go on where `path` was saved, bit for bit."""
        state, header = checkpoint.load(path, self.training.state)
        like = self.training.actors
        actors = VectorState(
            *(np.array(header["actors"][name], value.dtype) for name, value in like._asdict().items())
        )  # fmt: skip
        self.training = VectorTraining(state, actors)
        self.seconds = header["seconds"]
        self.episodes.load(header["episodes"])
        for env, saved in zip(self.envs.envs, header["envs"], strict=True):
            load_state(env, saved)


def evaluate(trial: Trial) -> list[float]:
    """Returns of EVALUATION_EPISODES episodes with the likeliest actions."""
    recipe = trial.row.protocol.recipe
    policy = train.make_policy(recipe, env_spec(trial.envs))
    params, normalizer = trial.training.state.learner.params.policy, trial.training.state.normalizers.policy

    @jax.jit
    def act(observation: jax.Array) -> jax.Array:
        return policy.action(policy.apply(params, normalizer(observation)).mode())

    def choose(observation: np.ndarray) -> np.ndarray:
        return np.asarray(act(jnp.asarray(observation, jnp.float32)))

    return evaluate_policy(trial.row, choose)


def evaluate_policy(row: Row, choose: Callable[[np.ndarray], Any]) -> list[float]:
    """Returns of EVALUATION_EPISODES episodes in one new environment; choose: observation → action."""
    env = gymnasium.make(row.protocol.env)
    returns = []
    observation, _ = env.reset(seed=EVALUATION_SEED + row.seed)
    for _ in range(EVALUATION_EPISODES):
        total, done = 0.0, False
        while not done:
            observation, reward, terminated, truncated, _ = env.step(choose(observation))
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
        observation, _ = env.reset()
    env.close()
    return returns


def train_row(row: Row, out: Path, say: Callable[[str], None] = lambda text: None) -> Path:
    """Train `row`, from its checkpoint in `out` if there is one; the finished row's JSON file."""
    path = out / "checkpoints" / f"{row.key}.safetensors"
    trial = Trial(row)
    if path.exists():
        trial.load(path)
        say(f"{row.key}: resumes after {trial.episodes.steps:,} steps")
    total = row.protocol.steps
    saved = trial.episodes.steps
    while not trial.finished:
        trial.advance()
        if trial.episodes.steps - saved >= total / CHECKPOINTS and not trial.finished:
            saved = trial.episodes.steps
            trial.save(path)
            say(_progress(row, trial))
    written = write_row(row, out, trial.episodes, evaluate(trial), trial.seconds)
    trial.envs.close()
    path.unlink(missing_ok=True)
    return written


def write_row(row: Row, out: Path, episodes: Episodes, evaluation: list[float], seconds: float) -> Path:
    """Write the curve and then, last of all, the row that counts as finished."""
    curve = out / "curves" / f"{row.key}.csv"
    with writing(curve) as part, part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["steps", "episode_return"])
        writer.writerows((steps, f"{mean:.2f}") for steps, mean in episodes.curve)
    finished = result_path(row, out)
    result = {
        "protocol": row.protocol.name,
        "env": row.protocol.env,
        "seed": row.seed,
        "steps": episodes.steps,
        "training_return": sum(episodes.recent) / len(episodes.recent),
        "training_episodes": episodes.count,
        "evaluation_return": sum(evaluation) / len(evaluation),
        "evaluation_deviation": float(np.std(evaluation)),
        "seconds": round(seconds, 1),
        **circumstances(row),
    }
    write_json(finished, result, indent=1)
    return finished


def result_path(row: Row, out: Path) -> Path:
    """Where a finished row lies."""
    return out / "rows" / f"{row.key}.json"


def circumstances(row: Row) -> dict[str, Any]:
    """Machine and versions, to be kept beside a result."""
    others = ["stable-baselines3", "sb3-contrib", "torch"] if row.protocol.library is not None else []
    packages = ["jax", "gymnasium", "mujoco", "numpy", *others]
    return {
        "machine": machine(),
        "versions": {"walkies": __version__, **{name: version(name) for name in packages}},
    }


def _progress(row: Row, trial: Trial) -> str:
    steps, recent = trial.episodes.steps, trial.episodes.recent
    mean = f"{sum(recent) / len(recent):.1f}" if recent else "-"
    return f"{row.key}: {steps:>9,} of {row.protocol.steps:,} steps, return {mean}, {trial.seconds:.0f} s"
