"""One training: its state, its checkpoints, and the loop over its iterations.

Progress display and loggers are passed in as callbacks; schedules never read the clock, and a deadline only decides
when to stop. A killed run resumes from its last checkpoint bit for bit.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from walkies.errors import UserError
from walkies.files import shown, write_bytes, write_json
from walkies.rl import finite, train
from walkies.robots import folders
from walkies.run import devices
from walkies.run.config import TrainConfig, build, expanded, newest_checkpoint, read_config, refuse, settings
from walkies.run.folders import RunFolder, current_names, refuse_unwritable, to_dict, versions
from walkies.run.interrupt import stop_on_signal
from walkies.run.saved import checkpoint
from walkies.run.saved.editions import upgraded
from walkies.sim.native import NativeSimulator
from walkies.tasks.walk import Walk

KEPT = 3
"""Number of checkpoints of a run that are kept."""
COLLECT_EVERY = 50
"""Iterations between collections of Python's garbage."""


@partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["names"])
@dataclass(frozen=True)
class Stacked:
    """Metrics in one array (names,): to fetch each for itself would take a fiftieth of an iteration."""

    values: jax.Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, metrics: train.Metrics) -> Stacked:
        """metrics: float32 ()."""
        return cls(jax.numpy.stack(list(metrics.values())), tuple(metrics))

    def read(self) -> dict[str, float]:
        """Name → number."""
        return dict(zip(self.names, np.asarray(self.values).tolist(), strict=True))


