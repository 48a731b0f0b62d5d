"""What a robot was shown and told, in a file that `walkies replay` reads; goes onto the robot beside runner.py.

log = Log("walk.csv")
targets = runner.step(...)                              # after each step, best once the targets are sent
log.write(runner)
"""

import time
from pathlib import Path
from typing import Any

import numpy as np


class Log:
    """A CSV file; each step of the policy appends three lines: its observation, its action, and the joint targets."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.path.write_text("time,topic,values\n", encoding="utf-8")

    def write(self, runner: Any) -> None:
        """Append the step that a `Runner` has just done; the slow start and what follows a stop are left out.

        Joints are in the contract's order.
        """
        if runner.stopped or runner.steps * runner.dt < runner.contract["start_seconds"] + 0.5 * runner.dt:
            return
        now = time.monotonic()
        rows = {"observation": runner.history, "policy_output": runner.action, "position_command": runner.targets}
        with open(self.path, "a", encoding="utf-8") as file:
            for topic, values in rows.items():
                numbers = ",".join(f"{value:.9g}" for value in np.asarray(values, np.float32))
                print(f"{now:.6f},{topic},{numbers}", file=file)
