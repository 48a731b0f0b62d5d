"""The terminal's display, with a clock that the test turns."""

import io
import math

import pytest
from rich.console import Console

from walkies.run.progress import Progress, count, duration, sparkline

RECORD = {"steps": 1_500_000, "steps_per_s": 104_321.0, "reward": 0.5, "lin_vel_error": 0.123, "yaw_rate_error": 0.2,
          "episode_length": 480.0, "kl": 0.02, "learning_rate": 1e-3}  # fmt: skip


def display(terminal, **options):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, color_system=None)
    return Progress("Pupper", console=console, **options), text


def test_the_reward_is_per_second_as_its_terms_are():
    progress, _ = display(terminal=False)
    assert "reward 25.00 /s" in progress.line(RECORD, 1.0)  # 0.5 in each of fifty steps


def test_a_line_every_ten_seconds_without_a_terminal():
    now = [0.0]
    progress, text = display(False, total_seconds=60.0, clock=lambda: now[0])
    with progress:
        for second in range(60):
            now[0] = float(second)
            progress.update({**RECORD, "seconds": now[0]})
    lines = [line for line in text.getvalue().splitlines() if "elapsed" in line]
    assert len(lines) == 6
    assert lines[3].startswith("0:30 elapsed  0:30 left  1.5M steps  104k steps/s")
    assert "velocity error 0.123 m/s" in lines[3] and "episode length 480 steps" in lines[3]


def test_a_panel_in_a_terminal():
    progress, text = display(True, total_steps=3_000_000)
    with progress:
        progress.update({**RECORD, "seconds": 20.0})
    shown = text.getvalue()
    for piece in ("0:20 elapsed", "0:20 left", "1.5M steps", "104k steps/s", "25.00 /s", "0.123 m/s", "0.0010"):
        assert piece in shown


def test_what_ends_first_decides_the_time_left():
    progress, _ = display(False, total_steps=3_000_000, total_seconds=25.0)
    assert progress.done({"steps": 1_500_000}, 20.0) == pytest.approx(0.8)
    assert display(False)[0].done({"steps": 1_500_000}, 20.0) is None


def test_unmeasured_numbers_are_left_out():
    progress, _ = display(False)
    line = progress.line({"steps": 1, "reward": math.nan}, 1.0)
    assert "reward" not in line and "error" not in line and "left" not in line


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (999.6, "1k"), (54_321, "54.3k"), (999_600, "1M"), (1_234_567, "1.23M"), (2e9, "2G")],
)
def test_count(number, text):
    assert count(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3661, "1:01:01")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_sparkline():
    assert sparkline([0.0, 1.0, math.nan, 0.5]) == "▁█ ▅"
    assert sparkline([2.0, 2.0]) == "▁▁" and sparkline([]) == ""
