"""The MuJoCo simulator against a plain loop of mj_step over one model per robot: bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from precision import double_precision
from sim.random_robots import held, random_params, random_start
from walkies.robots import PUPPER, load_model, load_spec
from walkies.sim import make_simulator
from walkies.sim.base import Params, Readings, State
from walkies.sim.mujoco import MujocoSimulator, Prepared
from walkies.sim.mujoco_batch import engine_model

ROBOTS, CONTROL_STEPS, SUBSTEPS = 6, 60, 5


@pytest.fixture(scope="module")
def simulator() -> MujocoSimulator:
    return make_simulator("mujoco", PUPPER, threads=2, torsion=True)


@pytest.fixture
def float64() -> Iterator[None]:
    with double_precision():
        yield


def model_of(nominal: mujoco.MjModel, prepared: Prepared, robot: int) -> mujoco.MjModel:
    """One robot's own model, with MuJoCo's derived constants but for the inverse weights, which are given."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64)[robot], prepared)
    params, model = p.params, copy.copy(nominal)
    model.body_mass[1:], model.body_ipos[1:] = params.body_mass, params.body_ipos
    model.body_inertia[1:], model.body_iquat[1:] = p.body_principal, p.body_iquat
    mean_inertia = model.stat.meaninertia
    mujoco.mj_setConst(model, mujoco.MjData(model))
    model.stat.meaninertia = mean_inertia  # scales the solver's tolerance
    model.body_invweight0[1:, 0], model.dof_invweight0[6:] = params.body_invweight0, params.dof_invweight0
    model.dof_damping[6:], model.dof_frictionloss[6:] = params.dof_damping, params.dof_frictionloss
    model.dof_armature[6:] = params.dof_armature
    model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1] = params.kp, -params.kp
    model.actuator_biasprm[:, 2] = -params.kd
    model.actuator_forcerange[:] = np.stack([-params.torque_limit, params.torque_limit], axis=1)
    model.opt.gravity = params.gravity
    # All the weight of the mixture on the floor; between spheres it stays half and half.
    floor = model.geom("floor").id
    model.geom_solmix[:], model.geom_solmix[floor] = 0, 1
    model.geom_solref[floor], model.geom_solimp[floor] = params.contact_solref, params.contact_solimp
    model.geom_friction[:, 0] = params.friction
    model.geom_friction[:, 1] = params.torsion * model.geom(PUPPER.foot_geoms[0]).friction[1]
    return model


class Loop:
    """One robot in plain MuJoCo, its torque limits set by hand, and measurements taken contact by contact."""

    def __init__(self, model: mujoco.MjModel, spheres: tuple[str, ...], torque_speed: np.ndarray) -> None:
        self.model, self.data, self.ahead = model, mujoco.MjData(model), mujoco.MjData(model)
        self.spheres = [model.geom(name).id for name in spheres]
        self.torque_limit, self.torque_speed = model.actuator_forcerange[:, 1].copy(), torque_speed
        self.own_contacts = 0

    def start(self, qpos: np.ndarray, qvel: np.ndarray) -> None:
        self.data.qpos, self.data.qvel = qpos, qvel

    def control_step(self, targets: np.ndarray, force: np.ndarray) -> dict[str, np.ndarray]:
        data, imu = self.data, []
        data.xfrc_applied[1, :3] = force
        for target in targets:
            for joint, (limit, full) in enumerate(zip(self.torque_limit, self.torque_speed, strict=True)):
                speed = data.qvel[6 + joint]
                left = limit * min(max(1 - abs(speed) / full, 0), 1)  # in the direction of motion
                self.model.actuator_forcerange[joint] = (-limit, left) if speed > 0 else (-left, limit)
            data.ctrl = target
            mujoco.mj_step(self.model, data)
            imu.append(self.imu())
        found = self.forces()
        found |= {"joint_torque": data.actuator_force.copy(), "base_acceleration": data.qacc[:3].copy()}
        return found | {"imu": np.stack(imu)} | self.geometry()

    def imu(self) -> np.ndarray:
        inverse, gravity = np.zeros(4), np.zeros(3)
        mujoco.mju_negQuat(inverse, self.data.qpos[3:7] / np.linalg.norm(self.data.qpos[3:7]))
        down = self.model.opt.gravity / np.linalg.norm(self.model.opt.gravity)
        mujoco.mju_rotVecQuat(gravity, down, inverse)
        return np.concatenate([self.data.qvel[3:6], gravity])

    def forces(self) -> dict[str, np.ndarray]:
        force, floor = np.zeros((len(self.spheres), 3)), self.model.geom("floor").id
        for index, contact in enumerate(self.data.contact):
            if floor not in contact.geom:
                self.own_contacts += 1
                continue
            wrench = np.zeros(6)
            mujoco.mj_contactForce(self.model, self.data, index, wrench)
            # The contact's frame has its axes in rows, the first from its first geom (the floor) to its second.
            assert contact.geom[0] == floor
            force[self.spheres.index(contact.geom[1])] += contact.frame.reshape(3, 3).T @ wrench[:3]
        return {"contact_force": force}

    def geometry(self) -> dict[str, np.ndarray]:
        model, ahead = self.model, self.ahead
        ahead.qpos, ahead.qvel = self.data.qpos, self.data.qvel
        mujoco.mj_forward(model, ahead)
        position = ahead.geom_xpos[self.spheres]
        velocity = np.zeros((len(self.spheres), 6))
        for row, geom in zip(velocity, self.spheres, strict=True):
            mujoco.mj_objectVelocity(model, ahead, mujoco.mjtObj.mjOBJ_GEOM, geom, row, 0)
        return {
            "contact_position": position,
            "contact_velocity": velocity[:, 3:],
            "contact_distance": position[:, 2] - model.geom_size[self.spheres, 0],
        }


