"""Made policy files of the structures that the course's trainings of 2026 export; small weights, sane tables.

As documents, so that nothing of walkies' own writer stands between them and what reads them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from walkies.robots import get_robot
from walkies.tasks import signal

PUPPER = get_robot("pupper")
GAIT_FRAME = (*signal.FRAME[:4], "joint_position", "last_action", "gait_reference")
TRICK_FRAME = ("motion_command", "motion_anchor", "gyro", "joint_position", "joint_velocity", "last_action")
GAIN = 0.2
"""Standard deviation of a layer's outputs for inputs of 1."""
Document = dict[str, Any]


def plain(history: int = 20, hidden: tuple[int, ...] = (32, 32), seed: int = 0) -> Document:
    """The frame of 36."""
    return {**_network(signal.FRAME, history, hidden, seed), "command_clip": clip()}


def gaits(history: int = 20, hidden: tuple[int, ...] = (256, 128, 128, 128), seed: int = 0) -> Document:
    """The frame of 48 with four tables, a jump and a heading hold; by default as large as the course's own policy."""
    rows = 100
    tables = {
        "trot_table": _cycle(rows, 0.25),
        "gallop_table": _cycle(rows, 0.4),
        "lift_table": _cycle(rows, 0.15),
        "gallop_back_table": np.roll(_cycle(rows, 0.4)[::-1], 1, axis=0),
    }
    numbers = {"frequency": 4 / 3, "blend_speed": 0.1, "gallop_speed": 0.5, "gallop_freq_mult": 2.5}
    return {
        **_network(GAIT_FRAME, history, hidden, seed),
        "command_clip": clip(),
        "heading_hold": {"kp": 1.0, "clip": 0.3, "yaw_threshold": 0.1, "walk_threshold": 0.05},
        "gait_reference": {
            "n_samples": rows,
            "joint_names": list(PUPPER.joint_names),
            **numbers,
            "dir_threshold": 0.05,
            **{name: table.tolist() for name, table in tables.items()},
        },
        "jump_slot": {
            "n_samples": rows,
            **{"playback_s": 0.94, "active_s": 0.8, "cross_fade_s": 0.06, "grid_s": 0.75, "busy_s": 1.0},
            "jump_table": _cycle(rows, 0.3).tolist(),
        },
    }


def trick(hidden: tuple[int, ...] = (32, 32), seed: int = 0) -> Document:
    """The frame of 69: a recorded movement of two clips."""
    frames, fps = 100, 50.0
    angles = _cycle(frames, 0.2)
    clips = [
        {"name": "bow", "start": 0, "end": 40, "loop": False, "next": "wave"},
        {"name": "wave", "start": 40, "end": frames, "loop": True},
    ]
    return {
        **_network(TRICK_FRAME, 1, hidden, seed),
        "trick": {"name": "greeting", "fps": fps, "frames": frames, "duration_s": frames / fps, "clips": clips},
        "motion": {
            "joint_pos": angles.tolist(),
            "joint_vel": (fps * (np.roll(angles, -1, axis=0) - angles)).tolist(),
            "anchor_quat_wxyz": [[1.0, 0.0, 0.0, 0.0]] * frames,
        },
    }


def clip() -> Document:
    return {"vx": [-1.5, 1.5], "vy": [-0.5, 0.5], "wz": [-2.0, 2.0]}


def _cycle(rows: int, reach: float) -> np.ndarray:
    """(rows, nu) rad: hips and knees swing about the default pose, diagonal legs together."""
    phase = 2 * np.pi * np.arange(rows)[:, None] / rows
    shift = np.pi * (np.arange(PUPPER.num_joints) // 3 % 3 > 0)
    swings = np.tile([1.0, 0.0, 1.0], PUPPER.num_joints // 3)
    return np.array(PUPPER.default_pose) + reach * swings * np.sin(phase + shift)


def _network(frame: tuple[str, ...], history: int, hidden: tuple[int, ...], seed: int) -> Document:
    """All that a file must have, with a linear last layer."""
    signals = signal.chosen(frame)
    components = [{"name": one.file_name or one.name, "size": one.size(PUPPER)} for one in signals]
    size = sum(one.size(PUPPER) for one in signals)
    rng = np.random.default_rng(seed)
    layers = [
        {
            "type": "dense",
            "activation": "elu" if index < len(hidden) else "",
            "shape": [None, outputs],
            "weights": [(GAIN * rng.normal(size=(inputs, outputs)) / inputs**0.5).tolist(), [0.0] * outputs],
        }
        for index, (inputs, outputs) in enumerate(itertools.pairwise((size * history, *hidden, PUPPER.num_joints)))
    ]
    return {
        "contract_version": 2,
        "control_orientation": True,
        "in_shape": [None, size * history],
        "obs_spec": {"frame_order": "newest_first", "history": history, "components": components},
        "single_observation_size": size,
        "observation_history": history,
        "use_imu": True,
        "kp": 5.5,
        "kd": 0.25,
        "action_scale": 0.75,
        "default_joint_pos": list(PUPPER.default_pose),
        "joint_lower_limits": list(PUPPER.lower_limits),
        "joint_upper_limits": list(PUPPER.upper_limits),
        "layers": layers,
    }
