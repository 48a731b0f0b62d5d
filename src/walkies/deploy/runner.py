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
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = Any
NOWHERE: Array = None
TOPICS = ("observation", "policy_output", "position_command")


def read_contract(path: str) -> dict[str, Any]:
    """Each line is `key: JSON value`, or goes on with it after a space, or is a comment.

    JSON leaves nothing to guess (a joint called "no" stays text), and no YAML library must be installed on the robot.
    """
    lines = [line for line in Path(path).read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    entries = (entry.partition(": ") for entry in re.split(r"\n(?=\S)", "\n".join(lines).strip()))
    return {key: json.loads(value) for key, _, value in entries}


class Runner:
    """One robot: slow start, fade-in, history, clamps; it stops on tilt, on invalid readings, or by hand."""

    def __init__(self, contract: str = "contract.yaml", joint_names: list[str] | None = None, log: str = "") -> None:
        """log: a CSV file to write, which `walkies replay` reads."""
        self.contract = c = read_contract(contract)
        if (c["format"], c["requires"], c["history_order"]) != (1, [], "newest_first"):
            raise ValueError(f"{contract}: got format {c['format']} that requires {c['requires']}; expected 1 and []")
        names = joint_names or c["joint_names"]
        if sorted(names) != sorted(c["joint_names"]):
            raise ValueError(f"joint_names: got {names}, expected {c['joint_names']} in any order")
        self.order = np.array([names.index(name) for name in c["joint_names"]])
        self.back = np.argsort(self.order)  # from the contract's order of joints to the robot's
        keys = ("default_pose", "action_scale", "lower", "upper")
        self.pose, self.scale, self.lower, self.upper = (np.array(c[key]) for key in keys)
        self.network = onnxruntime.InferenceSession(str(Path(contract).with_name(c["policy"])))
        self.log, self.dt = log, float(c["control_dt"])
        if log:
            Path(log).write_text("time,topic,values\n", encoding="utf-8")
        self.reset()

    def reset(self) -> None:
        """Start again with a slow start, also after a stop."""
        frame = np.concatenate([part["initial"] for part in self.contract["observation"]])
        self.history = np.tile(frame, self.contract["observation_history"]).astype(np.float32)
        self.applied, self.targets = np.zeros(len(self.pose), np.float32), NOWHERE
        self.kp, self.kd = (np.array(self.contract[key])[self.back] for key in ("kp", "kd"))
        self.stopped, self.steps = "", 0

    def stop(self, why: str = "emergency stop") -> None:
        """Let go: from now on kp is 0, so the joints are only damped. The first reason is kept."""
        self.stopped, self.kp = self.stopped or why, 0.0 * self.kd

    def step(self, gyro: Array, orientation: Array, command: Array, angles: Array, speeds: Array) -> Array:
        """Joint targets, rad, from one reading of all sensors; the last ones after a stop. Joints in the robot's order.

        gyro: (3,) rad/s, body frame. orientation: direction of gravity in the body frame (3,), upright (0, 0, -1); or a
        quaternion w x y z, body to world. command: m/s forward, m/s leftward, rad/s. angles, speeds: rad, rad/s.
        """
        c, n, down = self.contract, len(self.pose), np.array(orientation, float)
        length = np.linalg.norm(down)
        if down.shape == (4,):
            w, x, y, z = down
            down = np.array([2 * (w * y - x * z), -2 * (w * x + y * z), 2 * (x * x + y * y) - 1])
        given = {"gyro": gyro, "orientation": down, "command": command, "angles": angles, "speeds": speeds}
        for (name, value), size in zip(given.items(), (3, 3, 3, n, n), strict=True):
            if np.shape(value) != (size,):
                raise ValueError(f"{name}: got an array of shape {np.shape(value)}, expected ({size},)")
        angles, speeds = np.array(angles, float)[self.order], np.array(speeds, float)[self.order]
        if self.targets is NOWHERE:
            if not np.isfinite(angles).all():
                raise ValueError(f"angles: got {angles}; wait for readings of all joints before the first step")
            self.begun = self.targets = angles
        seconds = self.steps * self.dt - c["start_seconds"]
        if not np.isfinite(np.concatenate([gyro, down, command, angles, speeds])).all():
            self.stop("a reading is not a finite number")
        elif abs(length - 1) > 0.1:
            self.stop(f"orientation has length {length:.3g}; expected a unit vector or a unit quaternion")
        elif -down[2] < np.cos(c["tilt_stop"]):
            self.stop(f"tilted by more than {c['tilt_stop']} rad")
        elif not self.stopped and seconds < -1e-9:  # slow start, from where the joints were to the default pose
            self.targets = self.pose + (seconds + self.dt) / c["start_seconds"] * (self.pose - self.begun)
        elif not self.stopped:
            signals = {"base_ang_vel": gyro, "projected_gravity": down, "desired_world_z": [0.0, 0.0, 1.0]}
            signals |= {"joint_pos_rel": angles - self.pose, "joint_vel_rel": speeds, "last_action": self.applied}
            signals["command"] = np.clip(command, c["command_low"], c["command_high"])
            self.act(signals, max(seconds, 0.0))
        self.steps += 1
        return self.targets[self.back]

    def act(self, signals: dict[str, Array], seconds: float) -> None:
        """New targets from the policy, this many seconds after the slow start."""
        c = self.contract
        frame = np.concatenate([part["scale"] * np.array(signals[part["name"]]) for part in c["observation"]])
        frame = np.clip(frame, -c["observation_clip"], c["observation_clip"]).astype(np.float32)
        self.history = np.concatenate([frame, self.history[: -len(frame)]])  # newest first
        action = self.network.run(["action"], {"observation": self.history[None]})[0][0]
        if not np.isfinite(action).all():
            return self.stop("the policy's action is not a finite number")
        fade = c["fade_in_seconds"]
        self.applied = action * np.float32(min(seconds / fade, 1.0) if fade else 1.0)
        self.targets = np.clip(self.pose + self.scale * self.applied, self.lower, self.upper)
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:
                for topic, values in zip(TOPICS, (self.history, action, self.targets), strict=True):
                    print(f"{time.monotonic():.6f},{topic}", *(f"{value:.9g}" for value in values), sep=",", file=file)
