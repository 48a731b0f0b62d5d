"""Single precision: accuracy where robots walk, independence of neighbours and threads, broken robots, clear errors."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from sim import native_cases as cases
from sim import test_unusable as unusable
from sim.random_robots import held
from walkies.accel import library
from walkies.errors import UserError
from walkies.lab.bench import physics as bench
from walkies.robots import PUPPER
from walkies.sim.base import Readings, State
from walkies.sim.native import NativeSimulator
from walkies.sim.params import read_params


@functools.cache
def walking(robots: int = 203) -> bench.Walking:
    """Robots that trot; not a multiple of any lane count."""
    return bench.walk(PUPPER, cases.pupper(), robots, None, 1)


def control_step(solver: str = "train", threads: int | None = 1, **changes: object) -> tuple[State, Readings]:
    """One control step of the walking robots; `changes` replace fields of their state."""
    model = cases.pupper()
    state = walking().state._replace(**changes)
    n = len(state.qpos)
    simulator = NativeSimulator(model, 5, solver, threads)
    return jax.jit(simulator.step)(simulator.prepare(read_params(model), n), state, held(walking().targets[0, :n]))


def assert_same_bits(a: object, b: object) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_walking_states_are_as_accurate_as_promised() -> None:
    """`train` no worse than MuJoCo's own iterations at the 90th and 99th percentile; `exact` 1e-3 at the 99th."""
    errors = bench.acceleration_errors(cases.pupper(), bench.walk(PUPPER, cases.pupper(), 400, None, 1))
    for q in (0.9, 0.99):
        assert np.quantile(errors["error"], q) <= np.quantile(errors["mujoco_error"], q)
    assert np.quantile(errors["exact_error"], 0.99) <= 1e-3
    # Negative control: a single iteration would not do.
    assert np.quantile(errors["mujoco_error"], 0.9) > 1e-3


def test_half_a_second_stays_within_single_precision() -> None:
    """Trajectories part from MuJoCo's no faster than MuJoCo's own do when its state is rounded to float32 at every
    control step. Medians over robots: contacts make single trajectories chaotic."""
    model, n, steps = cases.pupper(), 12, 25
    reference = cases.converged(model)
    rng = np.random.default_rng(5)
    drive = bench.trot_driver(PUPPER, n, rng)
    start = jax.tree.map(lambda x: x[:n], walking().state)
    targets = [np.asarray(drive(k, start, None), np.float64) for k in range(steps)]

    def mujoco_end(rounded: bool, substeps_off: int = 0) -> np.ndarray:
        ends = []
        for i in range(n):
            data = mujoco.MjData(reference)
            data.qpos, data.qvel = np.asarray(start.qpos[i]), np.asarray(start.qvel[i])
            for target in targets:
                data.ctrl = target[i]
                mujoco.mj_step(reference, data, 5 - substeps_off)
                if rounded:
                    data.qpos, data.qvel = data.qpos.astype(np.float32), data.qvel.astype(np.float32)
            ends.append(data.qpos.copy())
        return np.stack(ends)

    simulator = NativeSimulator(model, 5, "exact", 1)
    params, step, state = simulator.prepare(read_params(model), n), jax.jit(simulator.step), start
    for target in targets:
        state, _ = step(params, state, held(target.astype(np.float32)))
    truth = mujoco_end(False)
    apart = np.abs(np.asarray(state.qpos) - truth).max(axis=1)
    noise = np.abs(mujoco_end(True) - truth).max(axis=1)
    assert np.median(apart) <= 10 * np.median(noise) + 1e-5
    assert np.median(np.abs(mujoco_end(False, substeps_off=1) - truth).max(axis=1)) > 1e-3


THREADS_SCRIPT = """
import os, sys
import jax, numpy as np
from test_native_robust import control_step
leaves = jax.tree.leaves(control_step(threads=None))
np.savez(sys.argv[1], *leaves)
print(len(os.listdir("/proc/self/task")) if sys.platform == "linux" else os.environ["NPROC"])
"""


def test_bits_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    results, used = {}, set()
    for number in ("1", "2"):
        path = tmp_path / f"{number}.npz"
        folders = [str(Path(__file__).parent), str(Path(__file__).parent.parent), *sys.path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "NPROC": number}
        done = subprocess.run(
            [sys.executable, "-c", THREADS_SCRIPT, str(path)],
            env=environment,
            check=True,
            text=True,
            capture_output=True,
        )
        used.add(done.stdout)
        with np.load(path) as file:
            results[number] = [file[key] for key in file.files]
    assert len(used) == 2, "control: one of them has another number of threads"
    for one, two, here in zip(results["1"], results["2"], jax.tree.leaves(control_step()), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, here)


