"""The ablation as a table and a picture: how much of each sweep a policy survives, by how it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

GROUPS = ("body", "contact", "motor", "latency", "sensing", "pushes")
"""of `walkies.tasks.randomization`"""
ADAPTIVE = "walkies, adaptive"
"""The default set with `walkies.tasks.curriculum` on."""
SETTINGS = ("none", "course", "walkies", *(f"without {group}" for group in GROUPS), ADAPTIVE)


def table(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Per setting and sweep: the share of robots that survive, mean over the sweep's values, then over the seeds.

    Args:
        results: by setting, one record per seed: `seed`, `steps`, `seconds`, `rehearsal_seconds` and `axes`, the sweeps
            as `rehearsal_report.sweeps` gives them.

    Returns:
        JSON data. `error` is the standard error over seeds, None where there is one seed. `missing` names settings
        without any run.
    """
    rows = []
    for setting in (name for name in SETTINGS if results.get(name)):
        runs = results[setting]
        survival = {axis["name"]: _over_seeds([_survival(run, i) for run in runs]) for i, axis in _axes(runs)}
        error = {axis["name"]: _over_seeds([_error(run, i) for run in runs]) for i, axis in _axes(runs)}
        overall = [float(np.mean([_survival(run, i) for i, _ in _axes(runs)])) for run in runs]
        base_error = [_base_error(run) for run in runs]
        rows.append(
            {
                "setting": setting,
                "seeds": [run["seed"] for run in runs],
                "steps": [run["steps"] for run in runs],
                "survival": survival,
                "lin_vel_error": error,
                "all": _over_seeds(overall),
                "usual_error": _over_seeds(base_error),
            }
        )
    runs = [run for records in results.values() for run in records]
    return {
        "labels": {axis["name"]: axis["label"] for _, axis in _axes(runs)},
        "rows": rows,
        "missing": [name for name in SETTINGS if not results.get(name)],
        "minutes_training": sum(run["seconds"] for run in runs) / 60,
        "minutes_rehearsing": sum(run["rehearsal_seconds"] for run in runs) / 60,
    }


def markdown(data: Mapping[str, Any]) -> str:
    """The table in Markdown: sweeps down, settings across, mean survival ± standard error over seeds in percent."""
    rows = data["rows"]
    names = [row["setting"] for row in rows]
    lines = [
        f"Survival in percent, mean over each sweep's values, ± standard error over seeds. Each trained for "
        f"{data['limit']}; {data['robots']} robots × {data['robot_seconds']:g} s in each cell of a sweep.",
        "",
        "| sweep | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for axis, label in data["labels"].items():
        best = max(row["survival"][axis]["mean"] for row in rows)
        cells = (_bold(_percent(row["survival"][axis]), row["survival"][axis]["mean"] >= best - 1e-9) for row in rows)
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    best = max(row["all"]["mean"] for row in rows)
    lines.append(
        "| **all sweeps** | "
        + " | ".join(_bold(_percent(r["all"]), r["all"]["mean"] >= best - 1e-9) for r in rows)
        + " |"
    )
    lines.append("| velocity error as usual, m/s | " + " | ".join(_number(row["usual_error"]) for row in rows) + " |")
    lines.append("| seeds | " + " | ".join(", ".join(map(str, row["seeds"])) for row in rows) + " |")
    lines.append("| million steps | " + " | ".join(f"{np.mean(row['steps']) / 1e6:.1f}" for row in rows) + " |")
    cost = f"{data['minutes_training']:.0f} minutes of training, {data['minutes_rehearsing']:.0f} of rehearsal."
    lines += ["", f"Cost: {cost}"]
    short = [row["setting"] for row in rows if len(row["seeds"]) < data["wanted_seeds"]]
    if data["missing"] or short:
        lines += ["", f"Not finished: {', '.join([*data['missing'], *short])}."]
    return "\n".join(lines) + "\n"


def draw(data: Mapping[str, Any], out: Path) -> Path:
    """The table as a heat map: sweeps down, settings across."""
    from walkies.show.pictures import theme
    from walkies.show.pictures.heat import heat

    rows, labels = data["rows"], data["labels"]
    lines = [(label, [row["survival"][axis]["mean"] for row in rows]) for axis, label in labels.items()]
    lines.append(("all sweeps", [row["all"]["mean"] for row in rows]))
    with theme.figure(width=1.0 * len(rows) + 2.0, height=0.34 * len(lines) + 1.2) as (made, plots):
        names = [row["setting"].replace(" ", "\n") for row in rows]
        heat(plots[0, 0], [values for _, values in lines], [label for label, _ in lines], names, "{:.0%}".format)
        return theme.save(made, out)


def _axes(runs: Sequence[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    return list(enumerate(runs[0]["axes"]))


def _survival(run: Mapping[str, Any], axis: int) -> float:
    return float(np.mean([cell["survival"]["value"] for cell in run["axes"][axis]["cells"]]))


def _error(run: Mapping[str, Any], axis: int) -> float:
    known = [cell["lin_vel_error"]["value"] for cell in run["axes"][axis]["cells"]]
    return float(np.mean([value for value in known if value is not None] or [np.nan]))


def _base_error(run: Mapping[str, Any]) -> float:
    axis = run["axes"][0]
    value = axis["cells"][axis["base"]]["lin_vel_error"]["value"]
    return float("nan") if value is None else float(value)


def _over_seeds(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and standard error over seeds; runs without a number do not count."""
    known = np.array([value for value in values if np.isfinite(value)])
    if not known.size:
        return {"mean": None, "error": None}
    error = float(known.std(ddof=1) / np.sqrt(known.size)) if known.size > 1 else None
    return {"mean": float(known.mean()), "error": error}


def _percent(estimate: Mapping[str, float | None]) -> str:
    return _number({key: None if value is None else 100 * value for key, value in estimate.items()}, ".0f", ".1f")


def _number(estimate: Mapping[str, float | None], form: str = ".3f", error_form: str = ".3f") -> str:
    if estimate["mean"] is None:
        return "–"
    error = "" if estimate["error"] is None else f" ± {estimate['error']:{error_form}}"
    return f"{estimate['mean']:{form}}{error}"


def _bold(text: str, yes: bool) -> str:
    return f"**{text}**" if yes else text
