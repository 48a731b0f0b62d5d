"""`walkies lab bench train`: training speed on this machine, and how the time of an iteration and a minute is spent."""

from __future__ import annotations

import json as json_module
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import numpy as np

from walkies.accel import cache
from walkies.accel.cpu import Threads, settle_jax, use_cpu
from walkies.bounds import Between
from walkies.child import environment, python
from walkies.later import jax, jnp
from walkies.robots import DEFAULT, get_robot

PARTS = ("acting", "physics", "task", "update")
"""Of an iteration, in the order of the table."""
START = {"python": "pass", "imports": "import walkies.cli.train, walkies.run.training, mujoco.batch"}
"""What passes before anything is compiled → the program that takes so long, each with what the one before takes."""


def command(
    robot: str = DEFAULT,
    /,
    rounds: Annotated[int, Between(1, 100_000)] = 7,
    threads: Threads | None = None,
    simulator: str = "native",
    json: bool = False,
) -> None:
    """Measure one training iteration with the default settings, its parts, and MuJoCo alone in the same run; and how
    much of a minute of training passes before the first iteration.

    Args:
        robot: Name of the robot.
        rounds: Interleaved repetitions; medians are reported.
        threads: CPU threads. Default: all cores.
        simulator: native or mujoco.
        json: Print one JSON object instead of a table.
    """
    _use_cpu(robot, threads, simulator)
    result = measure(robot, rounds, threads, simulator)
    if json:
        print(json_module.dumps(result, indent=2))
        return
    print(
        f"{result['steps_per_s']:>12,.0f} control steps/s in training ({result['robots']} robots × {result['horizon']})"
    )
    print(f"{result['mujoco_steps_per_s']:>12,.0f} control steps/s of mujoco.batch.Batch alone, same run")
    print(f"{result['ratio']:>12.1f} times that")
    for part in PARTS:
        print(f"{result[f'{part}_share']:>12.0%} {part}")
    print("of a minute of `walkies train`, seconds:")
    for part, seconds in minute(result).items():
        print(f"{seconds:>12.1f} {part}")
    for part, note in (("compilation", ""), ("cached_compilation", ", where an earlier run has compiled the same")):
        print(f"{result[f'{part}_s']:>12.1f} compilation, {result[f'{part}_cpu_s']:.1f} of processor time{note}")


def _use_cpu(robot: str, threads: int | None, simulator: str) -> None:
    """As a training of this robot does."""
    from walkies.run.config import devices_of, of_robot

    use_cpu(threads, devices_of(replace(of_robot(get_robot(robot)), simulator=simulator)))  # type: ignore[arg-type]


def measure(robot: str, rounds: int, threads: int | None, simulator: str) -> dict[str, float]:
    """Median seconds of a whole iteration and of its parts; shares are of the whole iteration.

    python_s, imports_s, compilation_s: before the first iteration, each in a process of its own (`start`,
    `compilation`).
    acting: policy network and sampling. physics: the simulator. task: the rest of the rollout (sensing, rewards,
    commands, resets). update: everything after the rollout.
    """
    # Long: its pieces are closures over one training, from whose states each of them starts.
    from walkies.rl import train
    from walkies.rl.rollout import rollout
    from walkies.run import devices
    from walkies.run.config import TrainConfig
    from walkies.run.training import Training
    from walkies.sim import actuation

    before = start() | compilation(robot, threads, simulator)
    training = Training(TrainConfig(robot=robot, threads=threads, simulator=simulator))  # type: ignore[arg-type]
    for _ in range(21):  # walking states, not falling ones: what is simulated decides what it costs
        training.advance()
    recipe, env = training.config.recipe, training.env
    # Training goes on while it is measured, its parts from here each time; an iteration leaves nothing of what it got.
    state = jax.tree.map(jnp.copy, training.state)
    policy = train.make_policy(recipe, env)
    key = jax.random.key(1)
    params, normalizer, robots = state.learner.params.policy, state.normalizers.policy, state.actors.state
    observation = env.observe(state.actors.state).policy
    targets = env.contract.target(
        0.3 * jax.random.normal(key, (recipe.horizon, recipe.num_envs, env.action_space.size))
    )

    def act(observation: Any, keys: jax.Array) -> tuple[Any, Any]:
        def step(carry: Any, key: jax.Array) -> tuple[Any, Any]:
            distribution = policy.apply(params, normalizer(carry))
            sample = distribution.sample(key)
            return carry + 1e-6 * sample[:, :1], distribution.log_prob(sample)

        return jax.lax.scan(step, observation, keys)

    def simulate(robots: Any, targets: jax.Array) -> tuple[Any, Any]:
        def step(physics: Any, target: jax.Array) -> tuple[Any, Any]:
            physics, readings = actuation.step(env.simulator, robots.params, physics, target, robots.delays.command)
            return physics, readings.joint_torque

        return jax.lax.scan(step, robots.physics, targets)

    def roll(actors: Any, key: jax.Array) -> tuple[Any, Any]:
        no_value = lambda observation: observation[:, 0]  # noqa: E731  (time limits fall at the rollout's end)
        actors, record = rollout(
            env, policy, params, normalizer, no_value, actors, key, recipe.horizon, recipe.resets, recipe.time_limits
        )
        return (actors, record.last), record._replace(last=None, metrics={})  # type: ignore[arg-type]

    keys = jax.random.split(key, recipe.horizon)
    parts: dict[str, Callable[[], Any]] = {
        "iteration": training.advance,
        "rollout": partial(devices.spread(recipe, roll, 0, None), state.actors, key),
        "physics": partial(devices.spread(recipe, simulate, 0, 1), robots, targets),
        "acting": partial(devices.spread(recipe, act, 0, None), observation, keys),
    }
    reference = _mujoco_alone(training, threads)
    seconds: dict[str, list[float]] = {name: [] for name in (*parts, "mujoco")}
    for name in parts:
        jax.block_until_ready(parts[name]())
    for _ in range(rounds):
        for name, run in parts.items():
            begun = time.perf_counter()
            jax.block_until_ready(run())
            seconds[name].append(time.perf_counter() - begun)
        seconds["mujoco"].append(reference())
    median = {name: statistics.median(times) for name, times in seconds.items()}
    total = median["iteration"]
    samples = recipe.num_envs * recipe.horizon
    return {
        "steps_per_s": samples / total,
        "mujoco_steps_per_s": recipe.num_envs / median["mujoco"],
        "ratio": samples / total * median["mujoco"] / recipe.num_envs,
        "acting_share": median["acting"] / total,
        "physics_share": median["physics"] / total,
        "task_share": (median["rollout"] - median["physics"] - median["acting"]) / total,
        "update_share": (total - median["rollout"]) / total,
        **before,
        "robots": recipe.num_envs,
        "horizon": recipe.horizon,
    }