def assert_equal_to_loop(simulator: MujocoSimulator, seed: int, *, shift: int = 0) -> int:
    """Run both and compare everything after every control step; returns how many contacts were between own parts.

    `shift` sends the simulator's targets that many physics steps later than the loop's: a fault to be noticed.
    """
    model = simulator.model
    params = random_params(model, ROBOTS, seed)
    prepared = simulator.prepare(params, ROBOTS)
    state, targets = random_start(ROBOTS, CONTROL_STEPS * SUBSTEPS, seed)
    targets = targets.reshape(CONTROL_STEPS, SUBSTEPS, ROBOTS, -1).swapaxes(1, 2)
    exact = state.qpos.dtype == np.float64
    speed = np.asarray(params.torque_speed, np.float64)
    loops = [Loop(model_of(model, prepared, i), simulator.spheres, speed[i]) for i in range(ROBOTS)]
    for i, loop in enumerate(loops):
        loop.start(np.asarray(state.qpos[i]), np.asarray(state.qvel[i]))
    step = jax.jit(simulator.step)
    pushed = jnp.zeros((ROBOTS, 3), state.qpos.dtype)
    for target, force in zip(targets, np.random.default_rng(seed).normal(0, 3, (CONTROL_STEPS, 3)), strict=True):
        pushed = pushed.at[::2].set(force)
        state, readings = step(prepared, state, jnp.roll(jnp.asarray(target), shift, axis=1), pushed)
        assert np.asarray(readings.ok).all()
        for i, loop in enumerate(loops):
            found = loop.control_step(np.asarray(target[i]), np.asarray(pushed[i]))
            data = loop.data
            if not exact:  # the state that the loop carries on is single precision too
                data.qpos, data.qvel = data.qpos.astype(np.float32), data.qvel.astype(np.float32)
                data.qacc_warmstart = data.qacc_warmstart.astype(np.float32)
            np.testing.assert_array_equal(data.qpos, state.qpos[i])
            np.testing.assert_array_equal(data.qvel, state.qvel[i])
            np.testing.assert_array_equal(data.qacc_warmstart, state.qacc_warmstart[i])
            for name, value in found.items():
                tolerance = 1e-12 if exact else 1e-6
                np.testing.assert_allclose(getattr(readings, name)[i], value, tolerance, tolerance, err_msg=name)
    return sum(loop.own_contacts for loop in loops)


