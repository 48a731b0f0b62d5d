"""Statistics of the comparison, the table and the page."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from damage import damaged
from walkies.errors import UserError
from walkies.lab.published import report
from walkies.lab.published.protocols import PROTOCOLS, Published, counterpart, rows
from walkies.lab.published.report import BEGIN, END, Mean, compare, mean_of

HOPPER = rows(["ppo-cleanrl_Hopper"])
TIMED = {"key": "ppo-sb3_Hopper-v4_1", "ours": 26e-6, "theirs": 104e-6, "machine": "laptop, 2 cores"}
STEPS = {"updates": 7} | {
    name: [0.1, 0.2, 0.3] for name in ("theirs", "ours", "literal", "cosine", "length", "theirs_exact", "ours_exact")
}


def finish(out, row, score, machine="a machine"):
    """A finished row as training leaves it."""
    for folder in ("rows", "curves"):
        (out / folder).mkdir(exist_ok=True)
    result = {
        "seed": row.seed, "steps": 999_424, "seconds": 1.0, "training_return": score, "evaluation_return": score + 1,
        "machine": machine,
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


def test_our_single_run_decides_nothing():
    assert compare(Mean(1.0, None, 1), Published(1.0, 1.0, "")) is None
    assert compare(Mean(1.0, None, 1), Mean(1.0, None, 1)) is None


@pytest.mark.parametrize("reference", [Published(3.0, None, ""), Mean(3.0, None, 1)], ids=["published", "measured"])
def test_a_single_reference_scatters_as_our_runs_do(reference):
    """Ours 1 ± 1 over 4 seeds: σ = 2, so the difference to one run has √(1 + 4)."""
    found = compare(Mean(1.0, 1.0, 4), reference)
    assert found.standard_errors == pytest.approx(2.0 / math.sqrt(5.0)) and found.passed
    assert not compare(Mean(1.0, 0.1, 4), reference).passed


def test_libraries_are_trained_under_our_very_settings():
    """Each library's protocol is the counterpart of exactly one of ours."""
    pairs = {protocol.name + " " + protocol.env: counterpart(protocol) for protocol in PROTOCOLS}
    found = {ours: theirs.name for ours, theirs in pairs.items() if theirs is not None}
    assert found == {
        "ppo-cleanrl Hopper-v4": "ppo-sb3",
        "trpo-contrib Hopper-v4": "trpo-sb3-contrib",
        "trpo-zoo CartPole-v1": "trpo-sb3-zoo",
    }
    assert len(found) == sum(protocol.library is not None for protocol in PROTOCOLS)


def lines_of(out, chosen=None):
    """The table's lines as cells, by protocol and environment."""
    lines = report.table(out, chosen or rows()).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(line[1], line[0]): line for line in cells}


def test_what_was_measured_here_decides_where_nothing_was_published(tmp_path):
    """trpo-contrib on Hopper has no published figure: one run of the library beside ours, then three."""
    ours, theirs = rows(["trpo-contrib_Hopper"]), rows(["trpo-sb3-contrib"])
    for row, score in zip(ours, (2900.0, 3000.0, 3100.0), strict=True):
        finish(tmp_path, row, score - 1)
    assert lines_of(tmp_path)["trpo-contrib", "Hopper-v4"][-1] == "no reference"
    finish(tmp_path, theirs[0], 2899.0)
    line = lines_of(tmp_path)["trpo-contrib", "Hopper-v4"]
    assert line[4:6] == ["2900", "3000 ± 58"]
    assert line[-2:] == ["the library +100 (0.9 SE)", "passed: the library (one run)"]
    assert lines_of(tmp_path)["trpo-sb3-contrib", "Hopper-v4"][4:6] == ["2900", ""]
    for row, score in zip(theirs[1:], (2890.0, 2910.0), strict=True):
        finish(tmp_path, row, score - 1)
    assert lines_of(tmp_path)["trpo-contrib", "Hopper-v4"][-1] == "passed: the library (not by its SE alone)"
    for row in theirs:
        finish(tmp_path, row, 1999.0 + row.seed)
    assert lines_of(tmp_path)["trpo-contrib", "Hopper-v4"][-1] == "**differs**"


def test_one_run_does_not_overrule_several(tmp_path):
    """trpo-zoo on CartPole: close to the published run, far from three runs of the library under the same settings."""
    for row, score in zip(rows(["trpo-zoo_CartPole"])[:3], (300.0, 480.0, 400.0), strict=True):
        finish(tmp_path, row, score)
    key = "trpo-zoo", "CartPole-v1"
    assert lines_of(tmp_path)[key][-1] == "passed: published (one run)"
    for row in rows(["trpo-sb3-zoo"])[:3]:
        finish(tmp_path, row, 50.0 + row.seed)
    assert lines_of(tmp_path)[key][-1] == "**differs**"


