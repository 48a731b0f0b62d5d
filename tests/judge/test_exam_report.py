"""The report card's numbers on records whose answers are known in closed form."""

import tracemalloc

import numpy as np
import pytest

from walkies.errors import UserError
from walkies.files import write_json
from walkies.judge import report as er
from walkies.judge import report_card
from walkies.judge.ranges import CONTROL_DT, STEPS, draw
from walkies.judge.record import Record, empty
from walkies.robots import get_robot

N = 3
PUPPER = get_robot("pupper")


@pytest.fixture
def drawn():
    return draw(0, N, PUPPER, 13)


def perfect(drawn, **changes):
    """A record of robots that do exactly as told."""
    position = np.cumsum(drawn.command[..., :2] * CONTROL_DT, axis=1)
    record = Record(
        alive=np.ones((N, STEPS), bool),
        velocity=np.concatenate([drawn.command[..., :2], np.zeros((N, STEPS, 1))], axis=-1),
        yaw_rate=drawn.command[..., 2].copy(),
        position=position,
        tilt=np.full((N, STEPS), 0.05),
        torque_square=np.full((N, STEPS), 0.25),
        power=np.full((N, STEPS), 6.0),
        action=np.zeros((N, STEPS, 12)),
        slip=np.full((N, STEPS), 0.02),
        contact=np.ones((N, STEPS), bool),
        cause=np.full(N, "", dtype="U32"),
        fall_step=np.full(N, STEPS),
        weight=np.full(N, 30.0),
    )
    return record._replace(**changes)


def test_perfect_robot_passes(drawn):
    card = er.report(drawn, perfect(drawn), 0, "pupper")
    numbers = er.score(drawn, perfect(drawn))
    assert card["passed"] and card["survival"] == 1.0
    assert card["lin_vel_error"] == 0.0 and card["yaw_rate_error"] == 0.0
    assert numbers["torque_rms"] == pytest.approx(0.5) and numbers["power"] == pytest.approx(6.0)
    assert numbers["drift"] == pytest.approx(0.0, abs=1e-12) and numbers["foot_slip"] == pytest.approx(0.02)
    moving = np.any(np.abs(drawn.command) >= 0.1, axis=-1)
    speed = np.linalg.norm(drawn.command[..., :2], axis=-1)[moving].mean()
    assert numbers["cost_of_transport"] == pytest.approx(6.0 / (30.0 * speed))


def test_constant_error_is_measured_but_not_in_the_first_second(drawn):
    velocity = perfect(drawn).velocity.copy()
    late = drawn.since_change >= 50
    velocity[late] += [0.06, -0.08, 5.0]
    velocity[~late] += [9.0, 9.0, 0.0]
    numbers = er.score(drawn, perfect(drawn, velocity=velocity, yaw_rate=drawn.command[..., 2] - 0.3))
    assert numbers["lin_vel_error"] == pytest.approx(0.1) and numbers["lin_vel_error_p95"] == pytest.approx(0.1)
    assert numbers["lin_vel_error_smooth"] == pytest.approx(0.1)
    assert numbers["yaw_rate_error"] == pytest.approx(0.3)


def test_sway_within_a_gait_counts_in_full_but_not_in_the_smoothed_error(drawn):
    sway = 0.2 * np.sin(2 * np.pi * np.arange(STEPS) / 25)  # one period is the window
    velocity = perfect(drawn).velocity + sway[None, :, None] * np.array([0.0, 1.0, 0.0])
    numbers = er.score(drawn, perfect(drawn, velocity=velocity))
    assert numbers["lin_vel_error"] == pytest.approx(0.2 * 2 / np.pi, rel=0.02)
    assert numbers["lin_vel_error_smooth"] == pytest.approx(0.0, abs=1e-9)


def test_a_fall_counts_to_the_end_of_its_episode(drawn):
    alive = np.ones((N, STEPS), bool)
    alive[1, 400:] = False
    record = perfect(drawn, alive=alive, fall_step=np.array([STEPS, 400, STEPS]), cause=np.array(["", "tilt", ""]))
    numbers = er.score(drawn, record)
    counted = (drawn.since_change >= 50).copy()
    counted[1, 400:] = True
    share = 600 / counted.sum()
    assert numbers["survival"] == pytest.approx(2 / 3)
    assert numbers["lin_vel_error"] == pytest.approx(1.0 * share)
    assert numbers["yaw_rate_error"] == pytest.approx(2.0 * share)
    card = er.report(drawn, record, 0, "pupper")
    assert not card["passed"] and [fall["episode"] for fall in card["falls"]] == [1]
    assert card["falls"][0]["seed"] == drawn.seed[1] and card["falls"][0]["time"] == pytest.approx(8.0)


def test_drift_is_net_motion_while_told_to_stand(drawn):
    still = np.all(drawn.command == 0, axis=-1)
    assert np.any(still & (drawn.since_change >= 50)), "this paper has no zero command"
    position = np.cumsum(np.full((N, STEPS, 2), [0.03, 0.04]) * CONTROL_DT, axis=1)
    numbers = er.score(drawn, perfect(drawn, position=position))
    assert numbers["drift"] == pytest.approx(0.05)


