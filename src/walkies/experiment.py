"""One training from start to finish: wires a robot, a task, a simulator and a recipe, and fills the run folder.

Progress display and loggers are passed in as callbacks; the schedule of training never reads the clock, `minutes` only
decides when to stop. A run that is killed goes on from its last checkpoint bit for bit.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import jax
import tyro

from walkies.errors import UserError
from walkies.files import write_json
from walkies.physics import make_simulator, nominal_params
from walkies.rl import checkpoint, train
from walkies.rl.recipes import PPO, Recipe
from walkies.robots import get_robot
from walkies.runs import RunFolder, from_dict, refuse_unwritable, to_dict, versions
from walkies.tasks.randomization import named_set
from walkies.tasks.walk import Walk, WalkConfig

PUPPER_RECIPE = replace(
    PPO,
    num_envs=512,
    horizon=24,
    resets="rollout",
    time_limits="rollout_end",
    stagger=True,
    gamma=0.97,
    lam=0.9,
    hidden=(128, 64),
    critic_hidden=(64, 64),
    activation="elu",
    networks="native",
    bound="mean",
    initial_std=0.5,
    learning_rate=1e-3,
    schedule="kl",
    target_kl=0.02,
    epochs=3,
    minibatches=12,
    entropy_coefficient=0.001,
)
"""PPO with what walks soonest on two cores; docs/study.md has the search."""


@dataclass(frozen=True)
class TrainConfig:
    """One training."""

    robot: tyro.conf.Positional[str] = "pupper"
    """Which robot."""
    minutes: float | None = None
    """Stop training after this many minutes, compilation included. Default: 4.8, or no limit where steps is given."""
    steps: int | None = None
    """Stop after this many control steps over all robots (rounded up to whole iterations)."""
    seed: int = 0
    """Of everything random. The same seed, machine, thread count and steps give the same policy bit for bit."""
    out: Path | None = None
    """Run folder. Default: runs/<robot>-<seed>, with a number behind it where that is taken."""
    simulator: Literal["native", "mujoco"] = "native"
    """native: fast on CPUs. mujoco: the reference, some 30 times slower."""
    threads: int | None = None
    """CPU threads. Default: all cores."""
    resume: bool = False
    """Go on with the run in `out`, under its own configuration, from its last checkpoint."""
    init_from: Path | None = None
    """Run folder whose trained policy this one starts from, for instance under changed rewards."""
    checkpoint_every: int = 50
    """Iterations between checkpoints."""
    exam_episodes: int = 100
    """Episodes of the examination at the end; 0 for none."""
    film: bool = True
    """Make a video at the end."""
    view: bool = False
    """Open a page on this machine to watch it learn; `walkies train` prints where."""
    wandb: str | None = None
    """Also log to this Weights & Biases project; needs the extra `wandb`."""
    randomization: Literal["none", "course", "walkies"] | None = None
    """Ready set of everything that is randomized, in place of --task.randomization; walkies is the default."""
    task: WalkConfig = field(default_factory=WalkConfig)
    """The task."""
    recipe: Recipe = PUPPER_RECIPE
    """The learning algorithm."""


def expanded(config: TrainConfig) -> TrainConfig:
    """The same configuration with the ready set of --randomization written out in its task."""
    if config.randomization is None:
        return config
    chosen = named_set(config.randomization)
    if config.task.randomization not in (WalkConfig().randomization, chosen):
        raise UserError(
            f"--randomization {config.randomization}: got values under --task.randomization as well; give one or the "
            "other (values start from the set walkies)"
        )
    return replace(config, randomization=None, task=replace(config.task, randomization=chosen))


def build(config: TrainConfig) -> Walk:
    """The environment that a configuration describes.

    Trains at the model's own few solver iterations. Contacts between the robot's own parts exist in `mujoco` only.
    """
    config = expanded(config)
    robot = get_robot(config.robot)
    simulator = make_simulator(config.simulator, robot, threads=config.threads)
    return Walk(robot, simulator, nominal_params(simulator.model, robot), config.task)


class Training:
    """The state of one training and what may be done with it."""

    def __init__(self, config: TrainConfig):
        self.config = config
        self.env = build(config)
        self.iteration = train.make_iteration(config.recipe, self.env)
        self.state = train.init(config.recipe, self.env, jax.random.key(config.seed))
        self.steps_per_iteration = config.recipe.num_envs * config.recipe.horizon
        self.seconds = 0.0
        """Time spent learning, over all of the run's parts. For the curves only."""

    def advance(self) -> dict[str, float]:
        """One iteration; returns its metrics as floats."""
        self.state, metrics = self.iteration(self.state)
        return {name: float(value) for name, value in jax.device_get(metrics).items()}

    @property
    def steps(self) -> int:
        """Control steps taken so far."""
        return int(self.state.iteration) * self.steps_per_iteration

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint; older ones than the last three are removed."""
        folder.checkpoints.mkdir(parents=True, exist_ok=True)
        header = {"config": to_dict(self.config), "steps": self.steps, "seconds": self.seconds}
        checkpoint.save(folder.checkpoints / f"{self.steps:012d}.safetensors", self.state, header)
        for old in sorted(folder.checkpoints.glob("[0-9]*.safetensors"))[:-3]:
            old.unlink()

    def restore(self, path: Path) -> None:
        """Go on exactly where `path` was saved."""
        self.state, header = checkpoint.load(path, self.state)
        self.seconds = float(header["seconds"])

    def start_from(self, folder: RunFolder) -> None:
        """Take networks and observation statistics from the last checkpoint of a run; everything else stays new.

        The runs may differ in anything but the networks' shapes: number of robots, rewards, randomization.
        """
        path = _to_start_from(folder)
        there = read_config(folder)
        shape = train.shapes(there.recipe, build(there), jax.random.key(0))
        old, _ = checkpoint.load(path, shape)
        new = self.state.learner.params
        if jax.tree.map(jax.numpy.shape, old.learner.params) != jax.tree.map(jax.numpy.shape, new):
            raise UserError(
                f"--init-from: the networks of {folder.path} have other sizes than this run's; train with the same "
                f"hidden layers ({there.recipe.hidden}, critic {there.recipe.critic_hidden}) and observation history "
                f"({there.task.observation_history})"
            )
        meaning = {
            "--recipe.activation": (there.recipe.activation, self.config.recipe.activation),
            "--recipe.bound": (there.recipe.bound, self.config.recipe.bound),
            "--task.action-scale": (there.task.action_scale, self.config.task.action_scale),
        }
        for flag, (before, now) in meaning.items():
            if before != now:
                raise UserError(
                    f"--init-from: {folder.path} was trained with {flag} {before}, this run has {now}: the same "
                    f"numbers would be another policy; add {flag} {before}"
                )
        learner = self.state.learner._replace(params=old.learner.params)
        self.state = self.state._replace(learner=learner, normalizers=old.normalizers)


def _to_start_from(folder: RunFolder) -> Path:
    path = folder.latest_checkpoint()
    if path is None:
        raise UserError(f"--init-from: {folder.path} has no checkpoint; give the folder of a run")
    return path


def learn(
    training: Training,
    folder: RunFolder,
    deadline: float | None,
    steps: int | None,
    observers: list[Callable[[dict[str, float]], None]],
) -> str:
    """Iterate until `steps`, the `deadline` (time.monotonic) or Ctrl-C; returns why it stopped.

    Observers get one record per iteration. Checkpoints are written on the way and at the end.
    """
    started, first, before = time.monotonic(), training.steps, training.seconds
    reason, count, slowest = "steps", 0, 0.0
    with stop_on_interrupt() as interrupted:
        while steps is None or training.steps < steps:
            begun = time.monotonic()
            if deadline is not None and count and begun + slowest > deadline:
                reason = "time"
                break
            record = training.advance()
            now = time.monotonic()
            count += 1
            # The first iteration compiles, so its time says nothing about the next one's.
            slowest = 0.9 * max(slowest, now - begun) if count > 2 else slowest
            rate = (training.steps - first) / (now - started)
            training.seconds = before + now - started
            record = {"steps": training.steps, "seconds": training.seconds, "steps_per_s": rate, **record}
            for observe in observers:
                observe(record)
            if count % training.config.checkpoint_every == 0:
                training.save(folder)
            if interrupted():
                reason = "interrupt"
                break
    training.save(folder)
    return reason


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Within this block the first Ctrl-C only sets a flag; the second one interrupts as usual."""
    asked = False

    def handler(number: int, frame: Any) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        previous = signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread: nobody can press Ctrl-C here
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)


