"""One process of a training on several: a share of the environments, and a whole learner, the same in each."""

from __future__ import annotations

import os
import socket
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # JAX is imported once the process is set up
    from walkies.run.config import TrainConfig
    from walkies.run.training import Training

Leaves = list[Any]
"""A training state as NumPy arrays, in the order of its tree; random keys as their data."""


class Worker:
    """What Ray runs in a process of its own."""

    def __init__(self, threads: int):
        """threads: of this process."""
        from walkies.accel.cpu import settle_jax, use_cpu

        settle_jax()
        use_cpu(threads)
        self._training: Training | None = None

    def pid(self) -> int:
        return os.getpid()

    def free_address(self) -> str:
        """An address of this machine, `host:port`, at which nothing listens."""
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket() as probe:
            probe.bind((host, 0))
            return f"{host}:{probe.getsockname()[1]}"

    def join(self, address: str, rank: int, size: int) -> None:
        """Become one of `size` processes that JAX computes on together; returns once all have joined."""
        import jax
        import ray
        from jax._src.lib import xla_client

        from walkies.accel.cpu import with_last_threads

        # Otherwise sockets for the exchange of arrays listen where this machine's name leads. Gloo's thread asks again
        # and again for a lock that the computing thread has, and meanwhile keeps the core that this one waits for.
        gloo, host = xla_client._xla.make_gloo_tcp_collectives, ray.util.get_node_ip_address()
        xla_client._xla.make_gloo_tcp_collectives = partial(with_last_threads, gloo, hostname=host)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(
            address, num_processes=size, process_id=rank, coordinator_bind_address=address, local_device_ids=[0]
        )

    def begin(self, config: TrainConfig, leaves: Leaves, run: Path | None) -> None:
        """Build the training, in the state of `leaves`; run: as `walkies.run.config.build` takes it."""
        from walkies.run.training import Training
        from walkies.run.workers.state import unpacked

        self._training = Training(config, state=lambda like: unpacked(leaves, like), run=run)

    def advance(self) -> tuple[dict[str, float], list[Any]]:
        """One iteration: its metrics, and this process's share of the state after it."""
        from walkies.run.workers.state import share

        assert self._training is not None, "begin first"
        return self._training.advance(), share(self._training.state)

    def exchange(self, numbers: int) -> float:
        """Seconds that the mean of so many numbers over all processes takes; the median of many."""
        import jax
        import numpy as np
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        from walkies.rl.samples import shares

        mesh, apart = Mesh(np.array(jax.devices()), ("all",)), PartitionSpec("all")

        def average(x: Any) -> Any:
            with shares.apart("all"):
                return shares.average(x)

        mean = jax.jit(jax.shard_map(average, mesh=mesh, in_specs=apart, out_specs=PartitionSpec(), check_vma=False))
        size = (numbers * len(jax.devices()),)
        x = jax.make_array_from_callback(size, NamedSharding(mesh, apart), lambda at: np.zeros(size, np.float32)[at])
        times = []
        for _ in range(200):
            begun = time.perf_counter()
            jax.block_until_ready(mean(x))
            times.append(time.perf_counter() - begun)
        return statistics.median(times)
