"""The robot that is driven: it obeys, it stops when its driver falls silent, and every slider does what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from walkies.deploy import policy_file
from walkies.deploy.controllers.neural_controller import ControllerConfig
from walkies.judge.exam import robot_of
from walkies.show.viewer import settings as world
from walkies.show.viewer.gauges import Gauges, ground_forces
from walkies.show.viewer.settings import Settings
from walkies.show.viewer.walker import MAX_PUSH, Moment, Walker, command_range
from walkies.tasks.rewards import RewardParams, RewardWeights

POLICY = policy_file.read(Path(__file__).parents[2] / "browser" / "policy.json")
ROBOT = robot_of(POLICY)


class Driver:
    """A walker on a clock of its own, which runs with the simulation."""

    def __init__(self, config: ControllerConfig | None = None) -> None:
        self.now = 0.0
        self.walker = Walker(POLICY, ROBOT, config, clock=lambda: self.now)

    def run(self, seconds: float, command: tuple[float, float, float] | None = None) -> list[Moment]:
        """Let time pass; with a command, publish it ten times a second."""
        moments = []
        for index in range(round(seconds / self.walker.dt)):
            if command is not None and index % 52 == 0:
                self.walker.drive(np.array(command))
            self.now += self.walker.dt
            if (moment := self.walker.advance()) is not None:
                moments.append(moment)
        return moments


def mean_velocity(moments: list[Moment]) -> np.ndarray:
    return np.mean([moment.velocity for moment in moments], axis=0)


def test_it_walks_when_driven_and_stops_half_a_second_after_the_last_word() -> None:
    driver = Driver()
    driver.run(2.5)
    assert np.linalg.norm(mean_velocity(driver.run(0.5))) < 0.05, "nobody has said anything yet"
    assert mean_velocity(driver.run(2.0, (0.5, 0.0, 0.0))[50:])[0] == pytest.approx(0.5, abs=0.12)
    silent = driver.run(1.5)
    commands = np.array([moment.command[0] for moment in silent])
    times = np.array([moment.time for moment in silent]) - silent[0].time
    assert np.all(commands[times < 0.35] == 0.5) and np.all(commands[times > 0.55] == 0.0)
    assert np.linalg.norm(mean_velocity(silent[-15:])) < 0.08


def test_commands_are_cut_to_what_the_policy_was_trained_for() -> None:
    driver = Driver()
    driver.walker.drive(np.array([50.0, -50.0, 0.1]))
    command = driver.walker.moment().command
    ranges = command_range(POLICY, ROBOT)
    assert command.tolist() == [ranges["vx"][1], ranges["vy"][0], 0.1]


def test_a_push_adds_its_velocity_and_no_more_than_the_most() -> None:
    walker = Driver().walker
    walker.push(np.array([0.3, -0.4]))
    np.testing.assert_allclose(walker.data.qvel[:2], (0.3, -0.4))
    walker.push(np.array([0.0, 100.0]))
    np.testing.assert_allclose(walker.data.qvel[:2], (0.3, -0.4 + MAX_PUSH))


def test_the_emergency_stop_holds_until_it_is_reset() -> None:
    driver = Driver()
    driver.run(2.5)
    assert not driver.walker.moment().stopped
    driver.walker.emergency_stop()
    driver.run(1.5, (0.5, 0.0, 0.0))
    assert driver.walker.moment().stopped
    assert driver.walker.data.qpos[2] < 0.8 * ROBOT.standing_height, "it lies down"
    driver.walker.reset()
    driver.run(2.0)
    assert not driver.walker.moment().stopped
    assert driver.walker.data.qpos[2] == pytest.approx(ROBOT.standing_height, abs=0.02)


def test_a_stopped_robot_stays_limp_whatever_policies_are_chosen() -> None:
    driver = Driver()
    walker = driver.walker
    driver.run(2.5)
    walker.emergency_stop()
    for _ in range(4):
        walker.load(POLICY)
        driver.run(0.25, (0.5, 0.0, 0.0))
        assert walker.stopped and walker.moment().stopped
    assert walker.data.qpos[2] < 0.8 * ROBOT.standing_height, "it lies down"
    walker.emergency_stop()
    walker.reset()
    walker.load(POLICY)
    assert not walker.stopped, "one that was stood up starts"


GAMEPAD = {"vx": (-0.75, 0.75), "vy": (-0.5, 0.5), "yaw_rate": (-2.0, 2.0)}
"""Pupper's, where a file says nothing."""


