"""Earlier policies of a run, kept as policy files: every command accepts them, and `walkies play` shows them."""

from __future__ import annotations

from collections.abc import Callable

from walkies.run.export import export_policy
from walkies.run.folders import RunFolder
from walkies.run.training import Training

FIRST, THEN = 1, 10
"""The iterations kept are FIRST, THEN, and THEN doubled repeatedly: a robot learns most at the beginning."""


def keeper(training: Training, folder: RunFolder) -> Callable[[dict[str, float]], None]:
    """An observer of the training that writes a policy whenever one is due."""

    def keep(record: dict[str, float]) -> None:
        steps = int(record["steps"])
        if due(steps // training.steps_per_iteration):
            folder.stages.mkdir(parents=True, exist_ok=True)
            export_policy(folder.stages / f"{steps:012d}.json", training)

    return keep


def due(iteration: int) -> bool:
    """Whether the policy after so many iterations is kept."""
    share, rest = divmod(iteration, THEN)
    return iteration == FIRST or (rest == 0 and share > 0 and share & (share - 1) == 0)
