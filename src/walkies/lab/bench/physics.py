"""`walkies lab bench physics`: speed and accuracy of the native engine compared with MuJoCo, in one run.

Both engines start from the same saved states of walking robots (same warm starts) under the same controls, interleaved,
and medians are reported: falling robots are cheap to simulate, and a machine's clock drifts. The native engine has one
set of parameters per robot, MuJoCo one model for all. MuJoCo runs with the model's own solver options.
"""

from __future__ import annotations

import json as json_module
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
import tyro

from walkies.accel import library
from walkies.accel.cpu import Threads, available_cores, use_cpu
from walkies.bounds import Between
from walkies.errors import UserError
from walkies.later import jax, jnp, mujoco
from walkies.robots import DEFAULT, get_robot, load_model, touch_only_the_ground
from walkies.robots.base import Robot
from walkies.sim import nominal_params
from walkies.sim.base import State
from walkies.sim.native import NativeSimulator
from walkies.sim.params import ground_geom, on_ground, read_any_params

SUBSTEPS = 5
CONTROL_STEPS = 4
"""Control steps per timed call."""
WARM_UP = 60
"""Control steps until the robots walk."""
ERROR_STATES = 400
"""States at which accelerations are compared."""
REFERENCE_ITERATIONS = 100
HINGES_TO_TROT = 3
"""Of a leg: it swings sideways with the first and lifts with the last."""
MJCF = ".xml"
"""How the name of a file ends."""
JITTER = 0.08
"""rad, standard deviation of a script's targets"""


class Walking(NamedTuple):
    """Robots in the midst of walking, and what they are told next."""

    state: State
    targets: np.ndarray
    """(CONTROL_STEPS, n, nu) rad."""
    fallen: float
    """Share of robots that lie on the ground."""


def command(
    robot: str | None = None,
    /,
    named: Annotated[str | None, tyro.conf.arg(name="robot")] = None,
    robots: Annotated[int, Between(1, 100_000)] = 1024,
    rounds: Annotated[int, Between(5, 100_000)] = 7,
    threads: Threads | None = None,
    policy: str | None = None,
    json: bool = False,
) -> None:
    """Measure both settings of the native engine against mujoco.batch.Batch from the same walking states.

    Args:
        robot: Name of a robot, or an MJCF file that the engine supports. Default: pupper.
        named: The same as a flag.
        robots: Number of robots simulated at once.
        rounds: Interleaved repetitions; medians are reported.
        threads: CPU threads for both engines. Default: all cores.
        policy: A policy.json that walks the robots; without it they trot on the spot by a script.
        json: Print one JSON object instead of a table.
    """
    if robot and named and robot != named:
        raise UserError(f"--robot: got {named}, but {robot} was named too; leave one of them out")
    use_cpu(threads)
    result = run(robot or named or DEFAULT, robots=robots, rounds=rounds, threads=threads, policy=policy)
    print(json_module.dumps(result, indent=2) if json else table(result))


def run(
    robot: str = DEFAULT, *, robots: int = 1024, rounds: int = 7, threads: int | None = None, policy: str | None = None
) -> dict[str, Any]:
    """Rates in physics steps/s (medians over `rounds`), ratios, and quantiles of relative errors of qacc.

    The error of an acceleration a is max|a − a*| / max(1, max|a*|), a* from MuJoCo's solver run to convergence, over
    states at every physics step of a control step. `error_*` belong to the setting `train`.
    """
    if robot.endswith(MJCF):
        if policy:
            raise UserError("--policy: a robot that has no record has no controller; leave the policy out")
        model = load_file(robot)
        return measure(model, settled(model, robots, threads), rounds, threads)
    record = get_robot(robot)
    model = load_model(record, own_contacts=False, visuals=False)
    return measure(model, walk(record, model, robots, policy, threads), rounds, threads)


def load_file(path: str) -> mujoco.MjModel:
    """The robot of an MJCF file, touching nothing but the ground.

    Raises:
        UserError: there is no such file, MuJoCo cannot read it, or the robot does not fit the engine.
    """
    try:
        spec = mujoco.MjSpec.from_file(path)
        touch_only_the_ground(spec)
        model = spec.compile()
        NativeSimulator(model)
    except (ValueError, OSError) as error:
        raise UserError(f"{path}: {error}") from error
    return model