def read_config(folder: RunFolder) -> TrainConfig:
    """The configuration that the run in `folder` was made with."""
    if not folder.config.is_file():
        raise UserError(f"there is no run in {folder.path}: {folder.config.name} is missing; give the folder of a run")
    try:
        content = json.loads(folder.config.read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{folder.config} is damaged ({error}); expected what `walkies train` wrote") from error
    return from_dict(TrainConfig, content)


def resumed(config: TrainConfig, folder: RunFolder) -> TrainConfig:
    """The configuration of the run in `folder`, with this call's limits (minutes, steps) and finishing touches.

    Raises:
        UserError: another setting was given than the run has. It would not be bit for bit the same training any more.
    """
    config, old = expanded(config), read_config(folder)
    own = ("minutes", "steps", "out", "resume", "threads", "exam_episodes", "film", "view", "wandb")
    asked, default, there = (_flags(to_dict(c)) for c in (config, TrainConfig(), old))
    other = [
        f"{name} {asked[name]} (the run has {there.get(name)})"
        for name in asked
        if name.split(".")[0].replace("-", "_") not in own and asked[name] not in (default.get(name), there.get(name))
    ]
    if other:
        raise UserError(
            f"--resume goes on under the run's own settings, but these differ: {', '.join('--' + o for o in other)}; "
            f"leave them out, or start a new run from its policy: --init-from {folder.path} --out NEW"
        )
    kept = {name: getattr(config, name) for name in own} | {"threads": config.threads or old.threads}
    return replace(old, **kept)


def _flags(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as {flag: value}."""
    flags: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flags |= _flags(value, f"{prefix}{name}.")
        else:
            flags[f"{prefix}{name}".replace("_", "-")] = value
    return flags


def refuse(config: TrainConfig) -> None:
    """Say before training what could not be trained or written into the robot's file after it."""
    for name in ("minutes", "steps"):
        if (value := getattr(config, name)) is not None and not value > 0:
            raise UserError(f"--{name}: got {value}, expected more than 0")
    if config.init_from is not None and not config.resume:
        _to_start_from(RunFolder(config.init_from))
    if config.recipe.bound == "clip":
        raise UserError("--recipe.bound clip: nothing in the robot's file would bound the action; use mean or sample")


def prepare(config: TrainConfig, folder: RunFolder) -> Training:
    """Make or reopen the run folder and bring up the training, from a checkpoint where asked."""
    config = expanded(config)
    refuse(config)
    refuse_unwritable(folder.path)
    if not config.resume and folder.latest_checkpoint() is not None:
        raise UserError(
            f"{folder.path} already holds a run; --resume goes on with it, another --out starts a new one, "
            f"removing the folder forgets it"
        )
    training = Training(config)
    if config.resume:
        latest = folder.latest_checkpoint()
        if latest is not None:
            training.restore(latest)
    elif config.init_from is not None:
        training.start_from(RunFolder(config.init_from))
    write_json(folder.config, to_dict(dataclasses.replace(config, resume=False)))
    write_json(folder.versions, versions())
    return training
