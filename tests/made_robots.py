"""Robots that nobody has built: legs of any number of hinges, for tests that nothing knows one robot's size."""

from __future__ import annotations

import math
from pathlib import Path

from walkies.robots.base import Plausible, Range, Robot

ANY = Range(-math.inf, math.inf, "1", "a made robot may be anything")
AXES = {3: "yxy", 5: "zxyyy", 6: "zxyyyx"}
"""Hinge axes of a leg, outwards from the trunk, by how many it has: y bends it forward, x moves it sideways."""
DEFAULT = {3: (0.5, 0.0, -1.0), 5: (0.0, 0.0, 0.4, -0.8, 0.4), 6: (0.0, 0.0, 0.4, -0.8, 0.4, 0.0)}


def make(folder: Path, legs: int, joints: int) -> Robot:
    """A robot of `legs` legs of `joints` hinges: its model written into `folder`, and its record."""
    rows = legs // 2
    names = tuple(f"{side}{row}" for row in range(rows) for side in ("right", "left"))
    trunk = [(x, y, z) for x in (-0.12, 0.12) for y in (-0.05, 0.05) for z in (-0.03, 0.05)]
    spheres = "".join(
        f'<geom name="trunk_{i}" class="ball" size="0.02" pos="{x} {y} {z}"/>' for i, (x, y, z) in enumerate(trunk)
    )
    chains = "".join(_leg(name, i, rows, joints) for i, name in enumerate(names))
    servos = "".join(
        f'<position name="{name}_{j}" joint="{name}_{j}" kp="20" kv="0.6" forcerange="-8 8"/>'
        for name in names
        for j in range(joints)
    )
    path = folder / f"made_{legs}x{joints}.xml"
    path.write_text(f"""<mujoco>
<compiler angle="radian" autolimits="true"/>
<option timestep="0.004" cone="pyramidal" impratio="10" iterations="2" ls_iterations="5">
  <flag eulerdamp="disable"/></option>
<default>
  <joint type="hinge" armature="0.003" damping="0.02" frictionloss="0.05" range="-2 2"/>
  <default class="ball">
    <geom type="sphere" group="3" mass="0" condim="3" friction="0.8 0.02 0.01" contype="1" conaffinity="1"/>
  </default>
</default>
<worldbody>
  <light directional="true" pos="0 0 2"/>
  <geom name="floor" type="plane" size="0 0 0.05"/>
  <body name="trunk" pos="0 0 0.5"><freejoint/>
    <inertial pos="0 0 0.01" mass="4" diaginertia="0.02 0.03 0.035"/>
    <site name="imu" pos="0.02 0 0.03"/><camera name="side" pos="0 -1.5 0.2" xyaxes="1 0 0 0 0 1"/>
    <camera name="track" mode="trackcom" pos="0 -1.5 0.2" xyaxes="1 0 0 0 0 1"/>
    {spheres}{chains}
  </body>
</worldbody>
<actuator>{servos}</actuator>
</mujoco>""")
    per_leg = range(joints)
    other = [leg ^ 1 for leg in range(legs)]
    signs = [-1.0 if axis in "xz" else 1.0 for axis in AXES[joints]]
    height = _length(joints) + 0.02
    return Robot(
        name=f"made-{legs}x{joints}",
        mjcf=path,
        base_body="trunk",
        leg_names=names,
        joint_names=tuple(f"{name}_{j}" for name in names for j in per_leg),
        joint_labels=tuple(f"{axis}{j}" for j, axis in enumerate(AXES[joints])),
        default_pose=DEFAULT[joints] * legs,
        lower_limits=(-2.0,) * (legs * joints),
        upper_limits=(2.0,) * (legs * joints),
        limit_inset=0.05,
        kp=20.0,
        kd=0.6,
        torque_limit=8.0,
        kp_cap=100.0,
        kd_cap=10.0,
        init_kp=20.0,
        init_kd=0.6,
        foot_geoms=tuple(f"{name}_foot" for name in names),
        knee_geoms=tuple(f"{name}_knee" for name in names),
        torso_geoms=tuple(f"trunk_{i}" for i in range(len(trunk))),
        foot_sites=tuple(f"{name}_foot_site" for name in names),
        imu_site="imu",
        reset_height=(height + 0.01, height + 0.03),
        standing_height=height,
        hip_height=height,
        mass=4.0 + 0.15 * legs * joints,
        mirror_joints=tuple(other[leg] * joints + j for leg in range(legs) for j in per_leg),
        mirror_signs=tuple(signs * legs),
        mirror_legs=tuple(other),
        abduction_joints=tuple(leg * joints + AXES[joints].index("x") for leg in range(legs)),
        swing=(0.3,) * (legs * joints),
        gamepad=(0.6, 0.3, 1.0),
        plausible=Plausible(ANY, ANY, ANY, ANY, ANY, ANY, ANY),
    )


def _leg(name: str, number: int, rows: int, joints: int) -> str:
    """One chain; the hinges of a hip meet in a point, then come a thigh and a shank."""
    row, side = divmod(number, 2)
    x = 0.0 if rows == 1 else 0.12 - 0.24 * row / (rows - 1)
    y = -0.07 if side == 0 else 0.07
    knee = DEFAULT[joints].index(min(DEFAULT[joints]))
    text, close = "", ""
    for j, axis in enumerate(AXES[joints]):
        place = f"{x} {y} 0" if j == 0 else "0 0 -0.14" if j in (knee, knee + 1) else "0 0 0"
        vector = {"x": "1 0 0", "y": "0 -1 0", "z": "0 0 1"}[axis]
        text += (
            f'<body name="{name}_{j}" pos="{place}"><joint name="{name}_{j}" axis="{vector}"/>'
            f'<inertial pos="0 0 -0.03" mass="0.15" diaginertia="0.0003 0.0003 0.0001"/>'
        )
        if j == knee:
            text += f'<geom name="{name}_knee" class="ball" size="0.02" pos="0 0 0"/>'
        close += "</body>"
    end = "0 0 -0.14" if knee == joints - 1 else "0 0 -0.02"
    text += (
        f'<geom name="{name}_foot" class="ball" size="0.02" pos="{end}"/><site name="{name}_foot_site" pos="{end}"/>'
    )
    return text + close


def _length(joints: int) -> float:
    """m, from the hip to the foot's centre in the default pose."""
    bend = max(DEFAULT[joints])
    return 0.28 * math.cos(bend) + (0.0 if joints == 3 else 0.02)