def measure(model: mujoco.MjModel, walking: Walking, rounds: int, threads: int | None) -> dict[str, Any]:
    """`run`, from given states of any robot that fits the engine."""
    robots = len(walking.state.qpos)
    runs: dict[str, Callable[[], object]] = {
        "mujoco": mujoco_run(model, walking, threads),
        "train": native_run(model, walking, "train", threads),
        "exact": native_run(model, walking, "exact", threads),
        "shared": native_run(model, walking, "train", threads, shared=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for once in runs.values():
        once()
    for _ in range(rounds):
        for name, once in runs.items():
            # Short runs are repeated: a tick of another process must not weigh more on them.
            repeats = 1 if name == "mujoco" else 10
            begun = time.perf_counter()
            for _ in range(repeats):
                once()
            seconds[name].append((time.perf_counter() - begun) / repeats)
    steps = robots * CONTROL_STEPS * SUBSTEPS
    rate = {name: steps / statistics.median(times) for name, times in seconds.items()}

    def ratio(slow: str, fast: str) -> float:
        # Within a round the clock is about the same for both.
        return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))

    errors = acceleration_errors(model, walking)
    return {
        "mujoco_steps_per_s": rate["mujoco"],
        "native_steps_per_s": rate["train"],
        "native_exact_steps_per_s": rate["exact"],
        "ratio": ratio("mujoco", "train"),
        "ratio_exact": ratio("mujoco", "exact"),
        "cost_of_own_parameters": ratio("train", "shared") - 1,
        **{f"{name}_p{q}": float(np.quantile(e, q / 100)) for name, e in errors.items() for q in (50, 90, 99)},
        "robots": robots,
        "fallen": walking.fallen,
        "threads": threads or available_cores(),
        "isa": library.isa(),
    }


def table(result: dict[str, Any]) -> str:
    """The result as text."""
    lines = [f"{'setting':<13}{'steps/s':>11}{'ratio':>7}{'error p50':>11}{'p90':>8}{'p99':>8}"]
    for name, rate, ratio, error in (
        ("MuJoCo", "mujoco_steps_per_s", None, "mujoco_error"),
        ("native, train", "native_steps_per_s", "ratio", "error"),
        ("native, exact", "native_exact_steps_per_s", "ratio_exact", "exact_error"),
    ):
        quantiles = "".join(f"{result[f'{error}_p{q}']:>{w}.1e}" for q, w in ((50, 11), (90, 8), (99, 8)))
        lines.append(f"{name:<13}{result[rate]:>11,.0f}{result[ratio] if ratio else 1.0:>7.1f}{quantiles}")
    lines.append(
        f"Physics steps of {result['robots']} robots ({result['fallen']:.0%} fallen), {result['threads']} threads, "
        f"{result['isa']}; parameters per robot cost {result['cost_of_own_parameters']:.1%}"
    )
    return "\n".join(lines)


def walk(robot: Robot, model: mujoco.MjModel, robots: int, policy: str | None, threads: int | None) -> Walking:
    """Robots brought into walking by a policy or by a scripted trot; see `Walking`. Without a policy, robots whose legs
    have no three hinges are told to stand, and do so or fall."""
    simulator = NativeSimulator(model, SUBSTEPS, "train", threads)
    params = simulator.prepare(nominal_params(model, robot), robots)
    rng = np.random.default_rng(0)
    pose = np.tile(np.array(robot.default_pose, np.float32), (robots, 1))
    qpos = np.tile(model.qpos0.astype(np.float32), (robots, 1))
    qpos[:, 2] = robot.reset_height[0]
    qpos[:, 7:] = pose
    state = State(jnp.asarray(qpos), *(jnp.zeros((robots, model.nv)),) * 2)
    step = jax.jit(simulator.step)
    script = trot_driver if len(robot.joint_names) == HINGES_TO_TROT * len(robot.leg_names) else stand_driver
    drive = policy_driver(policy, robot, robots, rng) if policy else script(robot, robots, rng)
    readings = None
    for k in range(WARM_UP):
        state, readings = step(params, state, held(drive(k, state, readings)))
    targets = []
    ahead, seen = state, readings
    for k in range(CONTROL_STEPS):
        targets.append(np.asarray(drive(WARM_UP + k, ahead, seen)))
        ahead, seen = step(params, ahead, held(targets[-1]))
    fallen = float(np.mean(np.asarray(state.qpos[:, 2]) < 0.6 * robot.standing_height))
    return Walking(state, np.stack(targets), fallen)


