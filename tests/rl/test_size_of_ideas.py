"""Each idea of the ladder is one file that is read in one sitting."""

from __future__ import annotations

from pathlib import Path

import pytest

import walkies.rl

FOLDER = Path(walkies.rl.__file__).parent
LIMIT = 150
"""Lines, with docstrings and blanks."""
LOOP = "train.py"
"""What ties the ideas together, the state, acting, weighing, stepping, accounting, in the order in which they happen;
as long as any file may be."""
LIMIT_OF_FILES = 400


def too_long(folder: Path) -> dict[str, int]:
    """Name → number of lines of the files in `folder` that are longer than they may be."""
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in folder.glob("*.py")}
    return {name: n for name, n in lengths.items() if n > (LIMIT_OF_FILES if name == LOOP else LIMIT)}


def test_every_idea_fits_on_150_lines():
    assert too_long(FOLDER) == {}


@pytest.mark.parametrize(("name", "lines", "found"), [("gae.py", 150, False), ("gae.py", 151, True), (LOOP, 401, True)])
def test_what_is_too_long_is_noticed(tmp_path, name, lines, found):
    """Control of the test above."""
    (tmp_path / name).write_text("x = 1\n" * lines)
    assert too_long(tmp_path) == ({name: lines} if found else {})


def test_the_ideas_are_where_the_lecture_says():
    """A limit on lines is worth nothing if ideas share a file: each of these has its own, and defines what it says."""
    ideas = {
        "weights": ("full_return", "reward_to_go", "gae"),
        "objectives": ("score", "surrogate", "clipped", "kl_penalty"),
        "steps": ("gradient_step", "natural_step", "minibatch_epochs"),
        "natural": ("natural_step",),
        "fisher": ("fisher_product",),
        "conjugate_gradient": ("conjugate_gradient",),
        "losses": ("policy_loss", "critic_loss"),
        "minibatches": ("epochs",),
        "learner": ("Learner", "adam"),
        "distributions": ("Normal", "TanhNormal", "Categorical"),
        "pathwise": ("unroll", "pathwise_return"),
    }
    for module, names in ideas.items():
        source = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
        for name in names:
            assert f"\ndef {name}(" in source or f"\nclass {name}" in source, (module, name)
