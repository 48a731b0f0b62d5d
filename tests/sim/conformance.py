"""What the conformance suite measures (`test_conformance.py`), and to what each engine is held.

Every law is a function of an engine's name that returns an error, 0 for perfect physics; with `wrong` it measures wrong
physics in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from walkies.robots import PUPPER, get_robot, load_model
from walkies.robots.base import Robot
from walkies.sim import SIMULATORS, make_simulator
from walkies.sim.base import Params, Readings, Simulator, State
from walkies.sim.params import read_params

ENGINES: tuple[str, ...] = SIMULATORS

TOLERANCES: dict[str, dict[str, float]] = {
    "free fall": {"native": 1e-6, "mujoco": 1e-6, "mjx": 1e-6, "bullet": 1e-6, "dart": 1e-6, "newton": 1e-6},
    "momentum in flight": {"native": 0.01, "mujoco": 0.01, "mjx": 0.01, "bullet": 0.01, "dart": 0.01, "newton": 0.01},
    "static stand": {"native": 1e-3, "mujoco": 1e-3, "mjx": 1e-3, "bullet": 1e-4, "dart": 1e-4, "newton": 1e-3},
    "friction holds": {"native": 8e-3, "mujoco": 8e-3, "mjx": 8e-3, "bullet": 3e-3, "dart": 3e-3, "newton": 8e-3},
    "friction slides": {"native": 1e-3, "mujoco": 1e-3, "mjx": 1e-3, "bullet": 1e-3, "dart": 1e-3, "newton": 1e-3},
    "step response": {"native": 1e-5, "mujoco": 1e-5, "mjx": 1e-5, "bullet": 1e-4, "dart": 1e-4, "newton": 1e-5},
    "spring": {"native": 1e-5, "mujoco": 1e-5, "mjx": 1e-5, "bullet": 1e-4, "dart": 1e-4, "newton": 1e-5},
    "joint limit": {"native": 0.02, "mujoco": 0.02, "mjx": 0.02, "bullet": 1e-3, "dart": 1e-4, "newton": 0.02},
    "torque limit": {"native": 1e-4, "mujoco": 1e-4, "mjx": 1e-4, "bullet": 1e-3, "dart": 1e-3, "newton": 1e-4},
}
"""By law and engine; units: see each law."""

G = 9.81
POSE = np.array(PUPPER.default_pose)
FEET, TORSO = frozenset(PUPPER.foot_geoms), frozenset(PUPPER.torso_geoms)
STEPS = 5
"""Physics steps of a call."""
KNEE = 2
"""The joint that is moved alone: the last one of the first leg."""


@functools.cache
def simulator(engine: str, robot: Robot = PUPPER) -> Simulator:
    """The engine with a robot; iterative solvers converge where they can be told to."""
    return fresh(engine, robot)


def fresh(engine: str, robot: Robot = PUPPER) -> Simulator:
    return make_simulator(engine, robot, threads=1, solver="exact")


@functools.cache
def nominal(robot: Robot = PUPPER) -> Params:
    model = load_model(robot, own_contacts=False, visuals=False)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), read_params(model))


def run(
    made: Any, params: Params, qpos: np.ndarray, targets: np.ndarray, *, qvel: np.ndarray | None = None, calls: int = 1,
    force: np.ndarray | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray], Readings]:  # fmt: skip
    """Step robots qpos (n, nq) under constant targets; qpos and qvel after each call, and the last readings.

    All calls have the same shapes: an engine in JAX is compiled once for a number of robots.
    """
    n, nv = len(qpos), made.model.nv
    held = jnp.asarray(np.repeat(targets[:, None], STEPS, axis=1), jnp.float32)
    start = np.zeros((n, nv)) if qvel is None else qvel
    state = State(*(jnp.asarray(part, jnp.float32) for part in (qpos, start, np.zeros((n, nv)))))
    push = jnp.asarray(np.zeros((n, 3)) if force is None else force, jnp.float32)
    prepared, positions, speeds = _prepare(made, params, n), [], []
    for _ in range(calls):
        state, readings = _step(made)(prepared, state, held, push)
        positions.append(np.asarray(state.qpos, np.float64))
        speeds.append(np.asarray(state.qvel, np.float64))
    return positions, speeds, readings


@functools.cache
def _step(made: Any) -> Any:
    return jax.jit(made.step)


def _prepare(made: Any, params: Params, n: int) -> Any:
    return made.prepare(params, n)


def pose(height: float, joints: np.ndarray = POSE) -> np.ndarray:
    """(1, nq): upright, at rest."""
    return np.concatenate([[0, 0, height, 1, 0, 0, 0], joints])[None]


def without(params: Params, *names: str) -> Params:
    """The same without motors, friction or whatever is named."""
    return params._replace(**{name: np.zeros_like(getattr(params, name)) for name in names})


def weightless(params: Params) -> Params:
    # A direction of gravity is kept, for the readings of the IMU.
    return params._replace(gravity=params.gravity * 1e-9)


def free_fall(engine: str, wrong: bool = False, robot: Robot = PUPPER) -> float:
    """m: height after 0.2 s, of a robot that holds its pose, against that of K steps h: −g h² K (K + 1) / 2.

    Wrong: gravity less by a hundredth.
    """
    params = nominal(robot)
    params = params._replace(gravity=params.gravity * (0.99 if wrong else 1.0))
    made, calls, held = simulator(engine, robot), 10, np.array(robot.default_pose)
    positions, _, _ = run(made, params, pose(1.0, held), held[None], calls=calls)
    steps = STEPS * calls
    return abs(positions[-1][0, 2] - (1.0 - G * made.timestep**2 * steps * (steps + 1) / 2))


def momentum(engine: str, wrong: bool = False, robot: Robot = PUPPER) -> float:
    """1: change of linear and angular momentum about the centre of mass in 0.2 s of flight without gravity, legs loose
    and flying about, relative to their size.

    Wrong: a force of a sixtieth of the weight.
    """
    made, held = simulator(engine, robot), np.array(robot.default_pose)
    params = weightless(without(nominal(robot), "kp", "kd", "dof_damping", "dof_frictionloss", "dof_armature"))
    rng = np.random.default_rng(0)
    qvel = np.concatenate([rng.normal(0, 0.5, 3), rng.normal(0, 1, 3), rng.normal(0, 2, made.model.nv - 6)])[None]
    force = np.full((1, 3), float(params.body_mass.sum()) * G / 60 / np.sqrt(3)) if wrong else None
    start = pose(1.0, held)
    positions, speeds, _ = run(made, params, start, held[None], qvel=qvel, calls=10, force=force)
    before, after = _momenta(made.model, start[0], qvel[0]), _momenta(made.model, positions[-1][0], speeds[-1][0])
    return max(float(np.linalg.norm(b - a) / np.linalg.norm(a)) for a, b in zip(before, after, strict=True))


def _momenta(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    data = mujoco.MjData(model)
    data.qpos, data.qvel = qpos, qvel
    mujoco.mj_forward(model, data)
    mujoco.mj_subtreeVel(model, data)
    return data.subtree_linvel[1] * model.body_subtreemass[1], data.subtree_angmom[1].copy()


def static_stand(engine: str, wrong: bool = False, robot: Robot = PUPPER) -> float:
    """1: after a second of standing, the sum of contact forces against the weight, relative to it.

    Wrong: the trunk heavier than thought, by a sixtieth of the robot.
    """
    made, params, held = simulator(engine, robot), nominal(robot), np.array(robot.default_pose)
    weight = params.body_mass.sum() * G
    if wrong:
        mass = params.body_mass.copy()
        mass[0, 0] += mass.sum() / 60
        params = params._replace(body_mass=mass)
    _, _, readings = run(made, params, pose(robot.standing_height, held), held[None], calls=50)
    return float(np.linalg.norm(np.asarray(readings.contact_force[0]).sum(axis=0) - [0, 0, weight]) / weight)


def motors(engine: str, wrong: bool = False, robot: Robot = PUPPER) -> float:
    """rad: joints after 20 ms in the air under targets of their own, against MuJoCo's.

    Wrong: the targets in the opposite order.
    """
    held = np.array(robot.default_pose)
    targets = held + np.random.default_rng(1).uniform(0.1, 0.3, len(held)) * np.resize([1, -1, -1], len(held))
    params = without(nominal(robot), "dof_frictionloss")
    found = [
        run(simulator(name, robot), params, pose(1.0, held), aims[None])[0][-1][0, 7:]
        for name, aims in ((engine, targets[::-1] if wrong else targets), ("mujoco", targets))
    ]
    return float(np.abs(found[0] - found[1]).max())


SLOPE = 0.25
"""tan of the slope on which friction is examined."""


def _on_slope(engine: str, friction: float, calls: int) -> tuple[np.ndarray, Readings]:
    """A standing robot on a slope down along +x: base position (3,) m as it moved in so many control steps."""
    made, params = simulator(engine), nominal()
    angle = np.arctan(SLOPE)
    params = params._replace(
        gravity=np.array([[np.sin(angle), 0, -np.cos(angle)]], np.float32) * np.float32(G),
        friction=np.array([friction], np.float32),
        kp=params.kp * 4,
        torque_limit=params.torque_limit * 4,
    )
    settled, speeds, _ = run(made, params._replace(friction=np.array([2.0], np.float32)),
                             pose(PUPPER.standing_height), POSE[None], calls=40)  # fmt: skip
    positions, _, readings = run(made, params, settled[-1], POSE[None], qvel=speeds[-1], calls=calls)
    return positions[-1][0, :3] - settled[-1][0, :3], readings


def friction_holds(engine: str, wrong: bool = False) -> float:
    """m: creep in 0.4 s where friction is 1.2 times what the slope asks.

    Wrong: 0.8 times.
    """
    moved, _ = _on_slope(engine, SLOPE * (0.8 if wrong else 1.2), 20)
    return float(np.linalg.norm(moved[:2]))


def friction_slides(engine: str, wrong: bool = False) -> float:
    """1: tangential over normal force of all feet, on average while the robot slides, against the coefficient 0.15.

    Wrong: the coefficient 0.17.
    """
    force = np.zeros(3)
    for calls in (5, 8, 11):
        _, readings = _on_slope(engine, 0.17 if wrong else 0.15, calls)
        force += np.asarray(readings.contact_force[0], np.float64).sum(axis=0)
    return abs(float(np.linalg.norm(force[:2]) / force[2]) - 0.15) / 0.15


def _alone(engine: str, **changes: float) -> tuple[Any, Params, float]:
    """A simulator, parameters with which one knee moves and all else is as good as fixed, and the knee's inertia."""
    made = simulator(engine)
    params = weightless(without(nominal(), "dof_damping", "dof_frictionloss"))
    armature, kp, kd = (np.array(leaf) for leaf in (params.dof_armature, params.kp, params.kd))
    armature[0, np.arange(len(POSE)) != KNEE] = 20.0
    kp[0], kd[0] = 0, 0
    kp[0, KNEE], kd[0, KNEE] = changes.get("kp", 0.5), changes.get("kd", 0.02)
    limit = np.full_like(kp, changes.get("torque_limit", 100.0))
    mass, inertia = np.array(params.body_mass), np.array(params.body_inertia)
    mass[0, 0], inertia[0, 0, :3] = mass[0, 0] * 3e3, inertia[0, 0, :3] * 3e4
    params = params._replace(
        dof_armature=armature, kp=kp, kd=kd, torque_limit=limit, body_mass=mass, body_inertia=inertia
    )
    model = made.model
    body = model.joint(PUPPER.joint_names[KNEE]).bodyid[0]
    lever = model.body_ipos[body] - model.jnt_pos[model.joint(PUPPER.joint_names[KNEE]).id]
    axis = model.jnt_axis[model.joint(PUPPER.joint_names[KNEE]).id]
    xx, yy, zz, xy, xz, yz = np.asarray(params.body_inertia[0, body - 1], np.float64)
    about = axis @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ axis
    about += model.body_mass[body] * np.sum(np.cross(axis, lever) ** 2)
    return made, params, float(about + params.dof_armature[0, KNEE])