def test_the_machines_come_from_the_rows(tmp_path):
    """One machine is named alone; of several, the few rows of the smaller ones are named."""
    assert report.machines(tmp_path, HOPPER) == ""
    for row in HOPPER:
        finish(tmp_path, row, 1.0, "laptop, 2 cores")
    assert report.machines(tmp_path, HOPPER) == "Trained on: laptop, 2 cores."
    finish(tmp_path, HOPPER[1], 1.0, "server, 8 cores")
    expected = "Trained on: server, 8 cores (ppo-cleanrl Hopper-v4 2); laptop, 2 cores (all others)."
    assert report.machines(tmp_path, HOPPER) == expected


def test_the_page_has_the_speed_beside_the_libraries(tmp_path):
    """26 µs against 104 µs: four times as fast. Without a measurement there is no such table."""
    finish(tmp_path, HOPPER[0], 2000.0)
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}{END}")
    report.write_page(page, tmp_path, rows())
    assert "µs" not in page.read_text()
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "ppo-sb3_Hopper-v4_1.json").write_text(json.dumps(TIMED))
    report.write_page(page, tmp_path, rows())
    text = page.read_text()
    assert "| ppo-sb3, Hopper-v4 | 26 µs | 104 µs | 4.0 | laptop, 2 cores |" in text
    assert "walkies lab benchmark --speed" in text and "Trained on: a machine." in text


def test_the_page_has_the_steps_beside_the_library(tmp_path):
    """Medians of what was measured; nothing where nothing was."""
    chosen = rows(["trpo-contrib_Hopper"])
    assert report.step_table(tmp_path, chosen) == ""
    (tmp_path / "one-step").mkdir()
    (tmp_path / "one-step" / f"{chosen[0].key}.json").write_text(json.dumps(STEPS))
    text = report.step_table(tmp_path, chosen)
    assert "its\nfirst 7 updates" in text
    assert "| trpo-contrib, Hopper-v4 | 0.2000 | 0.2000 | 0.2000 | 0.200 (0.100 … 0.300) |" in text


def test_table_has_finished_seeds_only_and_says_who_differs(tmp_path):
    for row, score in zip(HOPPER, (2300.0, 2500.0, 2700.0), strict=True):
        finish(tmp_path, row, score)
    walker = rows(["ppo-cleanrl_Walker2d"])
    for row, score in zip(walker[:2], (100.0, 110.0), strict=True):
        finish(tmp_path, row, score)
    lines = report.table(tmp_path, rows()).splitlines()[2:]
    assert len(lines) == 2
    assert "| 2500 ± 115 | 1, 2, 3 | published +117 (0.5 SE) | passed: published |" in lines[0]
    assert "| 1, 2 |" in lines[1] and "**differs**" in lines[1]
    unfinished = report.missing(tmp_path, rows())
    assert "ppo-cleanrl Walker2d-v4 (3)," in unfinished and "ppo-cleanrl Hopper-v4" not in unfinished
    assert report.missing(tmp_path, HOPPER) == "Every row is finished."
    assert [report.finished(row, tmp_path) for row in walker] == [True, True, False]
    assert report.state(walker[0], tmp_path).split() == ["100.0", "1", "s"] and not report.state(walker[2], tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / f"{walker[2].key}.safetensors").write_text("")
    assert report.state(walker[2], tmp_path) == "begun"


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


def test_no_damage_is_a_crash(tmp_path):
    """Many accidents to every kind of file: a table, or one sentence that names the file."""
    chosen = rows(["trpo-contrib_Hopper"])[:1]
    finish(tmp_path, chosen[0], 2000.0)
    for folder, content in {"speed": TIMED, "one-step": STEPS}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{chosen[0].key}.json").write_text(json.dumps(content))
    readers = {
        "rows": lambda: report.state(chosen[0], tmp_path) + report.table(tmp_path, chosen),
        "speed": lambda: report.speed_table(tmp_path, chosen),
        "one-step": lambda: report.step_table(tmp_path, chosen),
        "curves": lambda: str(report._curve(chosen[0], tmp_path)),
    }
    for folder, read in readers.items():
        (path,) = (tmp_path / folder).iterdir()
        text = path.read_text()
        named = 0
        for seed in range(40):
            path.write_bytes(damaged(text, seed))
            try:
                assert read()
            except UserError as error:
                named += 1
                assert str(path) in str(error) and "\n" not in str(error)
        path.write_text(text)
        assert read() and named >= 5, f"{folder}: some accidents must have been seen"


def test_nothing_finished_cannot_be_drawn(tmp_path):
    with pytest.raises(UserError, match="walkies lab benchmark"):
        report.draw(tmp_path / "x.png", tmp_path, HOPPER)
