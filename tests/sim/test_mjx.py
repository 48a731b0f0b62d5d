"""MJX in the training program: for devices that are not here, and learning on this one."""

from __future__ import annotations

import statistics
from dataclasses import replace

import jax
import pytest

from walkies.rl.train import make_init, make_iteration
from walkies.run.config import WALKING_RECIPE, TrainConfig, build
from walkies.sim.other.install import PACKAGES, installs

pytest.importorskip(PACKAGES["mjx"], reason=installs("mjx"))

SMALL = replace(WALKING_RECIPE, num_envs=16, groups=1, minibatches=2, hidden=(16,), critic_hidden=(16,))


def host_calls(simulator: str, platform: str) -> set[str]:
    """What the iteration of a training would call on the host's processor, as a program for `platform`, which need not
    be here."""
    env = build(TrainConfig(simulator=simulator))  # type: ignore[arg-type]
    state = jax.eval_shape(make_init(SMALL, env), jax.random.key(0))
    program = jax.jit(make_iteration(SMALL, env)).trace(state).lower(lowering_platforms=(platform,)).as_text()
    return {name for name in ("walkies_", "callback", "xla_ffi_python", "xla_python") if name in program}


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_nothing_of_an_iteration_stays_on_the_processor(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert host_calls("mjx", platform) == set()


@pytest.mark.parametrize("simulator", ["native", "dart"])
def test_other_simulators_stay_there(simulator: str) -> None:
    """The control: the program is searched for the right names."""
    if simulator == "dart":
        pytest.importorskip(PACKAGES["dart"], reason=installs("dart"))
    assert host_calls(simulator, "cpu")


def test_it_learns() -> None:
    """The value function explains no variance of what robots earn at first, and much of it soon. The median, as falls
    spoil an iteration's share. Of six seeds, with torsional friction and without, the worst explained 0.47 of it in the
    last eight iterations; in the eight before, three explained nothing yet."""
    env, recipe = build(TrainConfig(simulator="mjx")), replace(WALKING_RECIPE, num_envs=64, groups=1)
    iteration = jax.jit(make_iteration(recipe, env))
    state = make_init(recipe, env)(jax.random.key(0))
    explained = []
    for _ in range(24):
        state, metrics = iteration(state)
        explained.append(float(metrics["explained_variance"]))
    assert explained[0] < 0 and statistics.median(explained[16:]) > 0.3, explained