def test_bitwise_equal_to_mj_step_in_float64(simulator: MujocoSimulator, float64: None) -> None:
    assert assert_equal_to_loop(simulator, seed=0) > 10, "contacts between own parts are part of the test"
    with pytest.raises(AssertionError):
        assert_equal_to_loop(simulator, seed=0, shift=-1)


def test_bitwise_equal_to_mj_step_with_a_float32_state(simulator: MujocoSimulator) -> None:
    assert_equal_to_loop(simulator, seed=1)


def test_parameters_mean_what_a_model_compiled_from_them_means(simulator: MujocoSimulator, float64: None) -> None:
    """One control step against models that MuJoCo's compiler makes from full inertia matrices and mixed contacts."""
    params = random_params(simulator.model, 20, seed=2)
    params = params._replace(torque_speed=jnp.full((20, 12), jnp.inf))
    prepared = simulator.prepare(params, 20)
    state, targets = random_start(20, 1, seed=2)
    after, _ = simulator.step(prepared, state, held(targets[0]))
    for i in range(20):
        p = jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], params)
        spec = load_spec(PUPPER, torsion=True)
        for body, mass, com, inertia in zip(spec.bodies[1:], p.body_mass, p.body_ipos, p.body_inertia, strict=True):
            body.mass, body.ipos, body.fullinertia = mass, com, inertia
            body.inertia, body.iquat = [0, 0, 0], [1, 0, 0, 0]
        model = spec.compile()
        model.body_invweight0[1:, 0], model.dof_invweight0[6:] = p.body_invweight0, p.dof_invweight0
        model = _with_motors_and_contacts(model, p)
        data = mujoco.MjData(model)
        data.qpos, data.qvel, data.ctrl = state.qpos[i], state.qvel[i], targets[0, i]
        mujoco.mj_step(model, data, SUBSTEPS)
        np.testing.assert_allclose(after.qpos[i], data.qpos, atol=1e-9)
        np.testing.assert_allclose(after.qvel[i], data.qvel, rtol=1e-7, atol=1e-7)


def _with_motors_and_contacts(model: mujoco.MjModel, p: Params) -> mujoco.MjModel:
    """Everything but inertias; contact parameters equal on both sides, so that their mixture is what was given."""
    model.dof_damping[6:], model.dof_frictionloss[6:], model.dof_armature[6:] = (
        p.dof_damping,
        p.dof_frictionloss,
        p.dof_armature,
    )
    model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1], model.actuator_biasprm[:, 2] = p.kp, -p.kp, -p.kd
    model.actuator_forcerange[:] = np.stack([-p.torque_limit, p.torque_limit], axis=1)
    model.opt.gravity = p.gravity
    floor = model.geom("floor").id
    model.geom_solimp[floor] = 2 * p.contact_solimp - model.geom_solimp[model.geom(PUPPER.foot_geoms[0]).id]
    model.geom_solref[floor] = 2 * p.contact_solref - model.geom_solref[model.geom(PUPPER.foot_geoms[0]).id]
    model.geom_friction[:, 0] = p.friction
    model.geom_friction[:, 1] = p.torsion * model.geom(PUPPER.foot_geoms[0]).friction[1]
    return model


def run(simulator: MujocoSimulator, params: Params, state: State, target: jax.Array) -> tuple[State, Readings]:
    n = len(state.qpos)
    return simulator.step(simulator.prepare(params, n), state, held(target))