def step_response(engine: str, wrong: bool = False) -> float:
    """rad: a knee's answer to a step of 0.3 rad over 0.2 s, the rest held, against the closed form of its oscillator in
    steps of h: (q, q̇) ← A (q, q̇), q̇' = q̇ − h (kp q + kd q̇) / I, q' = q + h q̇'.

    Wrong: kd larger by a fifth.
    """
    made, params, inertia = _alone(engine, kp=KP, kd=1.2 * KD if wrong else KD)
    return _oscillates(made, params, inertia)


def spring(engine: str, wrong: bool = False) -> float:
    """rad: likewise, of a knee without a servo that a spring of the joint pulls back, and damping slows down.

    Wrong: damping larger by a fifth.
    """
    _, params, inertia = _alone(engine, kp=0.0, kd=0.0)
    damping = np.zeros_like(params.dof_damping)
    damping[0, KNEE] = 1.2 * KD if wrong else KD
    return _oscillates(_sprung(engine), params._replace(dof_damping=damping), inertia)


KP, KD = 0.5, 0.02
"""N m/rad and N m s/rad, of a knee that oscillates."""


def _oscillates(made: Any, params: Params, inertia: float) -> float:
    h, kp, kd = made.timestep, KP, KD
    a, b = h * kp / inertia, 1 - h * kd / inertia
    matrix, start = np.array([[1 - h * a, h * b], [-a, b]]), POSE.copy()
    start[KNEE] -= 0.3
    positions, _, _ = run(made, params, pose(1.0, start), POSE[None], calls=10)
    expected = [(np.linalg.matrix_power(matrix, STEPS * k) @ [-0.3, 0])[0] for k in range(1, 11)]
    return float(np.abs([q[0, 7 + KNEE] - POSE[KNEE] for q in positions] - np.array(expected)).max())