@pytest.mark.parametrize(
    "named",
    [
        None, "wide", [], {"vx": "fast"}, {"vx": [0.5]}, {"vx": [0.5, -0.5]}, {"vx": [float("nan"), 1]},
        {"vx": [None, 1]}, {"vx": {"low": 0}}, {"vx": [-1, 10**400]}, {"vx": [True, 1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_command_range_that_is_none_does_not_count(named: Any) -> None:
    assert command_range(replace(POLICY, walkies={"command_range": named}), ROBOT) == GAMEPAD


def test_a_command_range_counts_as_far_as_it_is_one() -> None:
    named = {"vx": [-0.1, 0.2], "vy": "any", "pitch": [0, 1]}
    assert command_range(replace(POLICY, walkies={"command_range": named}), ROBOT) == {**GAMEPAD, "vx": (-0.1, 0.2)}


def test_a_robot_that_is_reset_stands_where_it_was_and_looks_where_it_looked() -> None:
    walker = Driver().walker
    walker.time = 1.0
    walker.data.qpos[:7] = (2.0, -3.0, 0.05, np.cos(0.6), 0.0, 0.0, np.sin(0.6))
    walker.reset()
    np.testing.assert_allclose(walker.data.qpos[:2], (2.0, -3.0))
    np.testing.assert_allclose(walker.data.qpos[3:7], (np.cos(0.6), 0.0, 0.0, np.sin(0.6)), atol=1e-12)


def test_the_payload_weighs_on_the_feet() -> None:
    weights = []
    for payload in (0.0, 0.5):
        driver = Driver()
        driver.walker.change(Settings(payload=payload))
        driver.run(0.9)
        forces = ground_forces(driver.walker.model, driver.walker.data, driver.walker.floor)
        weights.append(sum(forces.values()))
    assert weights[1] - weights[0] == pytest.approx(0.5 * 9.81, rel=0.03)
    assert weights[0] == pytest.approx(9.81 * driver.walker.model.body_mass[:-1].sum(), rel=0.03)


def test_the_ground_tilts_slowly_under_the_feet_and_ice_lets_them_slide() -> None:
    places = {}
    for friction in (0.8, 0.1):
        driver = Driver(ControllerConfig(init_duration=60.0))  # it only stands
        driver.run(0.5)
        driver.walker.change(Settings(friction=friction, slope=12.0))
        driver.run(1.0)
        angle = world.ground_angle(driver.walker.model, driver.walker.floor)
        assert angle == pytest.approx(np.radians(world.SLOPE_SPEED), rel=0.02), "not all at once"
        driver.run(3.0)
        assert world.ground_angle(driver.walker.model, driver.walker.floor) == pytest.approx(np.radians(12.0))
        places[friction] = driver.walker.data.qpos[0]
    assert places[0.8] > -0.1, "rubber holds on 12 degrees: tan 12° = 0.21"
    assert places[0.1] < -0.3, "ice does not"


@pytest.mark.parametrize("angle", [-0.2, 0.0, 0.15])
def test_tilting_keeps_the_point_under_the_robot(angle: float) -> None:
    walker = Driver().walker
    world.tilt_ground(walker.model, walker.floor, 0.1, np.zeros(3))
    before = walker.ground_height(np.array([3.0, 1.0]))
    assert before == pytest.approx(3.0 * np.tan(0.1))
    world.tilt_ground(walker.model, walker.floor, angle, np.array([3.0, 1.0, 9.0]))
    assert walker.ground_height(np.array([3.0, 1.0])) == pytest.approx(before)
    assert world.ground_angle(walker.model, walker.floor) == pytest.approx(angle)
    assert walker.ground_height(np.array([4.0, 0.0])) == pytest.approx(before + np.tan(angle))


def test_feet_sink_into_soft_ground() -> None:
    depths = []
    for ground in (5.0, Settings().ground, 80.0):
        driver = Driver()
        driver.walker.change(Settings(ground=ground))
        driver.run(0.9)
        depths.append(-driver.walker.data.contact.dist[: driver.walker.data.ncon].min())
    assert 0.0 <= depths[0] < depths[1] < depths[2] and depths[2] > 3.0 * depths[1]


def test_the_ground_is_as_hard_as_the_robots_own_model_unless_it_is_changed() -> None:
    made = world.build_model(ROBOT, ControllerConfig())
    np.testing.assert_allclose(made.geom_solref[:, 0], 1e-3 * Settings().ground)


def test_latency_delays_what_reaches_the_motors_by_so_many_ticks() -> None:
    arrivals = {}
    for latency in (0.0, 20.0):
        driver = Driver()
        driver.walker.change(Settings(latency=latency))
        driver.run(2.2)
        driver.walker.drive(np.array([0.7, 0.0, 0.0]))
        before = driver.walker.loop.sent[0][0, -1]
        asked, index = None, 0
        while asked is None or not np.array_equal(driver.walker.data.ctrl, asked):
            driver.walker.advance()
            index += 1
            if asked is None and not np.array_equal(newest := driver.walker.loop.sent[0][0, -1], before):
                asked, index = newest.copy(), 0
            assert index < 100
        arrivals[latency] = index
    assert arrivals == {0.0: 0, 20.0: round(0.020 * 520)}


def test_weak_motors_are_weak() -> None:
    walker = Driver().walker
    stiffness = {}
    for strength in (1.0, 0.5):
        walker.change(Settings(strength=strength))
        walker.advance()
        stiffness[strength] = walker.model.actuator_gainprm[0, 0]
        np.testing.assert_allclose(walker.model.actuator_forcerange[:, 1], strength * ROBOT.torque_limit)
    assert stiffness[0.5] == pytest.approx(0.5 * stiffness[1.0])


CHANGES = {"friction": 0.6, "payload": 0.5, "ground": 30.0, "strength": 0.9, "slope": 4.0}
"""In this order or the reverse, each one comes before and after each other."""


def moved_one_by_one(order: tuple[str, ...]) -> Walker:
    """A robot that only stands, after these sliders were moved in this order, with time to act in between."""
    driver = Driver(ControllerConfig(init_duration=60.0))
    driver.run(0.2)
    for name in order:
        driver.walker.change(driver.walker.settings.changed({name: CHANGES[name]}))
        driver.run(CHANGES["slope"] / world.SLOPE_SPEED + 0.05 if name == "slope" else 0.05)
    return driver.walker


def felt_slope(walker: Walker) -> list[float]:
    """Degrees by which the ground rises as the contacts of the feet have it."""
    frames = walker.data.contact.frame[: walker.data.ncon]
    return [float(np.degrees(np.arctan2(-frame[0], frame[2]))) for frame in frames]


@pytest.mark.parametrize("order", [tuple(CHANGES), tuple(reversed(CHANGES))], ids="-".join)
def test_every_slider_keeps_its_effect_whatever_the_order(order: tuple[str, ...]) -> None:
    """A level ground that a payload was put on once stayed level for the feet, whatever slope was shown."""
    walker = moved_one_by_one(order)
    model = walker.model
    assert felt_slope(walker) == pytest.approx([4.0] * 4, abs=0.01)
    assert world.ground_angle(model, walker.floor) == pytest.approx(np.radians(4.0))
    assert model.body(world.PAYLOAD_BODY).mass == 0.5
    assert model.body_subtreemass[1] == pytest.approx(model.body_mass[1:].sum())
    np.testing.assert_allclose(model.geom_solref[:, 0], 0.03)
    assert set(walker.data.contact.friction[: walker.data.ncon, 0]) == {0.6}
    np.testing.assert_allclose(model.actuator_forcerange[:, 1], 0.9 * ROBOT.torque_limit)
    np.testing.assert_allclose(model.actuator_gainprm[:, 0], 0.9 * ROBOT.init_kp)


def test_a_ground_that_mujoco_takes_for_the_worlds_own_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "_free_ground", lambda model: None)
    assert felt_slope(moved_one_by_one(("payload", "slope"))) == pytest.approx([0.0] * 4, abs=0.01)


@pytest.mark.parametrize(("slope", "heading"), [(15.0, 0.0), (-15.0, 1.0), (10.0, -2.5)])
def test_a_robot_that_is_reset_on_a_slope_stands_square_on_it_and_stays(slope: float, heading: float) -> None:
    driver = Driver(ControllerConfig(init_duration=60.0))
    walker = driver.walker
    walker.change(Settings(slope=slope))
    driver.run(abs(slope) / world.SLOPE_SPEED + 0.1)
    upside_down = (0.0, np.cos(heading / 2), np.sin(heading / 2), 0.0)
    walker.data.qpos[:7] = (0.4, -0.3, 0.05, *upside_down)
    looked = world_axes(walker)[:, 0].copy()
    walker.reset()
    normal = np.array([-np.sin(np.radians(slope)), 0.0, np.cos(np.radians(slope))])
    np.testing.assert_allclose(world_axes(walker)[:, 2], normal, atol=1e-9)
    np.testing.assert_allclose(walker.data.qpos[:2], (0.4, -0.3))
    forward = world_axes(walker)[:, 0]
    assert abs(forward @ np.cross(normal, looked)) < 1e-9 and forward @ looked > 0.9, "it looks where it looked"
    assert np.all(walker.data.contact.dist[: walker.data.ncon] > -1e-3), "no foot is in the ground"
    feet = [walker.data.geom(name).xpos for name in ROBOT.foot_geoms]
    assert np.ptp([foot[2] - walker.ground_height(foot[:2]) for foot in feet]) < 2e-3, "all are equally near"
    driver.run(1.0)
    assert np.linalg.norm(walker.data.qvel[:3]) < 0.02, "it neither slides nor tips over"
    assert np.linalg.norm(walker.data.qpos[:2] - (0.4, -0.3)) < 0.1
    assert np.degrees(np.arccos(world_axes(walker)[:, 2] @ normal)) < 5.0


def world_axes(walker: Walker) -> np.ndarray:
    """The base's axes as columns (3, 3)."""
    flat = np.zeros(9)
    mujoco.mju_quat2Mat(flat, walker.data.qpos[3:7])
    return flat.reshape(3, 3)


def test_standing_up_again_and_again_does_not_turn_it() -> None:
    driver = Driver()
    walker = driver.walker
    walker.change(Settings(slope=15.0))
    driver.run(3.1)
    walker.data.qpos[3:7] = (np.cos(0.6), 0.0, 0.0, np.sin(0.6))
    walker.reset()
    first = walker.data.qpos[3:7].copy()
    for _ in range(20):
        walker.reset()
    np.testing.assert_allclose(walker.data.qpos[3:7], first, atol=1e-12)


def test_a_robot_that_flew_apart_stands_up_at_the_start() -> None:
    walker = Driver().walker
    walker.time = 1.0
    walker.data.qpos[:] = np.nan
    walker.reset()
    assert np.all(np.isfinite(walker.data.qpos)) and walker.data.qpos[:2].tolist() == [0.0, 0.0]


def test_settings_take_only_numbers_within_their_range() -> None:
    before = Settings()
    nonsense = {"friction": "ice", "payload": None, "latency": float("nan"), "gravity": 3.0, "strength": False}
    assert before.changed(nonsense) == before
    assert before.changed({"strength": [1], "payload": 10**400, "slope": True}) == before
    assert before.changed({"friction": 99.0, "slope": -99.0}) == Settings(friction=1.5, slope=-15.0)


def test_the_picture_has_the_same_bodies_as_the_physics_but_for_the_payload_at_the_end() -> None:
    from walkies.robots import load_model

    physics, picture = Driver().walker.model, load_model(ROBOT)
    names = [[model.body(index).name for index in range(model.nbody)] for model in (picture, physics)]
    assert names[1] == [*names[0], world.PAYLOAD_BODY]
    without = np.delete(physics.body_mass, physics.nbody - 1)
    np.testing.assert_allclose(without, picture.body_mass)


def test_gauges_see_a_standing_robot_stand() -> None:
    driver = Driver()
    gauges = Gauges(ROBOT, driver.walker.model, RewardWeights(), RewardParams())
    for moment in driver.run(3.0):
        contact, terms = gauges.read(driver.walker, moment, 0.02)
    assert contact == [True] * 4
    weights = RewardWeights()
    assert terms["tracking_lin_vel"] == pytest.approx(weights.tracking_lin_vel, rel=0.02)
    assert terms["orientation"] == pytest.approx(0.0, abs=0.02)
    assert terms["torque"] == pytest.approx(weights.torque * np.sum(moment.torque**2), rel=1e-5)
    assert set(terms) == {name for name in gauges.terms if getattr(weights, name)}


def test_gauges_see_feet_leave_the_ground() -> None:
    driver = Driver()
    gauges = Gauges(ROBOT, driver.walker.model, RewardWeights(), RewardParams())
    driver.walker.data.qpos[2] += 0.5
    mujoco.mj_forward(driver.walker.model, driver.walker.data)
    contact, _ = gauges.read(driver.walker, driver.walker.moment(), 0.02)
    assert contact == [False] * 4


def test_the_controller_is_of_the_files_age_and_a_closed_page_falls_silent_in_either() -> None:
    walker = Driver().walker
    assert POLICY.edition == 2025 and walker.config.init_duration == 1.0 and not walker.config.clears_history
    walker.load(replace(POLICY, edition=2026))
    assert walker.config.init_duration == 2.0 and walker.controller.config is walker.config
    assert walker.config.clears_history and walker.config.command_timeout == 0.5
    given = Driver(ControllerConfig(init_duration=60.0)).walker
    given.load(replace(POLICY, edition=2026))
    assert given.config.init_duration == 60.0, "the control: what was asked for stays"