class Training:
    """The state of one training and its operations."""

    state: train.TrainState

    def __init__(
        self,
        config: TrainConfig,
        saved: Path | None = None,
        ahead: bool = False,
        state: Callable[[train.TrainState], train.TrainState] | None = None,
        run: Path | None = None,
    ):
        """A new training, or one that continues exactly where the checkpoint `saved` was written (see `restore`).

        Args:
            ahead: compile the iteration while the first state is made, for callers that will `advance`.
            state: given the state's shapes, a state to continue from.
            run: folder of the run that it continues, for `build`.
        """
        self.config = config
        self.env = build(config, run)
        self.iteration = devices.make_iteration(config.recipe, self.env, Stacked.of)
        self.steps_per_iteration = config.recipe.num_envs * config.recipe.horizon
        self.seconds = 0.0
        """Time spent learning, over all of the run's parts. For the curves only."""
        key = jax.random.key(config.seed)
        shapes = devices.place(config.recipe, train.shapes(config.recipe, self.env, key))
        self._ahead: threading.Thread | None = self._compile(shapes) if ahead else None
        if state is not None:
            self.state = devices.place(config.recipe, state(shapes))
            self._iterations = int(self.state.iteration)
        elif saved is None:
            self.state, self._iterations = devices.place(config.recipe, train.init(config.recipe, self.env, key)), 0
        else:
            self.state = shapes
            self.restore(saved)

    def close(self) -> None:
        """End what a training has besides this process: nothing."""

    def advance(self) -> dict[str, float]:
        """One iteration; returns its metrics as floats.

        Raises:
            Diverged: a number is not finite; training cannot continue from `state`.
        """
        if self._ahead is not None:
            self._ahead.join()  # JAX would compile the same a second time beside it
        self.state, metrics = self.iteration(self.state)
        record = metrics.read()
        self._iterations += 1
        finite.refuse(record, _learned(self.state), self._iterations)
        return record

    def _compile(self, shapes: train.TrainState) -> threading.Thread | None:
        """Begin to compile the iteration; JAX finds it when the iteration is called with a state of these shapes."""

        def compile_it() -> None:
            with suppress(Exception):
                lowered.compile()

        # What is wrong with the iteration is said where it is called.
        with suppress(Exception):
            # Tracing is Python, which a second thread would only interrupt; XLA compiles beside it.
            lowered = self.iteration.lower(shapes)  # type: ignore[attr-defined]
            thread = threading.Thread(target=compile_it, name="compilation")
            thread.start()
            return thread
        return None

    @property
    def steps(self) -> int:
        """Control steps taken so far."""
        return self._iterations * self.steps_per_iteration

    def save(self, folder: RunFolder) -> None:
        """Write a checkpoint. The KEPT newest are kept; checkpoints of a later step, abandoned on resume, are removed.

        Raises:
            Diverged: training cannot continue from this state; nothing is written.
        """
        _refuse_wrong(self.state, f"after {self.steps:,} steps")
        header = {"config": to_dict(self.config), "steps": self.steps, "seconds": self.seconds}
        path = folder.checkpoint_at(self.steps)
        checkpoint.save(path, self.state, header)
        kept = [one for one in folder.checkpoint_files() if one <= path][-KEPT:]
        for old in set(folder.checkpoint_files()) - set(kept):
            old.unlink()

    def restore(self, path: Path) -> None:
        """Continue exactly where `path` was saved.

        Raises:
            UserError: it is damaged, from another run, or from a training that had diverged.
        """
        state, header = checkpoint.load(path, self.state, _upgrade(self.env))
        _refuse_foreign(path, header, self.config)
        _refuse_wrong(state, f"in {path}")
        self.state = devices.place(self.config.recipe, state)
        self.seconds, self._iterations = float(header["seconds"]), int(state.iteration)

    def start_from(self, source: Path) -> None:
        """Take networks and observation statistics from a run's checkpoint; everything else starts fresh.

        The runs may differ in anything but the networks' shapes: number of robots, rewards, randomization.

        Args:
            source: a run folder, whose newest checkpoint it is, or a checkpoint in one.
        """
        folder, path = newest_checkpoint(source)
        there = read_config(folder, own_terms=False)
        env = build(there, folder.path)
        shape = train.shapes(there.recipe, env, jax.random.key(0))
        with _naming_whole_ones(folder, path, "--init-from"):
            old, _ = checkpoint.load(path, shape, _upgrade(env))
            _refuse_wrong(old, f"in {path}")
        new = self.state.learner.params
        if env.contract.hold != self.env.contract.hold:
            raise UserError(
                f"--init-from: {folder.path} was trained with {_holding(there)}, this run has {_holding(self.config)}: "
                f"its policy has actions for other joints; train with the same --task.hold"
            )
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
        mirror = there.recipe.symmetry
        if self.config.recipe.symmetry == "equivariant" != mirror:
            raise UserError(
                f"--init-from: {folder.path} was trained with --recipe.symmetry {mirror}, this run has equivariant: "
                f"the halves of its hidden layers would have to mirror each other; add --recipe.symmetry {mirror}"
            )
        learner = self.state.learner._replace(params=old.learner.params)
        state = self.state._replace(learner=learner, normalizers=old.normalizers)
        self.state = devices.place(self.config.recipe, state)


def _holding(config: TrainConfig) -> str:
    """What a configuration holds, as a flag."""
    return f"--task.hold {' '.join(map(shown, config.task.hold))}" if config.task.hold else "no --task.hold"


class Learned(NamedTuple):
    """What must stay finite, most informative first. (Robots whose physics blows up are replaced.)"""

    params: Any
    moments: Any
    normalizers: Any


def _learned(state: train.TrainState) -> Learned:
    return Learned(state.learner.params, state.learner.moments, state.normalizers)


def _refuse_wrong(state: train.TrainState, where: str) -> None:
    """Raise Diverged if the learned parameters are not finite."""
    if wrong := finite.wrong_leaves(_learned(state), limit=finite.MOST):
        raise finite.Diverged(f"the training had diverged {where}: {finite.listed(wrong)}")


def _upgrade(env: Walk) -> checkpoint.Upgrade:
    """Of checkpoints of this task."""
    simulator = env.simulator
    legged = simulator.legged if isinstance(simulator, NativeSimulator) else None
    bodies, surfaces = (legged.sphere_bodies, len(legged.surfaces)) if legged else ((), 1)
    return partial(
        upgraded, sphere_bodies=bodies, surfaces=surfaces, imu_rows=env.imu_rows, substeps=simulator.substeps
    )


