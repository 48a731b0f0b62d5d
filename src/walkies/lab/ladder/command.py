"""`walkies lab compare`: train the ladder on one problem, measure, write the page. It resumes if interrupted."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

import tyro

from walkies import records
from walkies.accel.cpu import Threads, machine, use_cpu
from walkies.bounds import Between
from walkies.errors import UserError
from walkies.files import write_json, write_text
from walkies.lab import runner
from walkies.rl.recipes import RECIPES
from walkies.robots import DEFAULT
from walkies.run.folders import from_dict, to_dict
from walkies.terminal import say

POINTS = 20
"""Examinations along a curve."""
REFERENCE = "ppo"
"""Whose training the noise of the gradient and the worth of old samples are measured on."""
REFERENCE_SEED = 1000
"""Its seed: a training of its own, none of the compared ones."""
MOMENTS = {"at the start": 0.0, "early": 0.2, "at the end": 1.0}
"""Where in that training (share of the samples) gradients are measured; old samples from the second of them on."""
BATCHES = 64
"""Independent batches per moment."""
AGES = (0, 1, 2, 3, 5, 8, 12, 20, 30)
"""Iterations after which an old batch is judged."""


def command(
    problem: str = DEFAULT,
    /,
    seeds: Annotated[int, Between(1, REFERENCE_SEED)] = 3,
    samples: Annotated[int | None, Between(1, 10**12)] = None,
    recipes: tuple[str, ...] = tuple(RECIPES),
    out: Path | None = None,
    train: bool = True,
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    threads: Threads | None = None,
    json: bool = False,
) -> int:
    """Compare the ladder of algorithms on one problem: learning curves, noise of the gradient, value of old samples.

    Finished parts are in the output folder and are not run again, so an interrupted comparison resumes.

    Args:
        problem: pupper, cart-pole, pendulum or double-integrator.
        seeds: Train each recipe with seeds 0 … seeds − 1.
        samples: Control steps that each training learns from. Default: a million for pupper, less for the others.
        recipes: Which recipes; default: all seven.
        out: Folder of the results. Default: compare/PROBLEM.
        train: Run what is missing; otherwise only write the page from the finished parts.
        show: Only list the rows, finished and missing.
        threads: CPU threads. Default: all cores.
        json: Print the results as JSON; with --list the list of rows.
    """
    use_cpu(threads)
    from walkies.lab.ladder import rungs

    chosen = rungs.check_recipes(recipes)
    found = rungs.get_problem(problem)
    samples = samples or found.samples
    folder = out or Path("compare") / problem
    settings = {name: rungs.settle(name, found) for name in RECIPES}
    claim(folder, {"problem": problem, "samples": samples, "points": POINTS, "world": found.world, "recipes": settings})
    rows = as_rows(folder, found, chosen, seeds, samples)
    if show:
        say(runner.listing(rows, json))
        return 0
    if train:
        runner.make(rows, folder)
    flags = f" --seeds {seeds}" if seeds != 3 else ""
    flags += f" --samples {samples}" if samples != found.samples else ""
    flags += f" --recipes {' '.join(chosen)}" if chosen != tuple(RECIPES) else ""
    flags += f" --threads {threads}" if threads is not None else ""
    write_page(folder, problem, f"walkies lab compare {problem}{flags}", samples, seeds, chosen)
    page = folder / "README.md"
    say((folder / "compare.json").read_text(encoding="utf-8") if json else f"The comparison: {page}")
    return 0


def claim(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new comparison, or check that the one that is there has the same.

    settings: plain values, and under `recipes` one record per name. A field that a recipe has got since then counts as
    being at its default.

    Raises:
        UserError: the folder holds a comparison under other settings; rows of the two must not mix.
    """
    from walkies.rl.recipes import Recipe

    path = folder / "settings.json"
    if not path.exists():
        write_json(path, settings | {"recipes": {name: to_dict(r) for name, r in settings["recipes"].items()}})
        return
    expected = "the settings of a comparison; choose another --out"
    there: dict[str, Any] = records.read(path, dict[str, Any], expected)
    recipes = records.build(there.get("recipes"), dict[str, dict[str, Any]], f"recipes in {path}", expected)
    there |= {"recipes": {name: from_dict(Recipe, content, f"{path}: {name}") for name, content in recipes.items()}}
    if different := sorted(key for key in settings if there.get(key) != settings[key]):
        raise UserError(
            f"{folder} holds a comparison with other {', '.join(different)}; choose another --out, or remove the folder"
        )


