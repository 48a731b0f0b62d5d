"""The comparison's pictures: learning curves, noise of the gradient, worth of old samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from walkies.lab.ladder.curves import Point
from walkies.lab.ladder.gradients import Spread
from walkies.lab.ladder.reuse import Age
from walkies.show.pictures import theme
from walkies.show.pictures.curves import band

LOOKS: dict[str, tuple[str, str]] = {
    "reinforce": (theme.GREY, "-"),
    "reinforce_baseline": (theme.GREY, "--"),
    "a2c": (theme.TEAL, "-"),
    "vpg": (theme.VIOLET, "-"),
    "npg": (theme.VERMILLION, "--"),
    "trpo": (theme.VERMILLION, "-"),
    "ppo": (theme.BLUE, "-"),
}
"""Colour and line of each recipe, the same in every picture."""


def draw_curves(rows: Mapping[str, Sequence[Sequence[Point]]], out: Path) -> Path:
    """Mean return against samples and against processor time: mean over seeds, band from lowest to highest.

    rows: recipe → one curve per seed.
    """
    from matplotlib.ticker import EngFormatter

    with theme.figure(1, 2, width=4.6, height=3.2, sharey=True) as (made, axes):
        for axis, name in zip(axes[0], ("samples", "cpu_seconds"), strict=True):
            for recipe, curves in rows.items():
                colour, line = LOOKS[recipe]
                points = [(column(curve, name), column(curve, "episode_return")) for curve in curves]
                along, mean, low, high = band(points)
                axis.fill_between(along, low, high, color=colour, alpha=0.15, linewidth=0)
                axis.plot(along, mean, color=colour, linestyle=line, label=recipe)
        axes[0, 0].set(title="Return of an episode", xlabel="samples")
        axes[0, 1].set(title="The same against time", xlabel="processor seconds")
        axes[0, 0].xaxis.set_major_formatter(EngFormatter(sep=""))
        made.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(rows))
        return theme.save(made, out)


def column(curve: Sequence[Point], name: str) -> np.ndarray:
    """One field of every point, (points,)."""
    return np.array([getattr(point, name) for point in curve], float)


def draw_gradients(moments: Mapping[str, Mapping[str, Spread]], out: Path) -> Path:
    """Samples until the gradient is as long as its error: one group of dots per recipe, one dot per moment.

    moments: name of a moment → recipe → spread. Where no signal was found there is no dot.
    """
    recipes = list(next(iter(moments.values())))
    with theme.figure(1, 1, width=6.4, height=3.0) as (made, axes):
        axis = axes[0, 0]
        for number, (moment, spreads) in enumerate(moments.items()):
            shift = 0.18 * (number - 0.5 * (len(moments) - 1))
            needed: list[Any] = [spreads[recipe].samples_needed for recipe in recipes]
            heights = [np.nan if value is None else value for value in needed]
            axis.plot(np.arange(len(recipes)) + shift, heights, "o", color=theme.COLOURS[number], label=moment)
        axis.set_xticks(range(len(recipes)), [recipe.replace("_", "\n") for recipe in recipes])
        axis.set_yscale("log")
        axis.set_title("Samples until the gradient is as long as its error")
        axis.legend()
        return theme.save(made, out)


def draw_reuse(ages: Sequence[Age], out: Path) -> Path:
    """What one batch is worth while the policy learns on: effective shares, and the direction of its gradient."""
    along = [age.iterations for age in ages]
    with theme.figure(1, 2, width=4.6, height=3.6) as (made, axes):
        left, right = axes[0]
        left.plot(along, [age.effective_steps for age in ages], marker="o", label="steps reweighted")
        left.plot(along, [age.effective_episodes for age in ages], marker="o", label="whole episodes reweighted")
        left.plot(along, [age.clipped for age in ages], marker="o", label="share with |ρ − 1| > 0.2")
        left.set(title="Effective share of an old batch", ylim=(0.0, 1.05))
        right.plot(along, [age.cosine_fresh for age in ages], marker="o", label="as many fresh samples")
        right.plot(along, [age.cosine_weighted for age in ages], marker="o", label="old samples, weighted by ρ")
        right.plot(along, [age.cosine_unweighted for age in ages], marker="o", label="old samples, not weighted")
        right.set(title="Cosine with the true gradient of today")
        for axis in (left, right):
            axis.set_xlabel("iterations since the batch was drawn")
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))  # below: the curves leave no corner free
        return theme.save(made, out)
