"""Each recipe under a problem's settings is still that recipe, and shares everything else."""

from __future__ import annotations

from dataclasses import fields

import pytest

from walkies.errors import UserError
from walkies.lab.ladder import rungs
from walkies.rl.recipes import RECIPES, Recipe

MAY_DIFFER = {
    "advantage", "objective", "update", "lam", "baseline", "whole_episodes", "line_search", "learning_rate", "num_envs",
    "normalize_advantage",
}  # fmt: skip


@pytest.mark.parametrize("problem", rungs.PROBLEMS)
def test_only_what_makes_a_recipe_differs(problem):
    found = rungs.get_problem(problem)
    assert found.make().time_limit is not None
    settled = {name: rungs.settle(name, found) for name in RECIPES}
    for name, recipe in settled.items():
        original = RECIPES[name]
        assert (recipe.advantage, recipe.objective, recipe.update) == (
            original.advantage,
            original.objective,
            original.update,
        )
        different = {f.name for f in fields(Recipe) if getattr(recipe, f.name) != getattr(found.base, f.name)}
        assert different <= MAY_DIFFER
    assert settled["ppo"] == found.base
    assert settled["reinforce"].normalize_advantage == "none", "the mean of the returns would be a baseline"
    assert settled["reinforce_baseline"].baseline and settled["a2c"].lam == 1.0


def test_names_are_checked():
    assert rungs.check_recipes(["ppo", "reinforce"]) == ("reinforce", "ppo")
    with pytest.raises(UserError, match="there is no pp0"):
        rungs.check_recipes(["pp0"])
    with pytest.raises(UserError, match="got none"):
        rungs.check_recipes([])
    with pytest.raises(UserError, match="choose one of pupper"):
        rungs.get_problem("moon")
