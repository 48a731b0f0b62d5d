"""Each idea of the ladder is one file that is read in one sitting."""

from __future__ import annotations

from pathlib import Path

import pytest

import walkies.rl

FOLDER = Path(walkies.rl.__file__).parent
LIMIT = 170
"""Lines, with docstrings and blanks."""
LIMITS = {"train.py": 400, "updates.py": 225, "rollout.py": 190}
"""Files that hold more than one idea. train.py ties them together: the state, acting, advantages, updates, in the order
in which they happen; as long as any file may be. updates.py has the three updates, and which of them one native call
does. rollout.py has acting and its record."""


def too_long(folder: Path) -> dict[str, int]:
    """Path → number of lines of the files in `folder`, and below it, that are longer than they may be."""
    paths = {str(path.relative_to(folder)): path for path in folder.rglob("*.py")}
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in paths.items()}
    return {name: n for name, n in lengths.items() if n > LIMITS.get(name, LIMIT)}


def test_every_idea_is_read_in_one_sitting():
    assert too_long(FOLDER) == {}


@pytest.mark.parametrize(
    ("name", "lines", "found"),
    [
        ("gae.py", LIMIT, False),
        ("gae.py", LIMIT + 1, True),
        ("trpo/gae.py", LIMIT + 1, True),
        ("updates.py", LIMITS["updates.py"], False),
        ("train.py", LIMITS["train.py"] + 1, True),
    ],
)
def test_what_is_too_long_is_noticed(tmp_path, name, lines, found):
    """Control of the test above."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x = 1\n" * lines)
    assert too_long(tmp_path) == ({name: lines} if found else {})


IDEAS = {
    "advantages": ("full_return", "reward_to_go", "gae"),
    "objectives": ("Batch", "score", "surrogate", "clipped", "kl_penalty", "policy_loss", "values", "critic_loss"),
    "updates": ("Learner", "fit_critic", "gradient_step", "natural_step", "minibatch_epochs"),
    "epochs": ("epochs", "permutation"),
    "optimizer": ("adam",),
    "rollout": ("EpisodeState", "Rollout", "start", "rollout"),
    "distributions": ("Normal", "TanhNormal", "Categorical"),
    "trpo/fisher": ("fisher_product", "conjugate_gradient"),
    "trpo/natural_step": ("natural_step",),
    "pathwise/deterministic": ("unroll", "pathwise_return"),
    "pathwise/short_horizon": ("window_loss",),
}


def absent(ideas: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """(file, name) of what is not defined where `ideas` says."""
    sources = {module: (FOLDER / f"{module}.py").read_text(encoding="utf-8") for module in ideas}
    return [
        (module, name)
        for module, names in ideas.items()
        for name in names
        if f"\ndef {name}(" not in sources[module] and f"\nclass {name}(" not in sources[module]
    ]


def test_the_ideas_are_where_the_lecture_says():
    """A limit on lines is worth nothing if ideas share a file: each is defined where it is said to be."""
    assert absent(IDEAS) == []
    # Control: an idea that another file has.
    assert absent({"advantages": ("gae", "clipped")}) == [("advantages", "clipped")]