def test_bits_do_not_depend_on_neighbours() -> None:
    whole = control_step()
    for n in (1, 3, 8, 17):
        part = jax.tree.map(lambda x, n=n: x[:n], walking().state)
        assert_same_bits(control_step(**part._asdict()), jax.tree.map(lambda x, n=n: x[:n], whole))
    # Robot 0 among other neighbours: all the others are turned over.
    others = walking().state.qpos.at[1:, 3:5].set(jnp.array([0.0, 1.0]))
    turned = control_step(qpos=others)
    assert_same_bits(jax.tree.map(lambda x: x[0], turned), jax.tree.map(lambda x: x[0], whole))
    # Negative control: the others did change.
    assert np.any(np.asarray(turned[0].qpos[1]) != np.asarray(whole[0].qpos[1]))


def test_shared_parameters_equal_one_set_per_robot() -> None:
    model = cases.pupper()
    simulator = NativeSimulator(model, 5, "train", 1)
    shared = simulator.prepare_shared(read_params(model))
    assert shared.shape[0] == 1
    found = jax.jit(simulator.step)(shared, walking().state, held(walking().targets[0]))
    assert_same_bits(found, control_step())


@pytest.mark.parametrize("field", ["qpos", "qvel"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 1e5])
def test_a_broken_robot_is_reported_and_touches_no_other(field: str, value: float) -> None:
    whole, broken = control_step(), 5
    array = getattr(walking().state, field)
    state, readings = control_step(**{field: array.at[broken, 8].set(value)})
    expected_ok = np.ones(len(array), bool)
    # An angle of 1e5 is strange, but finite and slow once the limits have let go: only its neighbours matter then.
    if not (field == "qpos" and value == 1e5):
        expected_ok[broken] = False
        np.testing.assert_array_equal(readings.ok, expected_ok)
    others = np.arange(len(array)) != broken
    assert_same_bits(jax.tree.map(lambda x: x[others], (state, readings)), jax.tree.map(lambda x: x[others], whole))


ISA_SCRIPT = """
import json, sys
sys.path.insert(0, "tests")
from sim import native_cases as cases
import numpy as np
model = cases.pupper()
states = cases.random_states(model, 5, np.random.default_rng(0), cases.POSE)
params = cases.stacked_params([model], 1)
found = cases.engine_accelerations(model, params, cases.make_state(*states[:3]), states[3], "exact", "float32")
from walkies.accel import library
from sim import test_unusable as cases
ok = cases.stepper("native")(cases.given().after("targets", np.nan))[1].ok
print(json.dumps([library.isa(), library.lanes(), found.tolist(), ok.tolist()]))
"""