def as_rows(folder: Path, problem: Any, recipes: tuple[str, ...], seeds: int, samples: int) -> list[runner.Row]:
    """The trainings, seed by seed, and the two measurements, as rows that are files in `folder`."""
    trainings = Trainings(problem, samples)

    def training(name: str, seed: int) -> runner.Row:
        path = folder / "rows" / f"{name}-{seed}.json"
        return runner.Row(f"{name}, seed {seed}", path.exists, lambda: write_json(path, trainings.row(name, seed)))

    files = folder / "gradients.json", folder / "reuse.json"
    measurements = runner.Row(
        "noise of the gradient, worth of old samples",
        lambda: all(file.exists() for file in files),
        lambda: run_measurements(folder, problem, samples),
    )
    return [*(training(name, seed) for seed in range(seeds) for name in recipes), measurements]


class Trainings:
    """Trains recipes on one problem, each compiled once, when it is first needed."""

    def __init__(self, problem: Any, samples: int):
        self.problem, self.samples = problem, samples
        self._programs: dict[str, Any] = {}

    @functools.cached_property
    def env(self) -> Any:
        return self.problem.make()

    @functools.cached_property
    def exam(self) -> Any:
        from walkies.lab.ladder.curves import make_exam

        return make_exam(self.problem.base, self.env)

    def row(self, name: str, seed: int) -> dict[str, Any]:
        """Train one recipe; its curve and what it took, as JSON data."""
        from walkies.lab.ladder import rungs
        from walkies.lab.ladder.curves import compile_recipe, train_row

        if name not in self._programs:
            self._programs[name] = compile_recipe(rungs.settle(name, self.problem), self.env)
        curve = train_row(self._programs[name], self.exam, seed, self.samples, POINTS)
        last = curve[-1]
        say(f"  return {last.episode_return:.2f} after {last.samples:,} samples, {last.seconds:.0f} s")
        compiling = round(self._programs[name].compile_seconds, 1)
        points = [point._asdict() for point in curve]
        return {"recipe": name, "seed": seed, "curve": points, "compile_seconds": compiling, "machine": machine()}


def run_measurements(folder: Path, problem: Any, samples: int) -> None:
    """Measure the noise of the gradient and the worth of old samples, whichever has not been done."""
    from walkies.lab.ladder import gradients, reuse, rungs
    from walkies.lab.ladder.curves import train_until

    env, recipe = problem.make(), rungs.settle(REFERENCE, problem)
    marks = [round(share * samples) for share in MOMENTS.values() if share]
    states = dict(zip(MOMENTS, train_until(recipe, env, REFERENCE_SEED, marks), strict=True))
    settled = {name: rungs.settle(name, problem) for name in RECIPES}
    if not (folder / "gradients.json").exists():
        # The first one acts for all.
        found = gradients.measure({REFERENCE: recipe} | settled, env, states, problem.episodes, BATCHES)
        content = {m: {name: spreads[name]._asdict() for name in RECIPES} for m, spreads in found.items()}
        write_json(folder / "gradients.json", content)
    if not (folder / "reuse.json").exists():
        ages = reuse.measure(recipe, env, states["early"], AGES, 2 * problem.episodes, REFERENCE_SEED)
        write_json(folder / "reuse.json", [age._asdict() for age in ages])


def write_page(folder: Path, problem: str, line: str, samples: int, seeds: int, recipes: tuple[str, ...]) -> None:
    """Draw the pictures and write README.md and compare.json from the finished rows."""
    from walkies.lab.ladder import page, pictures

    paths = [folder / "rows" / f"{name}-{seed}.json" for name in recipes for seed in range(seeds)]
    made = [page.read_row(path) for path in paths if path.exists()]
    result = page.Result(
        problem=problem,
        command=line,
        machine=" and ".join(dict.fromkeys(where for _, where in made)) or machine(),
        samples=samples,
        seeds=seeds,
        recipes=recipes,
        rows=[row for row, _ in made],
        gradients=page.read_gradients(folder / "gradients.json"),
        reuse=page.read_reuse(folder / "reuse.json"),
    )
    if result.rows:
        pictures.draw_curves(page.curves_of(result), folder / "curves.png")
    if result.gradients:
        pictures.draw_gradients(result.gradients, folder / "gradients.png")
    if result.reuse:
        pictures.draw_reuse(result.reuse, folder / "reuse.png")
    write_json(folder / "compare.json", page.to_json(result))
    write_text(folder / "README.md", page.markdown(result))