def settled(model: mujoco.MjModel, robots: int, threads: int | None) -> Walking:
    """Robots of which there is neither a record nor a policy, put on the ground in their zero pose and left there, with
    some noise, for WARM_UP control steps: by now they stand, lean, fall or lie."""
    rng = np.random.default_rng(0)
    data = mujoco.MjData(model)
    data.qpos[2] = 0
    mujoco.mj_forward(model, data)
    colliders = on_ground(model, ground_geom(model))
    lowest = (data.geom_xpos[colliders, 2] - model.geom_rbound[colliders]).min()
    qpos = np.tile(model.qpos0, (robots, 1))
    qpos[:, 2] = 0.01 - lowest + rng.uniform(0, 0.02, robots)
    qpos[:, 7:] += rng.normal(0, 0.1, (robots, model.nu))
    state = State(jnp.asarray(qpos, jnp.float32), *(jnp.zeros((robots, model.nv)),) * 2)
    simulator = NativeSimulator(model, SUBSTEPS, "train", threads)
    params, step = simulator.prepare(read_any_params(model), robots), jax.jit(simulator.step)

    def targets() -> np.ndarray:
        return rng.normal(0, 0.15, (robots, model.nu)).astype(np.float32)

    for _ in range(WARM_UP):
        state, readings = step(params, state, held(targets()))
    if not readings.ok.all():
        raise UserError("a robot's numbers grew beyond all bounds while it settled; a smaller timestep may help")
    fallen = float(np.mean(np.asarray(state.qpos[:, 2]) < 0.6 * -lowest))
    return Walking(state, np.stack([targets() for _ in range(CONTROL_STEPS)]), fallen)


def held(target: Any, steps: int = SUBSTEPS) -> np.ndarray:
    """Targets (…, nu) as a simulator takes them that hold for so many physics steps: (…, steps, nu)."""
    return np.repeat(np.asarray(target)[..., None, :], steps, axis=-2)


Driver = Callable[[int, State, Any], Any]
"""(control step, state, last readings) → targets (n, nu)."""


def trot_driver(robot: Robot, robots: int, rng: np.random.Generator) -> Driver:
    """Diagonal pairs of legs, of six tripods, lifted in turn, at a pace and height of each robot's own, with a policy's
    jitter."""
    pose = np.array(robot.default_pose).reshape(len(robot.leg_names), -1)
    side = np.sign(pose[:, 0])
    diagonal = np.resize([0.0, np.pi, np.pi, 0.0], len(pose))
    pace, swing, lift = (
        rng.uniform(1.8, 2.6, (robots, 1)),
        rng.uniform(0.1, 0.3, (robots, 1)),
        rng.uniform(0.2, 0.5, (robots, 1)),
    )
    offset = rng.uniform(0, 2 * np.pi, (robots, 1))

    def drive(k: int, state: State, readings: Any) -> np.ndarray:
        phase = 2 * np.pi * pace * 0.02 * k + offset + diagonal
        target = np.tile(pose, (robots, 1, 1))
        target[:, :, 0] += side * swing * np.cos(phase)
        target[:, :, 2] -= side * lift * np.maximum(0, np.sin(phase))
        target = target.reshape(robots, -1)
        return (target + rng.normal(0, JITTER, target.shape)).astype(np.float32)

    return drive


def stand_driver(robot: Robot, robots: int, rng: np.random.Generator) -> Driver:
    """The default pose, with a policy's jitter."""
    pose = np.tile(np.array(robot.default_pose, np.float32), (robots, 1))
    return lambda k, state, readings: (pose + rng.normal(0, JITTER, pose.shape)).astype(np.float32)


def policy_driver(path: str, robot: Robot, robots: int, rng: np.random.Generator) -> Driver:
    """An exported policy under random commands, as the robot's controller runs it once it has faded in."""
    from walkies.deploy.controllers import Sensors
    from walkies.deploy.controllers.generic import GenericController
    from walkies.deploy.policy_file import read

    controller = GenericController(read(path), robot, fade_in=0.0)
    command = rng.uniform([-0.75, -0.5, -2.0], [0.75, 0.5, 2.0], (robots, 3)).astype(np.float32)

    def drive(k: int, state: State, readings: Any) -> np.ndarray:
        imu = np.tile(np.array([0, 0, 0, 0, 0, -1], np.float32), (robots, 1))
        imu = imu if readings is None else np.asarray(readings.imu[:, -1])
        pose, joints, speeds = (np.asarray(x) for x in (state.qpos[:, 3:7], state.qpos[:, 7:], state.qvel[:, 6:]))
        sensors = Sensors(imu[:, :3], pose, joints, speeds, imu[:, 3:])
        if k == 0:
            controller.activate(sensors)
        return controller.tick(sensors, command).position

    return drive


