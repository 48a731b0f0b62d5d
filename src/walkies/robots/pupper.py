"""The Stanford Pupper v3.

Numbers: pupperv3-mjx 2025-04 and pupperv3-monorepo 2025-11; the way of a file onto it: pupper_gait_deploy 2026-08.
"""

from __future__ import annotations

import math
from pathlib import Path

from walkies.robots.base import Delivery, Plausible, Range, Robot

LEGS = ("front_r", "front_l", "back_r", "back_l")

# Per leg: hip pitch, abduction, knee. A left leg is the mirror image of a right one: its angles are negated.
_DEFAULT = (0.26, 0.0, -0.52)
_LOWER = (-1.22, -0.42, -2.79)
_UPPER = (2.51, 3.14, 0.71)


def _negated(leg: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(0.0 - angle for angle in leg)


_PLAUSIBLE = Plausible(
    kp=Range(1.0, math.inf, "N m/rad", "standing takes 0.33 N m at each knee: it gives way by 0.33 rad at 1 N m/rad"),
    kd=Range(0.05, math.inf, "N m s/rad", "half of the least in pupperv3-mjx, 0.1; legs ring without damping"),
    action_scale=Range(0.05, 2.0, "rad", "0.05 rad moves a foot by 7 mm, no step; ±2 rad is more than any joint turns"),
    limit_width=Range(0.1, math.inf, "rad", "the motor board alone keeps 0.1 rad away from either limit"),
    foot_ahead=Range(-0.03, 0.03, "m", "a fifth of the 0.15 m between front and back hips; by default -0.009"),
    foot_outward=Range(-0.04, 0.08, "m", "feet do not meet, hips being 0.145 m apart or more; by default 0.018"),
    foot_below=Range(0.1, 0.18, "m", "stretched legs reach 0.172; 0.112 with all joints at zero, by default 0.141"),
)

_DELIVERY = Delivery(
    edition=2026,
    software="cs123-stanford/pupper_gait_deploy",
    path="policies/test_policy.json",
    command="./deploy.sh",
    upload="./deploy.sh ENTITY/PROJECT/RUN",
    start="the square button (the student's slot)",
    stop="the right stick (button 12)",
    advice="Hang the robot in the air for its first run, its legs free, and put it down only when they trot as filmed.",
)

PUPPER = Robot(
    name="pupper",
    mjcf=Path(__file__).with_name("pupper_v3.xml"),
    base_body="base_link",
    leg_names=LEGS,
    joint_names=tuple(f"leg_{leg}_{joint}" for leg in LEGS for joint in (1, 2, 3)),
    joint_labels=("hip", "abduction", "knee"),
    default_pose=(_DEFAULT + _negated(_DEFAULT)) * 2,
    lower_limits=(_LOWER + _negated(_UPPER)) * 2,
    upper_limits=(_UPPER + _negated(_LOWER)) * 2,
    limit_inset=0.1,
    kp=5.0,
    kd=0.25,
    torque_limit=3.0,
    kp_cap=10.0,
    kd_cap=1.0,
    init_kp=7.5,
    init_kd=0.25,
    foot_geoms=tuple(f"leg_{leg}_foot" for leg in LEGS),
    knee_geoms=tuple(f"leg_{leg}_knee" for leg in LEGS),
    torso_geoms=tuple(f"torso_{z}_{x}_{y}" for z in ("bottom", "top") for x in ("front", "back") for y in ("r", "l")),
    foot_sites=tuple(f"leg_{leg}_3_foot_site" for leg in LEGS),
    imu_site="body_imu_site",
    reset_height=(0.165, 0.20),
    standing_height=0.155,
    hip_height=0.161389,
    mass=3.17,
    trunk_length=0.241,
    # Right and left legs trade places, and every angle changes its sign.
    mirror_joints=(3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8),
    mirror_signs=(-1.0,) * 12,
    mirror_legs=(1, 0, 3, 2),
    abduction_joints=(1, 4, 7, 10),
    swing=(0.45, 0.25, 0.55) * 4,
    gamepad=(0.75, 0.5, 2.0),
    # Its legs can meet, but its policies pass without such contacts in training; figures in the docs are of those.
    self_contacts=False,
    plausible=_PLAUSIBLE,
    protocol="neural_controller",
    delivery=_DELIVERY,
    # Those of the course's gaits of 2026 (pupper-mjlab).
    stance_points=((0.06, -0.09, 0.0), (0.06, 0.09, 0.0), (-0.11, -0.09, 0.0), (-0.11, 0.09, 0.0)),
)
