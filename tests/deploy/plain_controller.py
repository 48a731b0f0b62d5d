"""The controller once more, for one robot, in plain Python from its description; no walkies, no arrays.

`main` writes the golden vectors beside it: what the policy sees, what it answers, and where the joints are told to go,
over some actions on scripted sensors. A fault makes it one of the wrong controllers people write.
"""

import json
import math
from pathlib import Path

import rtneural_reader

GOLDEN = Path(__file__).with_name("golden_controller.json")
ACTIONS = 8
RATE, DECIMATION, FADE = 520, 10, 0.1  # a short fade-in, so that its end is seen
POSE = [0.26, 0.0, -0.52, -0.26, 0.0, 0.52] * 2
LOWER = [-1.22, -0.42, -2.79, -2.51, -3.14, -0.71] * 2
UPPER = [2.51, 3.14, 0.71, 1.22, 0.42, 2.79] * 2


def document():
    """A policy of two frames of history whose every weight differs."""
    rows = [[0.25 * math.sin(1.0 + 1.7 * i + 0.9 * j + 0.01 * i * j) for j in range(12)] for i in range(72)]
    bias = [0.1 * math.cos(j) for j in range(12)]
    return {
        "in_shape": [None, 72], "observation_history": 2, "use_imu": True, "kp": 5.0, "kd": 0.25, "action_scale": 0.75,
        "default_joint_pos": POSE, "joint_lower_limits": LOWER, "joint_upper_limits": UPPER,
        "layers": [{"type": "dense", "activation": "tanh", "shape": [None, 12], "weights": [rows, bias]}],
    }  # fmt: skip


def sensors(k):
    """Scripted readings at action k: gyro, quaternion w x y z, joint angles, velocity command."""
    gyro = [0.3 * math.sin(k + i) for i in range(3)]
    quat = [1.0, 0.2 * math.sin(k), 0.15 * math.cos(0.7 * k), 0.3 * math.sin(0.2 * k + 1)]
    norm = math.sqrt(sum(v * v for v in quat))
    joints = [p + 0.2 * math.sin(0.5 * k + 0.8 * i) for i, p in enumerate(POSE)]
    return gyro, [v / norm for v in quat], joints, [0.4, -0.2, 1.0 + 0.1 * k]


def gravity(quat):
    """World down, seen from the body: q* (0, 0, -1) q by two quaternion products."""
    w, x, y, z = quat
    return product(product([w, -x, -y, -z], [0, 0, 0, -1.0]), [w, x, y, z])[1:]


def product(a, b):
    return [
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    ]


def run(fault=""):
    """(observations, actions, positions), each a list per action, from activation on."""
    policy = document()
    frames = [[0.0] * 36, [0.0] * 36]
    for frame in frames:
        frame[5] = -1.0
    observations, actions, positions, last, older = [], [], [], [0.0] * 12, [0.0] * 12
    for k in range(ACTIONS):
        gyro, quat, joints, command = sensors(k)
        down = [-v for v in gravity(quat)] if fault == "gravity sign" else gravity(quat)
        if fault == "permuted joints":
            joints = joints[1:] + joints[:1]
        if fault == "swapped legs":
            joints = joints[3:6] + joints[:3] + joints[9:] + joints[6:9]
        if fault == "degrees":
            joints = [math.degrees(v) for v in joints]
        offsets = [q - p for q, p in zip(joints, POSE, strict=True)]
        newest = [*gyro, *down, *command, 0.0, 0.0, 1.0, *offsets, *(older if fault == "late action" else last)]
        frames = [newest, frames[0]]
        order = frames[::-1] if fault == "reversed history" else frames
        observation = [min(max(v, -100.0), 100.0) for frame in order for v in frame]
        action = rtneural_reader.run(policy, observation)
        fade = min(k * DECIMATION / RATE / FADE, 1.0)
        older, last = last, [fade * a for a in action]
        target = [p + 0.75 * a for p, a in zip(POSE, last, strict=True)]
        inside = [min(max(t, lo), hi) for t, lo, hi in zip(target, LOWER, UPPER, strict=True)]
        observations.append(observation)
        actions.append(action)
        positions.append([min(max(t, lo + 0.1), hi - 0.1) for t, lo, hi in zip(inside, LOWER, UPPER, strict=True)])
    return observations, actions, positions


def main():
    names = ("observation", "action", "position")
    content = {name: [[round(v, 9) for v in row] for row in rows] for name, rows in zip(names, run(), strict=True)}
    GOLDEN.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
