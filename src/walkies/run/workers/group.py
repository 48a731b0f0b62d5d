"""The processes of one training, as Ray sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from walkies.errors import UserError
from walkies.run.config import TrainConfig
from walkies.run.workers.cluster import connect
from walkies.run.workers.state import together
from walkies.run.workers.worker import Leaves, Worker

PLACED = 30.0
"""s, after which a cluster that has not found room for all processes is taken to have none."""


class Died(Exception):
    """A process of the group is gone, and JAX cannot go on without it."""


class Group:
    """Starts processes, each on cores of its own, and has them compute together."""

    def __init__(self, workers: int, threads: int, address: str | None):
        """Reserve the cores.

        Args:
            workers: number of processes.
            threads: cores of each.
            address: of a Ray cluster, as `ray start` prints it; None: this machine alone, on its loopback interface.

        Raises:
            UserError: Ray is not installed, there is no such cluster, or it lacks the cores.
        """
        self._ray = ray = connect(address, workers * threads, "--workers")
        self.workers, self._threads = workers, threads
        self._places = ray.util.placement_group([{"CPU": threads}] * workers, strategy="SPREAD")
        if not self._places.wait(PLACED):
            there = int(ray.cluster_resources().get("CPU", 0))
            raise UserError(
                f"--workers {workers}: the cluster has {there} cores free or taken, and {workers} × {threads} are "
                f"needed; take fewer workers or fewer --threads, or add machines with `ray start --address …`"
            )
        self._actors: list[Any] = []

    def begin(self, config: TrainConfig, leaves: Leaves, run: Path | None = None) -> None:
        """New processes, all in the state of `leaves`; run: its folder, as `walkies.run.config.build` takes it.

        Raises:
            Died: one of them died meanwhile.
        """
        self.stop()
        scheduling = self._ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        actor = self._ray.remote(Worker)
        self._actors = [
            actor.options(
                num_cpus=self._threads, max_restarts=0, scheduling_strategy=scheduling(self._places, rank)
            ).remote(self._threads)
            for rank in range(self.workers)
        ]  # fmt: skip
        [address] = self._all([self._actors[0].free_address.remote()])
        self._all([one.join.remote(address, rank, self.workers) for rank, one in enumerate(self._actors)])
        shared = self._ray.put(leaves)
        self._all([one.begin.remote(config, shared, run) for one in self._actors])

    def advance(self) -> tuple[dict[str, float], Leaves]:
        """One iteration of all: metrics, and the state after it.

        Raises:
            Died: a process died; the others are of no use any more.
        """
        made = self._all([one.advance.remote() for one in self._actors])
        return made[0][0], together([share for _, share in made])

    def exchange(self, numbers: int) -> float:
        """Seconds that the mean of so many numbers over all processes takes; the median of many."""
        return max(self._all([one.exchange.remote(numbers) for one in self._actors]))

    def pids(self) -> list[int]:
        """Of the processes, first to last."""
        return self._all([one.pid.remote() for one in self._actors])

    def stop(self) -> None:
        """End the processes."""
        for one in self._actors:
            self._ray.kill(one, no_restart=True)
        self._actors = []

    def close(self) -> None:
        """Stop, and leave Ray."""
        self.stop()
        self._ray.shutdown()

    def _all(self, asked: Sequence[Any]) -> list[Any]:
        """The answers, once all are there; whoever dies first is noticed although others wait for him."""
        waiting = list(asked)
        while waiting:
            ready, waiting = self._ray.wait(waiting, num_returns=1)
            try:
                self._ray.get(ready)
            except self._ray.exceptions.RayActorError as error:
                raise Died(str(error).splitlines()[0]) from error
            except self._ray.exceptions.RayTaskError as error:
                if _is_of_others(error):
                    raise Died(str(error.cause).splitlines()[0]) from error
                raise error.as_instanceof_cause() from None
        return list(self._ray.get(list(asked)))


def _is_of_others(error: Any) -> bool:
    """Whether an error in one process is that another one is gone: JAX's exchange then fails."""
    return "JaxRuntimeError" in type(error.cause).__name__ or "XlaRuntimeError" in type(error.cause).__name__
