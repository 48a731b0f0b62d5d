"""Help and mistakes are answered at once: without the libraries that take long to import."""

import json
import os
import subprocess
import sys

from walkies import cli

HEAVY = ("jax", "mujoco", "scipy", "matplotlib", "viser", "trimesh", "websockets", "optax", "safetensors", "gymnasium")
MISTYPED = (
    "train pupper --minuts 3",
    "train pupper --minutes five",
    "train pupper --minutes -3",
    "train pupper --recipe.epoch 3",
    "train pupper --recipe.epochs many",
    "train pupper --task.rewards.foo 1",
    "train pupper --task.randomization.sensing.gyro",
    "train pupper --preset trot",
    "train puper",
    "train --help task",
    "train --help recip",
    "train --help all",
    "explain puper",
    "explain pupper --task.rewards.foo 1",
    "exam nowhere",
    "exam runs/first --episodes 0",
    "exam",
    "film",
    "runs remove",
    "trian pupper",
    "help lab bench",
    "version",
)
"""What newcomers type, besides `--help` and a mistyped flag of every command."""
PROGRAM = """
import contextlib, io, json, sys
from walkies import cli
heavy, lines, found = *json.load(sys.stdin), {}
for line in lines:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        cli.run(line.split())
    if new := [name for name in heavy if name in sys.modules and not any(name in one for one in found.values())]:
        found[line] = new
print(json.dumps(found))
"""
"""Answers lines in one process, and says of each which heavy libraries it was the first to import."""


def imported(lines, before=""):
    """Line → heavy libraries that it imported; without those that import none. `before` is run first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM], input=json.dumps([HEAVY, lines]), capture_output=True, text=True,
        env=environment, check=True, timeout=300,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_help_and_mistakes_import_nothing_that_takes_long(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [f"{name} {flag}" for name in cli.COMMANDS for flag in ("--help", "--no-such-flag 3")]
    assert imported([*lines, *MISTYPED]) == {}


def test_an_import_that_takes_long_would_be_noticed(tmp_path):
    """Control of the test above: one command imports a library for its flags, another only when it runs."""
    for name, text in {
        "slow": "import scipy\n\ndef command() -> None: ...\n",
        "quick": "def command() -> None:\n    import matplotlib\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
    before = f"import sys; from walkies import cli; sys.path.append({str(tmp_path)!r})\n" + "".join(
        f"cli.COMMANDS[{name!r}] = cli.Command('{name}:command', '')\n" for name in ("slow", "quick")
    )
    lines = ["quick --help", "quick --no-such-flag", "slow --no-such-flag"]
    assert imported(lines, before) == {"slow --no-such-flag": ["scipy"]}
    assert imported(["quick"], before) == {"quick": ["matplotlib"]}
