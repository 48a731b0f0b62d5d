"""jax and jaxlib stay at 0.10.1: 0.10.2 adds wrongly on CPUs, and the engine's headers must match jaxlib."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from walkies.accel import cache, cpu
from walkies.cli import doctor

ROOT = Path(__file__).parent.parent
ROWS = 32769


def test_the_reduction_that_0_10_2_gets_wrong() -> None:
    rows = np.zeros((ROWS, 3), np.float32)
    rows[:, 0] = np.arange(ROWS)

    def squared(row: jax.Array) -> jax.Array:
        return jnp.sum((jnp.eye(3, dtype=jnp.float32) @ row) ** 2)

    compiled, eager = jax.jit(jax.vmap(squared))(rows), jax.vmap(squared)(rows)
    np.testing.assert_array_equal(compiled, eager)
    assert compiled[-1] == 1073741824, "0.10.2 gives 1065369600"
    assert doctor.wrong_sums() == 0


def test_nor_is_it_wrong_as_users_compile_it() -> None:
    """Without the flags that a worker of a parallel run compiles with (conftest.py)."""
    code = "from walkies.accel.cpu import use_cpu; use_cpu(None); import os; from walkies.cli import doctor;"
    code += "print(doctor.wrong_sums(), os.environ['XLA_FLAGS'])"
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {cache.SWITCH: "0"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert told.stdout == f"0 {cpu.XLA_FLAGS} --xla_force_host_platform_device_count=1\n"


def test_installed_and_pinned_versions_are_one() -> None:
    assert jax.__version__ == jaxlib.__version__ == doctor.JAX_VERSION == "0.10.1"
    lines = (ROOT / "constraints.txt").read_text().split("\n")
    assert {"jax==0.10.1", "jaxlib==0.10.1"} <= set(lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {"jax==0.10.1", "jaxlib==0.10.1"} <= set(project["project"]["dependencies"])
    assert "jaxlib==0.10.1" in project["build-system"]["requires"]
