"""Register walkies' environments in Gymnasium as soon as both are imported, in either order."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

ENVIRONMENTS = "walkies.gymnasium.walking"
"""The module whose import registers them; it needs Gymnasium."""


def announce() -> None:
    """Register now if Gymnasium is loaded, else as soon as it is; Gymnasium is not loaded for this."""
    if "gymnasium" in sys.modules:
        importlib.import_module(ENVIRONMENTS)
    else:
        sys.meta_path.insert(0, _Waiting())


class _Waiting(MetaPathFinder):
    """Finds nothing itself, but notices the import of Gymnasium and extends its end."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            run = loader.exec_module

            def run_and_register(module: ModuleType) -> None:
                run(module)
                importlib.import_module(ENVIRONMENTS)

            loader.exec_module = run_and_register
        return spec
