"""Old names that people have in their scripts, run folders and command lines, mapped to the current ones.

Every old name still works and names its replacement; it is removed after one release. `MODULES` has modules, `COMMANDS`
the commands; `names` serves names within a module, `fields` those of a record; `added` says what a missing field means
in older records.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")

COMMANDS = {name: f"lab {name}" for name in ("ablate", "bench", "benchmark", "compare")}
"""Commands of the command line: measurements of walkies itself lie in one place."""

MODULES = {
    "tasks.disturbances": "tasks.randomization.disturbances",
    "tasks.feet": "tasks.gait.feet",
    "native_library": "accel.library",
    "random": "accel.random",
    "cpu": "accel.cpu",
    "rl.rows": "accel.rows",
    "rl.native_networks": "accel.networks",
    "rl.native_adam": "accel.adam",
    "rl.weights": "rl.advantages",
    "rl.steps": "rl.updates",
    "rl.learner": "rl.updates",
    "rl.minibatches": "rl.updates",
    "rl.batch": "rl.objectives",
    "rl.losses": "rl.objectives",
    "rl.record": "rl.rollout",
    "rl.natural": "rl.trpo.natural_step",
    "rl.fisher": "rl.trpo.fisher",
    "rl.conjugate_gradient": "rl.trpo.fisher",
    "rl.short_horizon": "rl.pathwise.short_horizon",
    "rl.train_host": "gymnasium.learning",
    "rl.rollout_host": "gymnasium.rollout",
    "rl.host_actor": "gymnasium.actor",
    "rl.host_numbers": "gymnasium.numbers",
    "rl.host_shape": "gymnasium.spec",
    "envs.gymnasium_adapter": "gymnasium.adapter",
    "envs.gymnasium_state": "gymnasium.state",
    "gym": "gymnasium.walking",
    "registration": "gymnasium.registration",
    "rl.checkpoint": "run.saved.checkpoint",
    "run.checkpoint": "run.saved.checkpoint",
    "run.editions": "run.saved.editions",
    "experiment": "run.config",
    "training": "run.training",
    "runs": "run.folders",
    "interrupt": "run.interrupt",
    "show.logs": "run.loggers",
    "show.stages": "run.stages",
    "show.progress": "run.progress",
    "deploy.export": "run.export",
    "physics": "sim",
    "exam": "judge.exam",
    "exam_conditions": "judge.ranges",
    "exam_drive": "judge.loop",
    "exam_report": "judge.report",
    "exam_card": "judge.report_card",
    "deploy.rehearsal": "judge.rehearsal.rehearse",
    "deploy.rehearsal_cells": "judge.rehearsal.cells",
    "deploy.rehearsal_conditions": "judge.rehearsal.conditions",
    "deploy.rehearsal_drive": "judge.rehearsal.drive",
    "deploy.rehearsal_report": "judge.rehearsal.report",
    "deploy.rehearsal_world": "judge.rehearsal.world",
    "deploy.lint": "deploy.checks.lint",
    "deploy.lint_network": "deploy.checks.network_rules",
    "deploy.lint_robot": "deploy.checks.robot_rules",
    "deploy.findings": "deploy.checks.findings",
    "deploy.stance": "deploy.checks.stance",
    "deploy.logs": "deploy.recordings.logs",
    "deploy.logs_align": "deploy.recordings.align",
    "deploy.logs_bag": "deploy.recordings.bag",
    "deploy.logs_csv": "deploy.recordings.csv",
    "deploy.identify": "deploy.identification.fit",
    "deploy.identify_bias": "deploy.identification.bias",
    "deploy.identify_follow": "deploy.identification.follow",
    "deploy.identify_log": "deploy.identification.identify",
    "deploy.identify_windows": "deploy.identification.windows",
    "deploy.replay": "deploy.identification.replay",
    "show.camera": "show.rendering.camera",
    "show.render": "show.rendering.render",
    "show.video": "show.rendering.video",
    "tasks.randomization_draw": "tasks.randomization.draw",
    "tasks.randomization_bodies": "tasks.randomization.bodies",
    "tasks.explain": "cli.explain",
    "show.curves": "show.pictures.curves",
    "show.theme": "show.pictures.theme",
    "show.gait": "show.pictures.gait",
    "show.rehearsal_picture": "show.pictures.rehearsal",
    "show.robot_picture": "show.pictures.robot",
    "deploy.rehearsal_picture": "show.pictures.rehearsal",
    "bench": "lab.bench",
    "benchmark": "lab.published",
    "compare": "lab.ladder",
    "compare.ladder": "lab.ladder.rungs",
    "compare.training": "lab.ladder.curves",
    "bench.train": "lab.bench.iteration",
    "benchmark.training": "lab.published.trials",
    "ablate": "lab.ablation",
    "ablate_report": "lab.ablation_report",
    "gl": "show.rendering.gl",
    "flags": "cli.arguments.flags",
    "doctor": "cli.doctor",
    "train": "cli.train",
    "contract": "tasks.contract",
    "deploy.controller": "deploy.controllers.neural_controller",
    "deploy.twin": "deploy.controllers.twin",
    "tasks.presets": "tasks.gait.presets",
    "tasks.stature": "tasks.scale.stature",
    "cli.robot": "cli.robots.commands",
    "robots.anatomy": "robots.reading.anatomy",
    "robots.check": "robots.reading.check",
    "robots.source": "robots.reading.source",
    "robots.stand": "robots.reading.stand",
}
"""Old name → new name, both within walkies; of a package, what is in it too."""
PACKAGE = "walkies."


def moved(name: str) -> str | None:
    """The full new name of the module that was once `name`; None for every other."""
    if not name.startswith(PACKAGE):
        return None
    old, within = name.removeprefix(PACKAGE), ""
    while old not in MODULES:
        old, _, last = old.rpartition(".")
        if not old:
            return None
        within = f".{last}{within}"
    return f"{PACKAGE}{MODULES[old]}{within}"


class OldModules(MetaPathFinder, Loader):
    """Imports a module that has moved from where it is now: one module, known by both names.

    First in `sys.meta_path`, for a submodule of a moved package would otherwise be found, and run, a second time.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        new = moved(name)
        if new is None or not _exists(new):
            return None
        return ModuleSpec(name, self, origin=new)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        assert spec.origin is not None
        _warn(f"the module {spec.name} is now {spec.origin}", 3)
        module = importlib.import_module(spec.origin)
        spec.loader_state = module.__spec__  # the import system is about to put the old name's in its place
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        sys.modules[module.__spec__.name] = module
        module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Serve old modules from now on; doing so twice changes nothing."""
    if not any(isinstance(finder, OldModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldModules())


def names(module: dict[str, Any], **old: str) -> None:
    """Serve old names of a module's own, at its end: `renamed.names(globals(), OLD="NEW")`.

    Type checkers do not see this: to them a name that is wrong stays wrong.
    """

    def serve(name: str) -> Any:
        if name not in old:
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        _warn(f"{module['__name__']}.{name} is now {old[name]}", 3)
        return module[old[name]]

    module["__getattr__"] = serve


def fields(**old: str) -> Callable[[type[T]], type[T]]:
    """A decorator of a dataclass whose fields were renamed, OLD="NEW": given or read by the old name they still work.

    Where both names are given the old one holds: `dataclasses.replace` adds the new one by itself.
    """

    def decorate(record: type[T]) -> type[T]:
        make = record.__init__

        @functools.wraps(make)
        def init(self: T, *args: Any, **values: Any) -> None:
            for name in old.keys() & values.keys():
                _warn(f"{record.__name__}: the field {name} is now {old[name]}", 3)
                values[old[name]] = values.pop(name)
            make(self, *args, **values)

        def read(self: T, name: str) -> Any:
            if name not in old:
                raise AttributeError(f"{record.__name__!r} has no attribute {name!r}")
            _warn(f"{record.__name__}.{name} is now {old[name]}", 3)
            return getattr(self, old[name])

        for name, value in {"__init__": init, "__getattr__": read, "__renamed__": old}.items():
            setattr(record, name, value)
        return record

    return decorate


def added(**values: Any) -> Callable[[type[T]], type[T]]:
    """A decorator of a dataclass that got new fields: what a record written before them means by their absence, where
    that is not today's default."""

    def decorate(record: type[T]) -> type[T]:
        record.__added__ = values  # type: ignore[attr-defined]
        return record

    return decorate


def before(record: Any) -> Mapping[str, Any]:
    """Values of the fields of a dataclass in records that lack them; empty for most."""
    return getattr(record, "__added__", {})


def old_fields(record: Any) -> Mapping[str, str]:
    """Old name → new name of the fields of a dataclass; empty for most."""
    return getattr(record, "__renamed__", {})


def current(record: Any, content: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a record's fields, under today's names."""
    old = old_fields(record)
    return {name if old.get(name) in content else old.get(name, name): value for name, value in content.items()}


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of its parent
        return False


def _warn(what: str, level: int) -> None:
    warnings.warn(f"{what}; the old name will be removed after one release", FutureWarning, stacklevel=level)