def _refuse_foreign(path: Path, header: dict[str, Any], config: TrainConfig) -> None:
    """Refuse a checkpoint of a run with other settings: resuming must be the same training, bit for bit."""
    there = header.get("config")
    if not isinstance(there, dict) or not isinstance(header.get("seconds"), int | float):
        raise checkpoint.DamagedCheckpoint(f"{path} is no checkpoint of a run: its header lacks config or seconds")
    theirs, ours = settings(current_names(TrainConfig, there)), settings(to_dict(config))
    other = [
        f"{name} {shown(theirs[name])}, not {ours[name]}" for name in ours if theirs.get(name, ours[name]) != ours[name]
    ]
    if other:
        raise UserError(f"{path} belongs to another run: it was trained with {finite.listed(other)}")


@contextmanager
def _naming_whole_ones(folder: RunFolder, path: Path, flag: str) -> Iterator[None]:
    """If `path` cannot be resumed from, let the error name the intact checkpoints of its run."""
    try:
        yield
    except UserError as error:
        whole = [str(one) for one in reversed(folder.checkpoint_files()) if one != path and _is_whole(one)]
        hint = f"Intact ones of this run: {', '.join(whole)}; continue from one with {flag} FILE" if whole else (
            f"{folder.path} has no other intact checkpoint"
        )  # fmt: skip
        raise UserError(f"{error}. {hint}") from error


def _is_whole(path: Path) -> bool:
    try:
        checkpoint.load_header(path)
    except UserError:
        return False
    return True


@contextmanager
def few_collections() -> Iterator[Callable[[], int]]:
    """Python collects garbage only where it is asked to, by what this gives, and only what is new.

    By itself it would several times in an iteration, and JAX joins in: a twentieth of the time.
    """
    was = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.unfreeze()
        if was:
            gc.enable()


def learn(
    training: Training,
    folder: RunFolder,
    deadline: float | None,
    steps: int | None,
    observers: list[Callable[[dict[str, float]], None]],
) -> str:
    """Iterate until `steps`, the `deadline` (time.monotonic) or a signal; returns why it stopped.

    Observers get one record per iteration. Checkpoints are written after the first iteration, at intervals and at the
    end.

    Returns:
        "steps", "time", or the name of the signal, as "SIGINT".

    Raises:
        Diverged: a number is not finite. The last checkpoint is from an earlier iteration.
    """
    started, first, before = time.monotonic(), training.steps, training.seconds
    reason, count, slowest = "steps", 0, 0.0
    with stop_on_signal() as stopped_by, few_collections() as collect:
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
            if count == 1 or count % training.config.checkpoint_every == 0:
                training.save(folder)
            if count % COLLECT_EVERY == 0:
                collect()
            if name := stopped_by():
                reason = name
                break
    training.save(folder)
    return reason


def kind_of(config: TrainConfig) -> type[Training]:
    """`Training`, or with --workers the one of several processes."""
    if config.workers is None:
        return Training
    from walkies.run.workers.together import Together

    return Together


def prepare(config: TrainConfig, folder: RunFolder) -> Training:
    """Create or reopen the run folder and set up the training, from a checkpoint if asked."""
    config = expanded(config)
    refuse(config)
    refuse_unwritable(folder.path)
    if not config.resume and folder.latest_checkpoint() is not None:
        raise UserError(
            f"{folder.path} already holds a run; --resume continues it, another --out starts a new run, "
            f"deleting the folder discards it"
        )
    saved = config.checkpoint or folder.latest_checkpoint() if config.resume else None
    kind, run = kind_of(config), folder.path if config.resume else None
    if saved is None:
        training = kind(config, ahead=True, run=run)
        if config.init_from is not None:
            training.start_from(config.init_from)
    else:
        with _naming_whole_ones(folder, saved, "--resume --checkpoint"):
            training = kind(config, saved, ahead=True, run=run)
    write_json(folder.config, to_dict(replace(config, resume=False, checkpoint=None)))
    write_json(folder.versions, versions())
    if saved is None:  # a robot that was changed since is not the one that learned
        folders.keep_copy(config.robot, folder.path)
        for copy, path in training.env.config.files().items():
            write_bytes(folder.path / copy, path.read_bytes())
    return training