def mujoco_run(model: mujoco.MjModel, walking: Walking, threads: int | None) -> Callable[[], None]:
    """A function that advances the walking robots by CONTROL_STEPS in `mujoco.batch.Batch`."""
    state, controls = walking.state, np.repeat(walking.targets, SUBSTEPS, axis=0)
    batch = mujoco.batch.Batch(model, len(state.qpos), threads or 0)
    qpos, qvel, warmstart = (np.asarray(x, np.float64) for x in (state.qpos, state.qvel, state.qacc_warmstart))
    control = np.ascontiguousarray(controls.transpose(1, 0, 2), np.float64)

    def once() -> None:
        batch.qpos, batch.qvel, batch.qacc_warmstart = qpos, qvel, warmstart
        batch.rollout(len(controls), control)

    return once


def native_run(
    model: mujoco.MjModel, walking: Walking, solver: str, threads: int | None, shared: bool = False
) -> Callable[[], None]:
    """A function that advances the walking robots by CONTROL_STEPS in the native engine."""
    simulator = NativeSimulator(model, SUBSTEPS, solver, threads)
    nominal = read_any_params(model)
    params = simulator.prepare_shared(nominal) if shared else simulator.prepare(nominal, len(walking.state.qpos))
    targets = jnp.asarray(held(walking.targets))

    @jax.jit
    def advance(params: jax.Array, state: State, targets: jax.Array) -> State:
        return jax.lax.scan(lambda s, t: (simulator.step(params, s, t)[0], None), state, targets)[0]

    def once() -> None:
        jax.block_until_ready(advance(params, walking.state, targets))

    return once


def acceleration_errors(model: mujoco.MjModel, walking: Walking, states: int = ERROR_STATES) -> dict[str, np.ndarray]:
    """Relative errors of qacc: of the engine's two settings, and of MuJoCo with the model's own iterations.

    Robot i is compared at physics step i mod SUBSTEPS of a control step, just as each setting gets there; MuJoCo starts
    from the states and warm starts of `train`. Arrays (states,).
    """
    n = min(states, len(walking.state.qpos))
    start = jax.tree.map(lambda x: x[:n], walking.state)
    target = walking.targets[0, :n]
    substep = jnp.arange(n) % SUBSTEPS
    converged = load_reference(model)
    errors = {}
    for name, key in (("exact", "exact_error"), ("train", "error")):
        before, after = start, start
        for k in range(SUBSTEPS):
            simulator = NativeSimulator(model, k + 1, name)
            late, _ = jax.jit(simulator.step)(simulator.prepare(read_any_params(model), n), start, held(target, k + 1))
            # The acceleration of physics step k is the warm start of the state after it.
            before = _choose(substep > k, late, before)
            after = _choose(substep == k, late, after)
        reference = mujoco_accelerations(converged, before, target)
        errors[key] = relative_error(np.asarray(after.qacc_warmstart), reference)
    errors["mujoco_error"] = relative_error(mujoco_accelerations(model, before, target), reference)
    return errors


def relative_error(acceleration: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """max|a − a*| / max(1, max|a*|) of every state: (n,)."""
    return np.abs(acceleration - reference).max(axis=1) / np.maximum(1, np.abs(reference).max(axis=1))


def _choose(mask: jax.Array, on_true: State, on_false: State) -> State:
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(-1, *(1,) * (a.ndim - 1)), a, b), on_true, on_false)


def load_reference(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy of `model` whose solver runs to convergence."""
    import copy

    reference = copy.deepcopy(model)
    reference.opt.iterations, reference.opt.tolerance = REFERENCE_ITERATIONS, 0
    reference.opt.ls_iterations, reference.opt.ls_tolerance = REFERENCE_ITERATIONS, 1e-10
    return reference


def mujoco_accelerations(model: mujoco.MjModel, state: State, target: Any) -> np.ndarray:
    """qacc of `mj_forward` at every state, from its warm start: (n, nv)."""
    data = mujoco.MjData(model)
    out = []
    for qpos, qvel, warmstart, control in zip(*(np.asarray(x, np.float64) for x in (*state[:3], target)), strict=True):
        data.qpos, data.qvel, data.qacc_warmstart, data.ctrl = qpos, qvel, warmstart, control
        mujoco.mj_forward(model, data)
        out.append(data.qacc.copy())
    return np.stack(out)