def forced(isa: str, script: str = ISA_SCRIPT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "WALKIES_ISA": isa, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_an_instruction_set_can_be_forced() -> None:
    isa, lanes, found, ok = json.loads(forced("baseline").stdout)
    assert (isa, lanes) == ("baseline", 4)
    assert ok == [robot != unusable.BROKEN for robot in range(unusable.ROBOTS)]
    model = cases.pupper()
    states = cases.random_states(model, 5, np.random.default_rng(0), cases.POSE)
    params = cases.stacked_params([model], 1)
    own = cases.engine_accelerations(model, params, cases.make_state(*states[:3]), states[3], "exact", "float32")
    assert cases.relative_error(np.array(found), own).max() < 1e-3


@pytest.mark.parametrize("isa", ["avx512", "sse9"])
def test_an_instruction_set_that_is_not_there_is_named(isa: str) -> None:
    script = "from walkies.accel import library; print(library.isa())"
    result = forced(isa, script)
    if library.isa() == isa:
        assert result.stdout.strip() == isa
    else:
        assert f"WALKIES_ISA={isa}" in result.stderr
        assert "baseline" in result.stderr


UNFIT = {
    "free joint": ("<freejoint/>", "", "no free joint"),
    "slide": ('name="j2_0" ', 'name="j2_0" type="slide" ', "j2_0"),
    "ellipsoid collider": (
        'class="collider" size="0.05" pos="0.1',
        'type="ellipsoid" conaffinity="1" size="0.05 0.05 0.05" pos="0.1',
        "belly",
    ),
    "elliptic cone": ('cone="pyramidal"', 'cone="elliptic"', "cone"),
    "Runge-Kutta": ('solver="Newton"', 'solver="Newton" integrator="RK4"', "integrator"),
    "spring that is not linear": ('name="j3_1" ', 'name="j3_1" stiffness="2 1" ', "j3_1.*stiffnesspoly"),
    "muscle": ('<position joint="j0_1"/>', '<muscle joint="j0_1"/>', "activation states"),
    "constant force": (
        '<position joint="j0_1"/>',
        '<general joint="j0_1" biastype="affine" biasprm="1 0 0"/>',
        "neither a motor nor a position servo",
    ),
    "gear of a joint and more": ('<position joint="j0_1"/>', '<position joint="j0_1" gear="1 1"/>', "gear"),
    "ball in the world": ("</worldbody>", '<geom name="stone" size="0.1"/></worldbody>', "stone"),
    "two robots": ("</worldbody>", '<body name="other"><geom size="0.1"/></body></worldbody>', "other"),
    "missing motor": ('<position joint="j0_1"/>', "", "actuators"),
    "raised ground": ('size="0 0 1"', 'size="0 0 1" pos="0 0 0.1"', "floor"),
    "spring of the free joint": (
        "<freejoint/>",
        '<joint type="free" stiffness="30" damping="0" armature="0" frictionloss="0"/>',
        "the free joint: stiffness",
    ),
    "plastic joint": ('name="j3_1" ', 'name="j3_1" stiffness="1" springyield="0.5" ', "plastic"),
    "bias that MuJoCo ignores": (
        '<position joint="j0_1"/>',
        '<general name="odd" joint="j0_1" gainprm="3" biastype="none" biasprm="0 -5 -1"/>',
        "odd.*without biastype",
    ),
    "disabled motors": ('solver="Newton"', 'solver="Newton" actuatorgroupdisable="0"', "group 0 is disabled"),
    "motor whose damping rises": (
        '<position joint="j0_1"/>',
        '<position name="odd" joint="j0_1" damping="0 3"/>',
        "odd.*dampingpoly",
    ),
    "controls beyond their range": ("<flag ", '<flag clampctrl="disable" ', "clampctrl"),
    "sleep": ("<flag ", '<flag sleep="enable" ', "sleep"),
    "exact diagonal": ("<flag ", '<flag diagexact="enable" ', "diagexact"),
    "speculative contacts": ("<flag ", '<flag speculative="enable" ', "speculative"),
    "solref of two signs": ('solref="0.03 0.9"', 'solref="-300 0.9"', "belly.*solref -300 0.9"),
    "solreflimit of two signs": ('solreflimit="0.03 0.8"', 'solreflimit="0.03 -0.8"', "j0_0.*solreflimit"),
    "solreffriction of two signs": ('solreffriction="0.025 1"', 'solreffriction="0.025 0"', "j0_0.*solreffriction"),
    "ground that sticks": ('size="0 0 1"', 'size="0 0 1" adhesion="5"', "floor.*adhesion"),
    "ground that runs": ('size="0 0 1"', 'size="0 0 1" surfacevel="1 0 0 0 0 0"', "floor.*surfacevel"),
    "slippery ground": (
        'class="collider" size="0.05"',
        'class="collider" size="0.05" priority="1" friction="0"',
        "belly.*no friction",
    ),
    "gravity compensation": ('<body name="b1_1"', '<body name="b1_1" gravcomp="1"', "b1_1"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_robot_that_does_not_fit_is_told_why(case: str) -> None:
    old, new, named = UNFIT[case]
    mjcf = cases.random_mjcf(4, 3, seed=0)
    NativeSimulator(mujoco.MjModel.from_xml_string(mjcf))
    assert old in mjcf
    with pytest.raises(ValueError, match=named) as error:
        NativeSimulator(mujoco.MjModel.from_xml_string(mjcf.replace(old, new, 1)))
    assert "mujoco" in str(error.value)


def test_a_robot_of_too_many_joints_does_not_fit() -> None:
    NativeSimulator(mujoco.MjModel.from_xml_string(cases.random_mjcf(5, 8, seed=0)))
    with pytest.raises(ValueError, match="41 besides the free one; expected 1 to 40"):
        NativeSimulator(mujoco.MjModel.from_xml_string(cases.random_mjcf(1, 41, seed=0)))


@pytest.mark.parametrize("wrong", [{"substeps": 0}, {"threads": 0}, {"solver": "fast"}, {"dtype": "float16"}])
def test_wrong_arguments_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        NativeSimulator(cases.pupper(), **wrong)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TARGETS", {"float32": "walkies_of_tomorrow"}),
        ("NETWORK_TARGETS", ("walkies_of_tomorrow",)),
        ("NETWORK_ISA", "walkies_of_tomorrow"),
    ],
)
def test_a_library_from_before_a_change_asks_to_be_built_again(monkeypatch, name, value):
    library.library.__wrapped__()  # control: this one has all it should
    monkeypatch.setattr(library, name, value)
    with pytest.raises(UserError, match=r"older than this code \(it has no walkies_of_tomorrow\).*pip install"):
        library.library.__wrapped__()


def test_a_library_whose_calls_take_something_else_asks_to_be_built_again(monkeypatch):
    monkeypatch.setattr(library, "EDITION", library.EDITION + 1)
    with pytest.raises(UserError, match=rf"edition {library.EDITION - 1}, and this is {library.EDITION}.*pip install"):
        library.library.__wrapped__()