def test_a_broken_robot_is_reported_and_harms_no_other(
    simulator: MujocoSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo leaves a log of its warnings
    state, targets = random_start(ROBOTS, CONTROL_STEPS, seed=3)
    params = random_params(simulator.model, ROBOTS, seed=3)
    target = jnp.asarray(targets[0])
    good, good_readings = run(simulator, params, state, target)
    assert good_readings.ok.all()
    broken = state._replace(
        qpos=state.qpos.at[0, 8].set(jnp.nan), qvel=state.qvel.at[1, 3].set(2e3).at[2, 0].set(jnp.inf)
    )
    exploding = params._replace(dof_armature=params.dof_armature.at[3].set(0), kd=params.kd.at[3].set(-1e9))
    exploding = exploding._replace(torque_limit=exploding.torque_limit.at[3].set(1e15))
    new, readings = run(simulator, exploding, broken, target.at[4, 0].set(jnp.nan))
    np.testing.assert_array_equal(readings.ok, [False] * 5 + [True])
    for leaf, expected in zip(jax.tree.leaves((new, readings)), jax.tree.leaves((good, good_readings)), strict=True):
        np.testing.assert_array_equal(leaf[5], expected[5])
    # And what has been broken leaves no trace in the simulator.
    again, _ = run(simulator, params, state, target)
    for leaf, expected in zip(again, good, strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_bits_depend_neither_on_threads_nor_on_company(simulator: MujocoSimulator) -> None:
    state, targets = random_start(ROBOTS, CONTROL_STEPS, seed=4)
    params, target = random_params(simulator.model, ROBOTS, seed=4), jnp.asarray(targets[0])
    expected = run(simulator, params, state, target)
    alone = MujocoSimulator(simulator.model, threads=1)
    some = [4, 1]
    found = run(alone, *jax.tree.map(lambda leaf: leaf[jnp.array(some)], (params, state, target)))
    for leaf, all_of_it in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(leaf, all_of_it[jnp.array(some)])


def test_vmap_is_a_loop(simulator: MujocoSimulator) -> None:
    state, targets = random_start(ROBOTS, CONTROL_STEPS, seed=5)
    prepared = simulator.prepare(random_params(simulator.model, ROBOTS, seed=5), ROBOTS)
    both = jax.vmap(simulator.step, in_axes=(None, None, 0))(prepared, state, jax.vmap(held)(targets[:2]))
    for k in range(2):
        one = simulator.step(prepared, state, held(targets[k]))
        for leaf, expected in zip(jax.tree.leaves(both), jax.tree.leaves(one), strict=True):
            np.testing.assert_array_equal(leaf[k], expected)


def test_models_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="ground_sensors=True"):
        MujocoSimulator(load_model(PUPPER, visuals=False))
    model = load_model(PUPPER, visuals=False, ground_sensors=True)
    with pytest.raises(ValueError, match="substeps"):
        MujocoSimulator(model, substeps=0)
    spec = load_spec(PUPPER, visuals=False, ground_sensors=True)
    spec.delete(spec.key("home"))
    spec.delete(spec.actuator("leg_back_l_3"))
    with pytest.raises(ValueError, match="one actuator for each of the 12 hinges"):
        MujocoSimulator(spec.compile())


def test_make_simulator_names_the_choices() -> None:
    with pytest.raises(ValueError, match="native, mujoco, mjx, bullet, dart, newton"):
        make_simulator("havok", PUPPER)
    with pytest.raises(ValueError, match="train, exact"):
        make_simulator("mujoco", PUPPER, solver="fast")
    exact = make_simulator("mujoco", PUPPER, solver="exact").model
    assert exact.opt.iterations > 10 > make_simulator("mujoco", PUPPER).model.opt.iterations


def test_64_bits_of_one_thread_are_refused(simulator: MujocoSimulator) -> None:
    """JAX calls back in threads of its own, to which `jax.enable_x64` does not speak."""
    for setting, refused in ((jax.enable_x64(True), True), (double_precision(), False)):
        with setting:
            params = random_params(simulator.model, ROBOTS, seed=0)
            if refused:
                with pytest.raises(ValueError, match=r"jax\.config\.update"):
                    simulator.prepare(params, ROBOTS)
            else:
                assert simulator.prepare(params, ROBOTS).body_iquat.dtype == np.float64


@pytest.mark.parametrize("condim", [3, 6])
def test_the_ground_that_decides_alone_resists_feet_as_the_model_has_it(condim: int) -> None:
    """3 is the control: what the model's feet do not have, the ground does not add."""
    model = load_model(PUPPER, visuals=False)
    floor, feet = model.geom("floor").id, [model.geom(name).id for name in PUPPER.foot_geoms]
    model.geom_condim[feet] = condim
    ready = engine_model(model, floor)
    assert ready.geom_priority[floor] > ready.geom_priority[feet].max()
    assert ready.geom_condim[floor] == condim and ready.geom_friction[floor, 1] == model.geom_friction[feet[0], 1]
    assert model.geom_friction[floor, 1] < model.geom_friction[feet[0], 1], "the floor's own would be less"
