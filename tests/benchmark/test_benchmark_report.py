"""Statistics of the comparison, the table and the page."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from walkies.benchmark import report
from walkies.benchmark.protocols import Published, rows
from walkies.benchmark.report import BEGIN, END, Mean, compare, mean_of
from walkies.errors import UserError

HOPPER = rows(["ppo-cleanrl_Hopper"])


def finish(out, row, score):
    """A finished row as training leaves it."""
    for folder in ("rows", "curves"):
        (out / folder).mkdir(exist_ok=True)
    result = {
        "seed": row.seed, "steps": 999_424, "seconds": 1.0, "training_return": score, "evaluation_return": score + 1
    }  # fmt: skip
    (out / "rows" / f"{row.key}.json").write_text(json.dumps(result))
    (out / "curves" / f"{row.key}.csv").write_text(f"steps,episode_return\n1000,10\n999424,{score}\n")


def test_mean_and_standard_error_over_seeds():
    scores = [1.0, 4.0, 7.0, 2.0]
    mean = mean_of(scores)
    assert mean.value == pytest.approx(np.mean(scores))
    assert mean.standard_error == pytest.approx(np.std(scores, ddof=1) / 2.0)
    assert mean_of([3.0]) == Mean(3.0, None, 1)


@pytest.mark.parametrize(
    ("ours", "passed", "alone"),
    [(2400.0, True, True), (2779.0, True, False), (2821.0, False, False), (1179.0, False, False)],
)
def test_means_agree_within_two_standard_errors_of_their_difference(ours, passed, alone):
    """Published 2000 ± 200, ours ± 350: the difference has 403.1."""
    comparison = compare(Mean(ours, 350.0, 3), Published(2000.0, 200.0, ""))
    assert comparison.standard_errors == pytest.approx(abs(ours - 2000.0) / math.hypot(200.0, 350.0))
    assert (comparison.passed, comparison.passed_alone) == (passed, alone)


def test_identical_results_without_any_spread():
    assert compare(Mean(500.0, 0.0, 3), Published(500.0, 0.0, "")).passed
    assert not compare(Mean(499.0, 0.0, 3), Published(500.0, 0.0, "")).passed


def test_a_single_run_decides_nothing():
    assert compare(Mean(1.0, None, 1), Published(1.0, 1.0, "")) is None
    assert compare(Mean(1.0, 1.0, 3), Published(1.0, None, "")) is None


def test_table_has_finished_seeds_only_and_says_who_differs(tmp_path):
    for row, score in zip(HOPPER, (2300.0, 2500.0, 2700.0), strict=True):
        finish(tmp_path, row, score)
    walker = rows(["ppo-cleanrl_Walker2d"])
    for row, score in zip(walker[:2], (100.0, 110.0), strict=True):
        finish(tmp_path, row, score)
    lines = report.table(tmp_path, rows()).splitlines()[2:]
    assert len(lines) == 2
    assert "| 2500 ± 115 | 1, 2, 3 | +117 (0.5 SE) | passed |" in lines[0]
    assert "| 1, 2 |" in lines[1] and "**differs**" in lines[1]
    unfinished = report.missing(tmp_path, rows())
    assert "ppo-cleanrl Walker2d-v4 (3)," in unfinished and "ppo-cleanrl Hopper-v4" not in unfinished
    assert report.missing(tmp_path, HOPPER) == "Every row is finished."
    assert f"5 of {len(rows())} rows finished" in report.listing(tmp_path, rows())


def test_page_keeps_what_is_written_around_the_table(tmp_path):
    finish(tmp_path, HOPPER[0], 2000.0)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    report.write_page(page, tmp_path, HOPPER)
    first = page.read_text()
    assert first.startswith("before\n") and first.endswith("after\n") and "old" not in first
    assert "Not finished (seeds): ppo-cleanrl Hopper-v4 (2, 3)." in first and "](curves.png)" in first
    assert (tmp_path / "curves.png").stat().st_size > 1000
    report.write_page(page, tmp_path, HOPPER)
    assert page.read_text() == first
    page.write_text("no marks")
    with pytest.raises(UserError, match="benchmark: begin"):
        report.write_page(page, tmp_path, HOPPER)


def test_a_damaged_row_is_named(tmp_path):
    finish(tmp_path, HOPPER[0], 1.0)
    path = tmp_path / "rows" / f"{HOPPER[0].key}.json"
    path.write_text("{}")
    with pytest.raises(UserError, match="remove it"):
        report.read(HOPPER[0], tmp_path)


def test_nothing_finished_cannot_be_drawn(tmp_path):
    with pytest.raises(UserError, match="walkies benchmark"):
        report.draw(tmp_path / "x.png", tmp_path, HOPPER)