def start() -> dict[str, float]:
    """Seconds that Python takes to start, and that imports of training take in a new process; the least of three."""
    least: list[float] = []
    for program in START.values():
        spent = []
        for _ in range(3):
            begun = time.perf_counter()
            subprocess.run(python("-c", program), env=environment(), check=True)
            spent.append(time.perf_counter() - begun)
        least.append(min(spent))
    return {f"{name}_s": now - before for name, now, before in zip(START, least, (0.0, *least), strict=False)}


def compilation(robot: str, threads: int | None, simulator: str) -> dict[str, float]:
    """Seconds, and those of all its threads, that compilation takes in a new process (`first_iteration`): with an empty
    cache of compiled programs, and then with what that process has left in it (`cached_`)."""
    found: dict[str, float] = {}
    program = f"from walkies.lab.bench import iteration; iteration.first_iteration{robot, threads, simulator}"
    with tempfile.TemporaryDirectory() as folder:
        apart = environment(**{"XDG_CACHE_HOME": folder, cache.SWITCH: "1", cache.OWN: ""})
        for prefix in ("", "cached_"):
            done = subprocess.run(python("-c", program), env=apart, check=True, capture_output=True, text=True)
            told = json_module.loads(done.stdout.splitlines()[-1])
            found |= {f"{prefix}compilation_s": told[0], f"{prefix}compilation_cpu_s": told[1]}
    return found


def first_iteration(robot: str, threads: int | None, simulator: str) -> None:
    """Print, as JSON, the seconds and processor seconds from the settings to the end of the first iteration, less what
    the second takes. For a process of its own."""
    settle_jax()
    _use_cpu(robot, threads, simulator)
    from walkies.run.config import TrainConfig
    from walkies.run.training import Training

    clocks = [(time.perf_counter(), time.process_time())]
    training = Training(TrainConfig(robot=robot, threads=threads, simulator=simulator), ahead=True)  # type: ignore[arg-type]
    for _ in range(2):
        training.advance()
        clocks.append((time.perf_counter(), time.process_time()))
    print(json_module.dumps([2 * b - a - c for a, b, c in zip(*clocks, strict=True)]))


def minute(result: dict[str, float]) -> dict[str, float]:
    """How many seconds of the first minute each part takes, from what `measure` gives."""
    begun = {name: result[f"{name}_s"] for name in (*START, "compilation")}
    left = max(0.0, 60.0 - sum(begun.values()))
    return begun | {part: left * result[f"{part}_share"] for part in PARTS}


def _mujoco_alone(training: Any, threads: int | None, control_steps: int = 4) -> Callable[[], float]:
    """A function that steps MuJoCo's own batch from the same walking states; returns seconds per control step."""
    from mujoco.batch import Batch

    from walkies.robots import load_model

    env, physics = training.env, training.state.actors.state.physics
    model = load_model(get_robot(training.config.robot), own_contacts=False, visuals=False)
    batch = Batch(model, training.config.recipe.num_envs, threads or 0)
    qpos, qvel, warmstart = (np.asarray(x, np.float64) for x in (physics.qpos, physics.qvel, physics.qacc_warmstart))
    noise = np.random.default_rng(0).normal(0.0, 0.2, (len(qpos), control_steps, qpos.shape[1] - 7))
    control = np.repeat(np.asarray(physics.targets[:, 0])[:, None] + noise, env.simulator.substeps, axis=1)

    def run() -> float:
        batch.qpos, batch.qvel, batch.qacc_warmstart = qpos, qvel, warmstart
        begun = time.perf_counter()
        batch.rollout(control.shape[1], control)
        return (time.perf_counter() - begun) / control_steps

    return run
