"""What is compiled before a training's first iteration is over: two programs, and few beside them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from walkies.mdp import Box, Observation
from walkies.rl import symmetry
from walkies.run.config import TrainConfig
from walkies.run.training import Training

SIZES = {"num_envs": 24, "horizon": 2, "minibatches": 1, "epochs": 1, "hidden": (8,), "critic_hidden": (8,)}
"""Other numbers of robots than elsewhere: nothing is compiled yet."""
BOUND = 6
"""Today there are four: the key of the seed is two."""
BY: dict[str, str] = {}
"""The thread that compiled each program last."""


@contextmanager
def compiling():
    """The names of programs that XLA compiles meanwhile."""
    names: list[str] = []

    def listen(event: str, _: float, **about: str) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(about["fun_name"])
            BY[about["fun_name"]] = threading.current_thread().name

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_a_training_begins_with_few_programs_each_compiled_once():
    """Also the one that is compiled ahead, by a thread. Control: a computation outside of them is seen."""
    config = TrainConfig(recipe=replace(TrainConfig().recipe, **SIZES))
    with compiling() as names:
        training = Training(config, ahead=True)
        training.advance()
    assert names.count("jit(_init)") == names.count("jit(iteration)") == 1
    assert len(names) <= BOUND, names
    assert BY["jit(iteration)"] == "compilation" != BY["jit(_init)"]
    with compiling() as more:
        training.advance()
    assert more == []
    with compiling() as loose:
        x = jnp.asarray(np.ones((7, 11, 13), np.float32))
        for size in range(1, BOUND + 2):
            (x[..., :size] * 2.0).block_until_ready()
    assert len(loose) > BOUND


def test_only_who_advances_compiles_an_iteration(monkeypatch):
    """Control: ahead, it is compiled without being called."""
    monkeypatch.setattr("walkies.rl.train.init", lambda *_: None)
    config = TrainConfig(recipe=replace(TrainConfig().recipe, **SIZES | {"num_envs": 20}))
    with compiling() as names:
        Training(config)
    assert "jit(iteration)" not in names
    with compiling() as names:
        Training(config, ahead=True)._ahead.join()
    assert "jit(iteration)" in names


def test_what_is_wrong_with_an_iteration_is_said_where_it_is_called(monkeypatch):
    """And nothing where it would have been compiled ahead."""
    config = TrainConfig(recipe=replace(TrainConfig().recipe, **SIZES))

    class Broken(RuntimeError):
        pass

    def broken(*_):
        raise Broken

    monkeypatch.setattr("walkies.rl.train.init", lambda *_: None)
    monkeypatch.setattr("walkies.rl.train.iterate", broken)
    training = Training(config, ahead=True)
    with pytest.raises(Broken):
        training.advance()


def test_the_mirror_of_a_robot_is_known_without_compiling():
    """Whatever other tests compiled before: of sizes that nothing else has. Control: a mirror in JAX compiles."""

    def mirror(xp):
        flipped = lambda x: xp.asarray(x)[..., ::-1] * xp.float32(1.0)  # noqa: E731
        return SimpleNamespace(
            mirror_observation=lambda one: Observation(flipped(one.policy), flipped(one.critic)), mirror_action=flipped
        )

    env = SimpleNamespace(observation_size=37, privileged_size=41, action_space=Box(5))
    with compiling() as names:
        found = symmetry.reflection(env, mirror(np))
    assert names == [] and np.array_equal(found.critic, np.eye(41)[::-1])
    with compiling() as names:
        symmetry.reflection(env, mirror(jnp))
    assert names
