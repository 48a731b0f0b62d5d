"""Engines that may not be installed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

from walkies.errors import UserError


def needed(package: str, extra: str) -> Any:
    """Import `package`, which comes with the extra `extra`.

    Raises:
        UserError: it is not installed; the message has the command that installs it.
    """
    try:
        # MJX prints that it has no Warp, which nobody asked for.
        with contextlib.redirect_stdout(None):
            return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"the simulator {extra!r} needs the package {package}, which is not installed ({error}); install it with: "
            f"{sys.executable} -m pip install 'walkies[{extra}]'"
        ) from error
