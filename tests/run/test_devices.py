"""The same training on one device and on several, each a share of the processor's cores."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from walkies import child
from walkies.accel import cache, threads
from walkies.errors import UserError
from walkies.rl import sizes
from walkies.rl.recipes import PPO
from walkies.run import devices
from walkies.run.config import WALKING_RECIPE, TrainConfig, devices_of, expanded

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[str, np.ndarray]:
    file = tmp_path_factory.mktemp("devices") / "trained.npz"
    names = ("XLA_FLAGS", "NPROC")
    environment = {name: value for name, value in child.environment().items() if name not in names}
    environment |= {"PYTHONPATH": str(HERE.parent), cache.SWITCH: "0"}
    subprocess.run([sys.executable, str(HERE / "devices_worker.py"), str(file)], check=True, env=environment)
    return dict(np.load(file))


def of(trained: dict[str, np.ndarray], prefix: str) -> list[np.ndarray]:
    return [value for name, value in trained.items() if name.startswith(f"{prefix}/")]


@pytest.mark.parametrize(
    ("name", "count"), [("native", 2), ("native", 4), ("jax", 4), ("native networks", 2), ("trpo", 2), ("episodes", 2)]
)
def test_several_devices_learn_what_one_does(trained, name, count):
    one, several = of(trained, f"{name}/1/0"), of(trained, f"{name}/{count}/0")
    assert len(one) == len(several) > 20
    for a, b in zip(one, several, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_robots_walk_the_same_on_two_devices(trained):
    """With curriculum, mirror and native engine; in the worker also saved and resumed, in every bit."""
    one, two = of(trained, "walk/1"), of(trained, "walk/2")
    assert len(one) == len(two) > 60
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["native", "native networks", "trpo", "episodes"])
def test_the_same_number_of_devices_gives_the_same_bits(trained, name):
    for a, b in zip(of(trained, f"{name}/2/0"), of(trained, f"{name}/2/1"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_parts_of_the_batch_lie_where_their_numbers_do(trained):
    """Control of the tests above: with the two parts exchanged, something else is learned."""
    one, swapped = of(trained, "native/1/0"), of(trained, "swapped")
    assert max(float(np.abs(a - b).max()) for a, b in zip(one[:4], swapped[:4], strict=True)) > 1e-3


def test_groups_have_random_numbers_of_their_own(trained):
    """Control of the tests above: another number of groups, and everything is different."""
    four, two = of(trained, "native/1/0"), of(trained, "two groups/1/0")
    assert max(float(np.abs(a - b).max()) for a, b in zip(four[:4], two[:4], strict=True)) > 1e-3


@pytest.mark.proof
@pytest.mark.parametrize("count", [2, 4])
def test_mjx_learns_on_several_devices_what_it_learns_on_one(count, tmp_path):
    """Robots that MJX simulates, sharded over virtual devices of the processor. Compiling takes minutes. Control: an
    iteration later is something else."""
    environment = {name: value for name, value in child.environment().items() if name not in ("XLA_FLAGS", "NPROC")}
    environment |= {"PYTHONPATH": str(HERE.parent)}
    file = tmp_path / "trained.npz"
    script = str(HERE / "devices_worker.py")
    subprocess.run([sys.executable, script, str(file), "mjx", str(count)], check=True, env=environment)
    found = dict(np.load(file))
    one, several, later = (of(found, name) for name in ("one", "several", "later"))
    assert len(one) == len(several) > 60
    for a, b in zip(one, several, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    assert max(float(np.abs(1.0 * a - b).max()) for a, b in zip(several, later, strict=True)) > 0.01


def test_groups_are_divided_equally_among_the_devices_there_are(monkeypatch):
    for there, groups, used in ((1, 2, 1), (2, 1, 1), (2, 2, 2), (3, 4, 2), (8, 6, 6), (4, 6, 3)):
        monkeypatch.setattr(jax, "local_devices", lambda there=there: [*range(there)])
        assert devices.devices_for(replace(PPO, groups=groups)) == [*range(used)]


def test_environments_that_cannot_be_divided_are_refused():
    class Env:
        time_limit = None

    with pytest.raises(UserError, match=r"num_envs 10 cannot be divided into groups = 4 of equal size"):
        sizes.refuse(replace(PPO, num_envs=10, groups=4), Env(), 16)


def test_simulators_that_are_called_back_get_one_device():
    assert devices_of(TrainConfig()) == devices_of(TrainConfig(simulator="mjx")) == WALKING_RECIPE.groups == 2
    assert devices_of(TrainConfig(simulator="mujoco")) == 1


def test_there_are_no_more_groups_than_divide_the_robots():
    for robots, groups in ((512, 2), (25, 1), (6, 2)):
        config = expanded(TrainConfig(recipe=replace(WALKING_RECIPE, num_envs=robots)))
        assert config.recipe.groups == groups


@pytest.mark.parametrize(("limits", "expected"), [((), 0), ((1,), 1), ((3,), 3)])
def test_a_call_uses_the_fewer_threads_of_what_it_and_its_device_may(limits, expected):
    with ExitStack() as stack:
        for limit in limits:
            stack.enter_context(threads.at_most(limit))
        assert threads.most_threads() == expected
        assert threads.most_threads(2) == (min(2, expected) or 2)
    assert threads.most_threads() == 0
