"""A robot of any kind, from its excitation to its servos: export, runner, log, `walkies replay`."""

from __future__ import annotations

import json

import mujoco
import numpy as np
import pytest

from walkies import cli
from walkies.deploy import log as log_file
from walkies.deploy import runner
from walkies.deploy.controllers.twin import model_for
from walkies.deploy.identification import identify as module
from walkies.deploy.identification.windows import HELD_HEIGHT, Cut, hold
from walkies.robots import get_robot
from walkies.sim import conditions
from walkies.sim.params import actuated_dofs

SUBSTEPS = 20
SECONDS = 9.0
HIDDEN = {"latency": 0.012, "kp": 0.75, "kd": 1.4, "frictionloss": 1.6}
"""s, and factors of what the model says."""


def held(robot):
    """A robot that nobody has told of, in the air; its targets arrive late."""
    model = model_for(robot)
    hold(model)
    model.opt.timestep = 0.02 / SUBSTEPS
    joints, data = actuated_dofs(model), mujoco.MjData(model)
    kp, kd = (np.broadcast_to(gain, len(joints)) for gain in (robot.kp, robot.kd))
    conditions.set_servos(model, HIDDEN["kp"] * kp[None], HIDDEN["kd"] * kd[None])
    model.dof_frictionloss[joints] *= HIDDEN["frictionloss"]
    data.qpos[2] = HELD_HEIGHT
    data.qpos[7:] = robot.default_pose
    return model, data


def shake(one, log, robot, clock):
    """Run it as a program on the robot would."""
    model, data = held(robot)
    rng, late = np.random.default_rng(0), round(HIDDEN["latency"] / model.opt.timestep)
    sent = [np.array(robot.default_pose)] * (late + 1)
    for _ in range(round((SECONDS + one.contract["start_seconds"]) / one.dt)):
        clock[0] += one.dt
        gyro, up = 0.01 * rng.normal(size=3), np.array([0, 0, -1]) + 0.003 * rng.normal(size=3)
        angles = data.qpos[7:] + 0.001 * rng.normal(size=model.nu)
        targets = one.step(gyro, up, np.zeros(3), angles, np.zeros(model.nu))
        log.write(one)
        for _ in range(SUBSTEPS):
            sent = [*sent[1:], targets]
            data.ctrl[:] = sent[0]
            mujoco.mj_step(model, data)
    assert not one.stopped


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """What `walkies replay` says of a robot by its name, from its log."""
    monkeypatch.setattr(module, "HELD", Cut(40, 10, 0, 4))
    clock = [0.0]
    monkeypatch.setattr(log_file.time, "monotonic", lambda: clock[0])

    def tell(name):
        policy, log, found = tmp_path / "excite.json", tmp_path / "log.csv", tmp_path / "found.json"
        assert cli.run(["excite", name, "--out", str(policy)]) == 0
        assert cli.run(["export", str(policy), "--runner", "--out", str(tmp_path / "robot")]) == 0
        one = runner.Runner(str(tmp_path / "robot" / "contract.yaml"))
        shake(one, log_file.Log(str(log)), get_robot(name), clock)
        capsys.readouterr()
        assert cli.run(["replay", str(log), str(policy), "--out", str(found), "--threads", "1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads(found.read_text())
        return json.loads(found.read_text())

    return tell


def off(told, robot):
    """What is not as hidden, of latency and of factors."""
    nominal = {"kp": robot.kp, "kd": robot.kd, "frictionloss": model_for(robot).dof_frictionloss[6:]}
    wanted = {"latency": 0.004, "kp": 0.1, "kd": 0.25, "frictionloss": 0.3}
    values = {name: (told["estimates"][name] or {"value": np.nan})["value"] for name in wanted}
    factors = {name: values[name] / np.mean(nominal.get(name, 1.0)) for name in wanted}
    rooms = {name: room * (1.0 if name == "latency" else HIDDEN[name]) for name, room in wanted.items()}
    return [name for name in wanted if not abs(factors[name] - HIDDEN[name]) <= rooms[name]]


@pytest.mark.parametrize("name", ["go", "biped"])
def test_hidden_servos_of_other_robots_are_found(name, told):
    found = told(name)
    assert found["reproduced"] and found["held"] and off(found, get_robot(name)) == []
    assert found["joint_error_rad"] < 0.5 * found["nominal_joint_error_rad"]


def test_gains_that_are_taken_as_equal_are_not_found(told, monkeypatch):
    """Control of the test above: its joints have gains and frictions of their own."""
    monkeypatch.setattr(module, "shares", np.ones_like)
    assert off(told("biped"), get_robot("biped")) != []