def test_action_rate_is_per_step(drawn):
    action = np.zeros((N, STEPS, 12))
    action[:, ::2] = 0.4
    assert er.score(drawn, perfect(drawn, action=action))["action_rate"] == pytest.approx(0.4)


def test_each_gate_decides_and_nothing_else_does(drawn):
    good = {mark.key: 0.0 if not mark.at_least else 1.0 for mark in er.MARKS}
    gates = [mark for mark in er.MARKS if mark.gates]
    assert [mark.key for mark in gates] == ["survival", "lin_vel_error", "yaw_rate_error"]
    assert [mark.limit for mark in gates] == [0.99, 0.10, 0.20]
    for mark in er.MARKS:
        numbers = {**good, mark.key: 0.0 if mark.at_least else mark.limit * 1.01}
        original = er.score
        er.score = lambda *_, numbers=numbers: numbers
        try:
            card = er.report(drawn, perfect(drawn), 0, "pupper")
        finally:
            er.score = original
        assert card["passed"] == (not mark.gates)
        assert [line["key"] for line in card["marks"] if not line["met"]] == [mark.key]


def test_markdown_names_verdict_marks_and_falls(drawn):
    alive = np.ones((N, STEPS), bool)
    alive[0] = False
    record = perfect(drawn, alive=alive, fall_step=np.array([0, STEPS, STEPS]), cause=np.array(["tilt", "", ""]))
    text = report_card.markdown(er.report(drawn, record, 0, "pupper"))
    assert "# Examination: FAILED" in text and "## Falls: 1" in text
    assert f"| 0 | {drawn.seed[0]} | 0.00 s | tilt" in text
    assert all(mark.name in text for mark in er.MARKS)
    assert "PASSED" in report_card.markdown(er.report(drawn, perfect(drawn), 0, "pupper"))


def test_a_thousand_episodes_fit_into_a_gigabyte():
    """Memory is in proportion to the episodes: what one takes, of records and of all that scoring makes of them."""
    few, many = (_peak(n) for n in (2, 6))
    assert (many - few) / 4 * 1000 < 1e9


def _peak(n):
    tracemalloc.start()
    try:
        drawn = draw(0, n, PUPPER, 13)
        record = empty(n, 12, np.full(n, 30.0))._replace(alive=np.ones((n, STEPS), bool))
        er.report(drawn, record, 0, "pupper")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_card_says_how_sure_it_is(drawn):
    card = er.report(drawn, perfect(drawn), 7, "pupper")
    low, high = card["survival_interval"]
    assert low == pytest.approx(1 / (1 + 1.96**2 / N)) and high == 1.0
    said = report_card.about(card)
    assert f"{N} episodes of 20 s" in said and "examination seed 7" in said
    assert "100.0%, its 95% interval 43.8% … 100.0%, which does not settle whether it is 99%; `--episodes 1000`" in said
    sure = {**card, "episodes": 1000, "survival": 0.998}
    assert "99.8%, its 95% interval 99.3% … 99.9%." in report_card.about(sure), "beyond the mark: settled"
    assert "settle" not in report_card.about({**sure, "survival": 0.95}), "and below it"
    assert report_card.about(card) in report_card.markdown(card)


def test_a_card_of_the_first_version_says_it_too(drawn, tmp_path):
    card = er.report(drawn, perfect(drawn), 0, "pupper")
    old = {name: value for name, value in card.items() if name != "survival_interval"}
    write_json(tmp_path / "report.json", old)
    assert report_card.about(report_card.read(tmp_path / "report.json")) == report_card.about(card)


def test_no_card_takes_the_place_of_the_default_examinations(drawn, tmp_path):
    card = er.report(drawn, perfect(drawn), 0, "pupper")
    own = report_card.write({**card, "episodes": 100}, tmp_path)
    sizes = ((100, 7), (3, 0), (3, 7))
    others = [report_card.write({**card, "episodes": n, "seed": seed}, tmp_path) for n, seed in sizes]
    assert [path.name for path in own] == ["report.json", "report_card.md"]
    files = {path for pair in (own, *others) for path in pair}
    assert len(files) == 8 and all(path.is_file() for path in files)
    assert report_card.read(own[0])["episodes"] == 100
    assert report_card.others(tmp_path) == sorted(data for data, _ in others)
    assert [path.name for path in others[2]] == ["seed-7-episodes-3.json", "seed-7-episodes-3.md"]


@pytest.mark.parametrize("damage", [{"episodes": 0}, {"episodes": -3}, {"survival": 1.5}, {"survival": -0.1}])
def test_a_card_of_impossible_numbers_is_damaged(damage, drawn, tmp_path):
    write_json(tmp_path / "report.json", {**er.report(drawn, perfect(drawn), 0, "pupper"), **damage})
    with pytest.raises(UserError, match=r"damaged .*`walkies exam` writes it again"):
        report_card.read(tmp_path / "report.json")
