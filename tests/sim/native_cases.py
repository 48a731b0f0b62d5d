"""What the native engine is compared on: random legged robots, random states, and MuJoCo's converged answers."""

from __future__ import annotations

import copy
from collections import Counter

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from sim.random_robots import held
from walkies.robots import PUPPER, load_model
from walkies.sim.base import Params, State
from walkies.sim.native import NativeSimulator
from walkies.sim.params import read_params

POSE = np.array(PUPPER.default_pose)


def pupper() -> mujoco.MjModel:
    return load_model(PUPPER, own_contacts=False, visuals=False)


def converged(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy of `model` whose solver runs to convergence: the reference of all comparisons."""
    model = copy.deepcopy(model)
    model.opt.iterations, model.opt.tolerance = 100, 0
    model.opt.ls_iterations, model.opt.ls_tolerance = 100, 1e-10
    return model


def random_mjcf(legs: int, joints: int, seed: int) -> str:
    """A robot nobody built: legs around a base, links and hinge axes in all directions, spheres on base, knee, foot."""
    rng = np.random.default_rng(seed)

    def vector(values: np.ndarray) -> str:
        return " ".join(f"{v:.6g}" for v in values)

    def unit(size: int) -> str:
        return vector((v := rng.normal(size=size)) / np.linalg.norm(v))

    def inertial(mass: float, size: float) -> str:
        a, b, c = rng.uniform(0.5, 1, 3) * mass * size**2
        moments = vector(np.array([b + c, a + c, a + b]))
        center = vector(rng.normal(size=3) * size / 2)
        return f'<inertial pos="{center}" quat="{unit(4)}" mass="{mass}" diaginertia="{moments}"/>'

    def link(leg: int, k: int) -> str:
        pos = vector(np.array([0.2 * np.cos(leg), 0.2 * np.sin(leg), 0]) if k == 0 else rng.normal(size=3) * 0.08)
        quat = unit(4)
        low, high = rng.uniform(-1.5, -0.3), rng.uniform(0.3, 1.5)
        inside = f'<joint name="j{leg}_{k}" axis="{unit(3)}" range="{low:.3f} {high:.3f}"/>'
        inside += inertial(rng.uniform(0.1, 0.4), 0.05)
        if k >= joints - 2:
            inside += (
                f'<geom name="g{leg}_{k}" class="collider" size="0.02" pos="{vector(rng.normal(size=3) * 0.05)}"/>'
            )
        if k + 1 < joints:
            inside += link(leg, k + 1)
        return f'<body name="b{leg}_{k}" pos="{pos}" quat="{quat}">{inside}</body>'

    names = [f"j{leg}_{k}" for leg in range(legs) for k in range(joints)]
    return f"""
    <mujoco>
      <compiler angle="radian" autolimits="true"/>
      <option timestep="0.003" cone="pyramidal" impratio="7" solver="Newton"><flag eulerdamp="disable"/></option>
      <default>
        <joint type="hinge" armature="0.002" damping="0.02" frictionloss="0.1" solreflimit="0.03 0.8"
               solimplimit="0.8 0.97 0.05 0.4 3" solreffriction="0.025 1" solimpfriction="0.85 0.95 0.01"/>
        <position kp="6" kv="0.3" forcerange="-2 2"/>
        <default class="collider">
          <geom type="sphere" mass="0" contype="0" conaffinity="1" condim="3"
                solref="0.03 0.9" solimp="0.2 0.95 0.03 0.3 3"/>
        </default>
      </default>
      <worldbody>
        <geom name="floor" type="plane" size="0 0 1" contype="1" conaffinity="0"/>
        <body name="base" pos="0 0 0.3">
          <freejoint/>{inertial(2, 0.1)}
          <geom name="belly" class="collider" size="0.05" pos="0.1 0 -0.05"/>
          <geom name="back" class="collider" size="0.05" pos="-0.1 0.05 0.05"/>
          {"".join(link(leg, 0) for leg in range(legs))}
        </body>
      </worldbody>
      <actuator>{"".join(f'<position joint="{name}"/>' for name in names)}</actuator>
    </mujoco>"""


def randomized(model: mujoco.MjModel, rng: np.random.Generator) -> mujoco.MjModel:
    """A copy of `model` with everything that `Params` holds drawn anew."""
    model = copy.deepcopy(model)
    # MuJoCo's shortcuts for inertias that sit in the body frame no longer hold, nor do the bounding boxes, which are
    # kept in the axes of inertia: too large boxes miss no contact.
    model.body_sameframe[:] = model.body_simple[:] = model.dof_simplenum[:] = 0
    model.bvh_aabb[:, 3:] = 10
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE

    def scale(values: np.ndarray, low: float, high: float) -> None:
        values[:] *= rng.uniform(low, high, values.shape)

    for body in range(1, model.nbody):
        scale(model.body_mass[body : body + 1], 0.6, 1.5)
        # The triangle inequality keeps an inertia physical: moments of a cloud of points.
        a, b, c = rng.uniform(0.3, 1.0, 3) * model.body_inertia[body].mean()
        model.body_inertia[body] = b + c, a + c, a + b
        quaternion = rng.normal(size=4)
        model.body_iquat[body] = quaternion / np.linalg.norm(quaternion)
        model.body_ipos[body] += rng.normal(size=3) * 0.02
    scale(model.body_invweight0[1:], 0.7, 1.3)
    scale(model.dof_invweight0[6:], 0.7, 1.3)
    for values, low, high in (
        (model.dof_damping[6:], 0, 3),
        (model.dof_frictionloss[6:], 0.2, 2),
        (model.dof_armature[6:], 0.5, 2),
    ):
        scale(values, low, high)
    gain, damping, limit = (rng.uniform(low, high, model.nu) for low, high in ((3, 10), (0.1, 0.4), (0.5, 3)))
    model.actuator_gainprm[:, 0], model.actuator_biasprm[:, 1], model.actuator_biasprm[:, 2] = gain, -gain, -damping
    model.actuator_forcerange[:] = np.stack([-limit, limit], axis=1)
    colliders = [g for g in range(model.ngeom) if model.geom_contype[g] or model.geom_conaffinity[g]]
    model.geom_friction[colliders, 0] = rng.uniform(0.3, 1.4)
    model.geom_solref[colliders] = rng.uniform(0.01, 0.04), rng.uniform(0.6, 1.3)
    low, high = rng.uniform(0.2, 0.6), rng.uniform(0.8, 0.98)
    model.geom_solimp[colliders] = (
        low,
        high,
        rng.uniform(0.005, 0.03),
        rng.uniform(0.2, 0.8),
        rng.choice([1.0, 2.0, 2.7]),
    )
    model.opt.gravity = [*rng.normal(size=2), -9.81 + rng.normal()]
    return model


def stacked_params(models: list[mujoco.MjModel], repeats: int) -> Params:
    """The parameters of every model, each for `repeats` robots in a row; float64 in JAX's 64-bit mode."""
    each = [read_params(model) for model in models]
    return jax.tree.map(lambda *leaves: jnp.repeat(jnp.concatenate(leaves), repeats, axis=0), *each)


def random_states(
    model: mujoco.MjModel, n: int, rng: np.random.Generator, pose: np.ndarray, height: float = 0.3
) -> tuple[np.ndarray, ...]:
    """qpos, qvel, warm start and servo targets of robots in the air, on their feet and on their backs.

    height: m, of the highest base.
    """
    nu = model.nu
    qpos = np.zeros((n, 7 + nu))
    qpos[:, :2] = rng.normal(size=(n, 2))
    qpos[:, 2] = rng.uniform(0.0, height, n)
    tilt = rng.normal(size=(n, 4)) * rng.choice([0.05, 0.3, 2.0], (n, 1)) + [1, 0, 0, 0]
    qpos[:, 3:7] = tilt / np.linalg.norm(tilt, axis=1, keepdims=True)
    qpos[:, 7:] = pose + rng.normal(size=(n, nu)) * rng.uniform(0.05, 1.2, (n, 1))
    qvel = rng.normal(size=(n, 6 + nu)) * rng.uniform(0, 3, (n, 1))
    warmstart = rng.normal(size=(n, 6 + nu)) * rng.uniform(0, 30, (n, 1))
    target = qpos[:, 7:] + rng.normal(size=(n, nu)) * 0.4
    return qpos, qvel, warmstart, target


def make_state(qpos: np.ndarray, qvel: np.ndarray, warmstart: np.ndarray) -> State:
    return State(*(jnp.asarray(x) for x in (qpos, qvel, warmstart)))


def engine_accelerations(
    model: mujoco.MjModel,
    params: Params,
    state: State,
    target: np.ndarray,
    solver: str,
    dtype: str,
    force: np.ndarray | None = None,
) -> np.ndarray:
    """qacc of the engine: the warm start after a single physics step. force: (n, 3) N on the base, or none."""
    simulator = NativeSimulator(model, 1, solver, threads=1, dtype=dtype)
    prepared = simulator.prepare(params, len(target))
    after, readings = jax.jit(simulator.step)(prepared, state, held(target, 1), force)
    assert readings.ok.all()
    return np.asarray(after.qacc_warmstart)


def reference(
    model: mujoco.MjModel,
    states: tuple[np.ndarray, ...],
    seen: Counter[str] | None = None,
    force: np.ndarray | None = None,
) -> np.ndarray:
    """MuJoCo's qacc at every state; `seen` counts the states that show each kind of constraint."""
    data = mujoco.MjData(model)
    out = []
    for i, (qpos, qvel, _, target) in enumerate(zip(*states, strict=True)):
        data.qpos, data.qvel, data.ctrl, data.qacc_warmstart = qpos, qvel, target, 0
        data.xfrc_applied[1, :3] = 0 if force is None else force[i]
        mujoco.mj_forward(model, data)
        out.append(data.qacc.copy())
        if seen is not None:
            seen.update(kinds(model, data))
    return np.stack(out)


def kinds(model: mujoco.MjModel, data: mujoco.MjData) -> set[str]:
    """Kinds of constraint in force."""
    state, kind = mujoco.mjtConstraintState, mujoco.mjtConstraint
    found = set()
    for row_kind, row_state in zip(data.efc_type[: data.nefc], data.efc_state[: data.nefc], strict=True):
        if row_kind == kind.mjCNSTR_FRICTION_DOF:
            found.add("sticking joint" if row_state == state.mjCNSTRSTATE_QUADRATIC else "slipping joint")
        elif row_kind == kind.mjCNSTR_LIMIT_JOINT:
            found.add("joint limit" if row_state == state.mjCNSTRSTATE_QUADRATIC else "joint limit let go")
        else:
            found.add("contact edge" if row_state == state.mjCNSTRSTATE_QUADRATIC else "contact edge let go")
    for contact in data.contact:
        body = model.geom_bodyid[max(contact.geom)]
        found.add("torso" if body == 1 else "knee" if body in model.body_parentid else "foot")
    if data.ncon == 0:
        found.add("airborne")
    if np.any(np.abs(data.actuator_force) >= model.actuator_forcerange[:, 1]):
        found.add("torque limit")
    return found


ALL_KINDS = {
    "sticking joint",
    "slipping joint",
    "joint limit",
    "joint limit let go",
    "contact edge",
    "contact edge let go",
    "torso",
    "foot",
    "knee",
    "airborne",
    "torque limit",
}


def relative_error(acceleration: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """max|a − a*| / max(1, max|a*|) of every state: (n,)."""
    return np.abs(acceleration - truth).max(axis=1) / np.maximum(1, np.abs(truth).max(axis=1))