def joint_limit(engine: str, wrong: bool = False) -> float:
    """rad: how far a knee is from its limit, after 0.4 s of a torque of 1 N m into it.

    Wrong: a joint without a limit.
    """
    made, params, _ = _alone(engine, kp=0.5, kd=0.1, torque_limit=1.0)
    limit = float(made.model.jnt_range[1 + KNEE, 1])
    start = POSE.copy()
    start[KNEE] = limit - 0.2
    target = POSE.copy()
    target[KNEE] = limit + 3
    if wrong:
        made = _unlimited(engine)
    positions, _, _ = run(made, params, pose(1.0, start), target[None], calls=20)
    return abs(float(positions[-1][0, 7 + KNEE]) - limit)


@functools.cache
def _unlimited(engine: str) -> Any:
    model = simulator(engine).model.__copy__()
    model.jnt_limited[1:] = 0
    return _of(engine, model)


@functools.cache
def _sprung(engine: str) -> Any:
    model = simulator(engine).model.__copy__()
    model.jnt_stiffness[1 + KNEE], model.qpos_spring[7 + KNEE] = KP, POSE[KNEE]
    return _of(engine, model)


def _of(engine: str, model: mujoco.MjModel) -> Any:
    made = simulator(engine)
    if engine in ("native", "mujoco"):
        return type(made)(model, threads=1)
    if engine in ("mjx", "newton"):
        return type(made)(model)
    return type(made)(engine, model)


