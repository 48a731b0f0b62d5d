"""Does an installed wheel simulate and train, and has it the engine for browsers, where there is no compiler and no
source tree?

Run by `make wheel`.
"""

import importlib.metadata
import platform
import shutil
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp

import walkies
from walkies.cli import run
from walkies.deploy.policy_file import read
from walkies.robots import get_robot, load_model
from walkies.show.share.wasm import engine_wasm
from walkies.sim import actuation, make_simulator
from walkies.sim.params import nominal_params

assert not any(map(shutil.which, ("cc", "c++", "gcc", "g++", "clang++"))), "a compiler is on the PATH"

robots = 8
pupper = get_robot("pupper")
simulator = make_simulator("native", pupper)
params = simulator.prepare(nominal_params(load_model(pupper), pupper), robots)
pose = jnp.asarray(pupper.default_pose, jnp.float32)
target = jnp.tile(pose, (robots, 1))
base = jnp.asarray([0.0, 0.0, pupper.reset_height[0], 1.0, 0.0, 0.0, 0.0], jnp.float32)
qpos = jnp.concatenate([jnp.tile(base, (robots, 1)), target], axis=1)
state = actuation.initial_state(qpos, jnp.zeros((robots, 6 + pupper.num_joints), jnp.float32), target)
delay = jnp.zeros(robots)
step = jax.jit(lambda state: actuation.step(simulator, params, state, target, delay))
for _ in range(100):
    state, _ = step(state)
height = float(state.qpos[:, 2].mean())
assert abs(height - pupper.standing_height) < 0.01, f"stands at {height:.3f} m instead of {pupper.standing_height} m"
assert engine_wasm().startswith(b"\0asm"), "the engine for browsers is no WebAssembly"
with tempfile.TemporaryDirectory() as folder:
    made = Path(folder) / "run"
    status = run([*["train", "pupper", "--steps", "24576", "--exam-episodes", "2", "--no-film", "--out"], str(made)])
    assert status in (0, 1), f"the training ended with {status}"  # 1: so short, it does not pass
    assert read(made / "policy.json").robot_name == "pupper"
print(
    f"walkies {importlib.metadata.version('walkies')} in Python {platform.python_version()} from {walkies.__file__}: "
    f"{robots} robots stand at {height:.3f} m, and a policy was trained"
)
