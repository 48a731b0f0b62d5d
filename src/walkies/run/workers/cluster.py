"""Ray, which finds room for processes on one machine or several."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from walkies.errors import UserError

ANSWERED = 10.0
"""s, within which the machine of an address answers."""


def connect(address: str | None, cores: int, flag: str) -> Any:
    """The module `ray`, connected; `ray.shutdown` ends it.

    Args:
        address: of a cluster, as `ray start` prints it; None: this machine alone, on its loopback interface.
        cores: to be used of this machine, without an address.
        flag: what asked for Ray, for errors.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:  # Ray reads this once; with it, its servers listen on the loopback interface only
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        os.environ.setdefault("RAY_worker_niceness", "0")  # it would be 15, behind everything else on this machine
    ray = _ray(flag)
    if address is not None:
        _refuse_silent(address)
    here = {"num_cpus": cores} if address is None else {}
    ray.init(address or "local", include_dashboard=False, log_to_driver=False, logging_level="error", **here)
    return ray


def _ray(flag: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f"{flag}: needs the package ray, which is not installed; install it with: {sys.executable} -m pip "
            "install 'walkies[ray]'"
        ) from error
    return ray


def _refuse_silent(address: str) -> None:
    """Raise a UserError where nothing answers: Ray would ask for minutes. Names such as `auto` are Ray's."""
    host, colon, port = address.rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWERED).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--address {address}: there is no Ray cluster ({error}); expected HOST:PORT, as `ray start` prints it"
        ) from error
