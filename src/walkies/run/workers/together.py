"""A training whose iterations are computed by a group of processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from walkies.errors import UserError
from walkies.run.config import TrainConfig
from walkies.run.training import Training
from walkies.run.workers.group import Died, Group
from walkies.run.workers.state import packed, unpacked
from walkies.terminal import say

ATTEMPTS = 5
"""Starts of the group in a row without an iteration in between, before it is given up."""


class Together(Training):
    """As `Training`. This process has the state after each iteration, and saves and exports it; should one of the group
    die, the group starts again from there, with the same result, bit for bit."""

    def __init__(self, config: TrainConfig, saved: Path | None = None, ahead: bool = False, run: Path | None = None):
        super().__init__(config, saved, ahead=False, run=run)
        assert config.workers is not None
        jax.block_until_ready(self.state)  # Ray forks: nothing should be computed meanwhile
        self.group = Group(config.workers, config.threads or 1, config.address)
        self._running, self._run = False, run

    def advance(self) -> dict[str, float]:
        """One iteration of the group; its metrics.

        Raises:
            Diverged: as `Training.advance`.
            UserError: the group died over and over.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if not self._running:
                    own = replace(self.config, workers=None, task=self.env.config)
                    self.group.begin(own, packed(self.state), self._run)
                    self._running = True
                record, leaves = self.group.advance()
                break
            except Died as death:
                self._running = False
                if attempt == ATTEMPTS:
                    raise UserError(
                        f"workers died {ATTEMPTS} times without an iteration in between; the last one said: {death}"
                    ) from death
                say(f"A worker died after {self.steps:,} steps ({death}); all start again from there.")
        self.state: Any = unpacked(leaves, self.state)
        self._iterations += 1
        return record

    def close(self) -> None:
        """End the group."""
        self.group.close()