def torque_limit(engine: str, wrong: bool = False) -> float:
    """1: speed of a knee after 20 ms under a motor at its limit of 0.05 N m, against limit × time / inertia, relative;
    and the torque that the readings say, likewise.

    Wrong: the limit larger by a twentieth.
    """
    limit = 0.05
    made, params, inertia = _alone(engine, kp=5.0, kd=0.0, torque_limit=limit * (1.05 if wrong else 1.0))
    target = POSE.copy()
    target[KNEE] -= 1.0
    _, speeds, readings = run(made, params, pose(1.0), target[None])
    expected = -limit * STEPS * made.timestep / inertia
    errors = speeds[-1][0, 6 + KNEE] / expected - 1, float(readings.joint_torque[0, KNEE]) / -limit - 1
    return float(np.abs(errors).max())


MEASURES: dict[str, Callable[..., float]] = {
    "free fall": free_fall,
    "momentum in flight": momentum,
    "static stand": static_stand,
    "friction holds": friction_holds,
    "friction slides": friction_slides,
    "step response": step_response,
    "spring": spring,
    "joint limit": joint_limit,
    "torque limit": torque_limit,
}


ANY_ROBOT: dict[str, tuple[Callable[..., float], dict[str, float]]] = {
    "free fall": (free_fall, dict.fromkeys(ENGINES, 1e-6)),
    "momentum in flight": (momentum, dict.fromkeys(ENGINES, 0.02)),
    "static stand": (static_stand, dict.fromkeys(ENGINES, 5e-3)),
    "motors": (motors, dict.fromkeys(ENGINES, 1e-4) | {"bullet": 0.06, "dart": 0.06, "newton": 0.04}),
}
"""Laws for other robots than the one above, and the tolerance of each engine: a biped still sways when it is measured,
and its heavy legs fly about so fast that a step of the engines shows in the momentum. Rotors turn with the trunk too in
Bullet and DART, which motors then notice; and there as in Newton damping is explicit, and not as in MuJoCo implicit."""
OTHERS = ("servo-dog", "biped")


