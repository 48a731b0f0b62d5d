"""Run a walkies policy on a robot from contract.yaml and the ONNX file beside it; needs numpy and onnxruntime.

    runner = Runner("contract.yaml", joint_names=[...])     # in the order in which your robot lists its joints
    while True:                                             # every runner.dt seconds
        targets = runner.step(gyro, orientation, command, angles, speeds)
        send(targets, runner.kp, runner.kd)                 # rad, N m/rad, N m s/rad, in your robot's order
    runner.stop("button")                                   # from anywhere; it lasts until runner.reset()

SI units; body frame x forward, y left, z up.
"""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime


def read_contract(path: str) -> dict:
    """Each line is `key: JSON value`, or goes on with it after a space, or is a comment.

    JSON leaves nothing to guess (a joint called "no" stays text), and no YAML library must be installed on the robot.
    """
    entries = re.findall(r"^(\w+): (.*(?:\n .*)*)", Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    return {key: json.loads(value) for key, value in entries}


def expect(what: str, got: object, expected: object) -> None:
    """Refuse anything but what is expected."""
    if got != expected:
        raise ValueError(f"{what}: got {got}, expected {expected}")


class Runner:
    """One robot: slow start, fade-in, history, clamps; it stops on tilt, on invalid readings, or by hand."""

    def __init__(self, contract: str = "contract.yaml", joint_names: list[str] | None = None) -> None:
        self.contract = c = read_contract(contract)
        expect(contract, [c["format"], c["requires"], c["history_order"]], [1, [], "newest_first"])
        names = joint_names or c["joint_names"]  # as the robot lists them
        expect("joint_names, sorted", sorted(names), sorted(c["joint_names"]))
        self.order = np.array([names.index(name) for name in c["joint_names"]])
        self.back = np.argsort(self.order)  # from the contract's order of joints to the robot's
        self.pose, self.dt = np.array(c["default_pose"]), float(c["control_dt"])
        self.network = onnxruntime.InferenceSession(str(Path(contract).with_name(c["policy"])))
        self.reset()

    def reset(self) -> None:
        """Start again with a slow start, also after a stop."""
        first = np.concatenate([part["initial"] for part in self.contract["observation"]])
        self.history = np.tile(first, self.contract["observation_history"])
        self.kp, self.kd = (np.array(self.contract[key])[self.back] for key in ("kp", "kd"))
        self.stopped, self.steps, self.applied = "", 0, np.zeros(len(self.pose), np.float32)

    def stop(self, why: str = "emergency stop", when=True) -> None:
        """Let go: from now on kp is 0, so the joints are only damped. The first reason is kept."""
        if when and not self.stopped:
            self.stopped, self.kp = why, 0.0 * self.kd

    def step(self, gyro, orientation, command, angles, speeds) -> np.ndarray:
        """Joint targets, rad, from one reading of all sensors; the last ones after a stop. Joints in the robot's order.

        gyro: (3,) rad/s, body frame. orientation: direction of gravity in the body frame (3,), upright (0, 0, -1); or a
        quaternion w x y z, body to world. command: m/s forward, m/s leftward, rad/s. angles, speeds: rad, rad/s.
        """
        c, n, down, length = self.contract, len(self.pose), np.array(orientation), np.linalg.norm(orientation)
        if down.shape == (4,):
            w, x, y, z = down
            down = np.array([2 * (w * y - x * z), -2 * (w * x + y * z), 2 * (x * x + y * y) - 1])
        readings = gyro, down, command, angles, speeds
        expect("shapes of the readings", [np.shape(one) for one in readings], [(3,), (3,), (3,), (n,), (n,)])
        angles, speeds = np.array(angles, float)[self.order], np.array(speeds, float)[self.order]
        if self.steps == 0:
            expect("angles that are finite numbers, before the first step", np.isfinite(angles).sum(), n)
            self.begun = self.targets = angles

        self.stop("a reading is not a finite number", not np.isfinite(np.concatenate(readings)).all())
        self.stop(f"orientation has length {length:.3g}; expected a unit vector or quaternion", abs(length - 1) > 0.1)
        self.stop(f"tilted by more than {c['tilt_stop']} rad", -down[2] < np.cos(c["tilt_stop"]))

        seconds, self.steps = self.steps * self.dt - c["start_seconds"], self.steps + 1
        if seconds < -1e-9 and not self.stopped:  # slow start, from where the joints were to the default pose
            self.targets = self.pose + (seconds + self.dt) / c["start_seconds"] * (self.pose - self.begun)
        elif not self.stopped:
            signals = {"base_ang_vel": gyro, "projected_gravity": down, "desired_world_z": [0.0, 0.0, 1.0]}
            signals |= {"joint_pos_rel": angles - self.pose, "joint_vel_rel": speeds, "last_action": self.applied}
            signals["command"] = np.clip(command, c["command_low"], c["command_high"])
            frame = np.concatenate([part["scale"] * np.array(signals[part["name"]]) for part in c["observation"]])
            frame = np.clip(frame, -c["observation_clip"], c["observation_clip"])
            self.history = np.concatenate([frame, self.history[: -len(frame)]])  # newest first
            self.action = self.network.run(["action"], {"observation": self.history[None].astype(np.float32)})[0][0]
            self.stop("the policy's action is not a finite number", not np.isfinite(self.action).all())
            if not self.stopped:  # the smallest of numbers: without a fade-in the first action is not 0
                self.applied = self.action * np.float32(min((seconds + 1e-9) / (c["fade_in_seconds"] + 1e-9), 1.0))
                self.targets = np.clip(self.pose + c["action_scale"] * self.applied, c["lower"], c["upper"])
        return self.targets[self.back]