def tumble(
    made: Any, seed: int = 0, *, rows: Iterable[int] = range(1), force: tuple[float, ...] | None = None,
    nudge: float = 0.0, broken: bool = False,
) -> Any:  # fmt: skip
    """What 40 ms make of robots that fall on their sides, each of them another robot in another state."""
    each = []
    for row in rows:
        rng = np.random.default_rng([seed, row])
        qpos = pose(0.12, POSE + rng.normal(0, 0.3, len(POSE)))[0]
        qpos[3:7] += rng.normal(0, 0.3, 4)
        qpos[3:7] /= np.linalg.norm(qpos[3:7])
        qpos[7] += nudge
        each.append(
            (qpos, rng.normal(0, 1, made.model.nv), POSE + rng.normal(0, 0.5, len(POSE)), rng.uniform(0.8, 1.2))
        )
    qpos, qvel, targets, size = (np.array(part) for part in zip(*each, strict=True))
    if broken:
        qvel[:] = np.nan
    scale = size.astype(np.float32)
    params = nominal()
    params = params._replace(
        body_mass=params.body_mass * scale[:, None],
        body_inertia=params.body_inertia * scale[:, None, None],
        friction=params.friction * scale,
        kp=params.kp * scale[:, None],
    )
    push = None if force is None else np.tile(force, (len(qpos), 1))
    positions, speeds, readings = run(made, params, qpos, targets, qvel=qvel, calls=2, force=push)
    return jax.tree.map(np.asarray, (positions[-1], speeds[-1], readings))


def same_bits(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


ROW_OF_A_BATCH = {"mjx": 1e-3}
"""How far a robot may be from itself in a batch (`difference`), where it is not the same bits: XLA adds up in another
order in a program of another size."""


def difference(one: Any, other: Any) -> float:
    """The largest of any number, relative to the number where that is above 1."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.max(np.abs(1.0 * a - b) / np.maximum(1.0, np.abs(b)))) for a, b in pairs)


def loaded(engine: str) -> tuple[set[str], set[str]]:
    """Spheres that bear load when the robot stands, and when it lies on its back with its feet in the air."""
    made, found = simulator(engine), []
    on_its_back = pose(0.1)
    on_its_back[:, 3:7] = [0, 1, 0, 0]
    for start in (pose(PUPPER.standing_height), on_its_back):
        _, _, readings = run(made, nominal(), start, POSE[None], calls=20)
        force = np.asarray(readings.contact_force[0])[:, 2]
        found.append({name for name, value in zip(made.spheres, force, strict=True) if value > 0.2})
    return found[0], found[1]


def table_of_others() -> str:
    """The largest errors of each engine over OTHERS, and its tolerance, as Markdown."""
    rows = ["| law | " + " | ".join(ENGINES) + " |", "|---" * (len(ENGINES) + 1) + "|"]
    for law, (measure, tolerances) in ANY_ROBOT.items():
        errors = {engine: max(measure(engine, robot=get_robot(name)) for name in OTHERS) for engine in ENGINES}
        rows.append(f"| {law} | " + " | ".join(f"{errors[one]:.1e} ({tolerances[one]:.0e})" for one in ENGINES) + " |")
    return "\n".join(rows)


def table() -> str:
    """The measured errors and tolerances as Markdown: measured (tolerance)."""
    rows = ["| law | " + " | ".join(ENGINES) + " |", "|---" * (len(ENGINES) + 1) + "|"]
    for law, measure in MEASURES.items():
        cells = [f"{measure(engine):.1e} ({TOLERANCES[law][engine]:.0e})" for engine in ENGINES]
        rows.append(f"| {law} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
    print(table_of_others())
