"""Robots that nobody has built, of any shape: a base, and chains of hinges that hang from it or from one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

OPTIONS = {"timestep": "0.003", "cone": "pyramidal", "impratio": "7", "solver": "Newton"}
JOINT = {
    "type": "hinge", "armature": "0.002", "damping": "0.02", "frictionloss": "0.1", "solreflimit": "0.03 0.8",
    "solimplimit": "0.8 0.97 0.05 0.4 3", "solreffriction": "0.025 1", "solimpfriction": "0.85 0.95 0.01",
}  # fmt: skip
GEOM = {
    "mass": "0", "contype": "0", "conaffinity": "1", "condim": "3", "solref": "0.03 0.9",
    "solimp": "0.2 0.95 0.03 0.3 3",
}  # fmt: skip
AXES = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}


@dataclass(frozen=True)
class Chain:
    """A chain of hinges."""

    name: str
    axes: str
    """An axis for each hinge, outwards: x, y or z of the link's frame."""
    start: tuple[float, float, float]
    """m, of the first hinge in the frame of the link that the chain hangs from."""
    steps: tuple[tuple[float, float, float], ...]
    """m, from each hinge to the next one, and from the last to the tip."""
    hangs_from: str = "base"
    """`base`, or the name of the chain from whose last link it hangs."""
    mass: float = 0.3
    """kg, of each link."""
    tip: str = '<geom class="collider" type="sphere" size="0.02" pos="{tip}"/>'
    """Geoms at the end."""
    bend: str = '<geom class="collider" type="sphere" size="0.02"/>'
    """Geoms of the link in the middle."""


BASE = """<geom class="collider" type="sphere" size="0.05" pos="0.1 0 -0.05"/>
          <geom class="collider" type="sphere" size="0.05" pos="-0.1 0.05 0.05"/>"""


def mjcf(chains: Sequence[Chain], base: str = BASE, actuator: Callable[[str], str] | None = None) -> str:
    """The robot's MJCF, on a plane. Where links' inertias lie is a matter of chance, the same every time.

    Args:
        chains: each one after the one that it hangs from.
        base: geoms of the base.
        actuator: of the hinge with that name; a position servo if None.
    """
    rng = np.random.default_rng(7)
    servo = actuator or (lambda joint: f'<position joint="{joint}" kp="6" kv="0.3" forcerange="-2 2"/>')

    def inertial(mass: float, size: float) -> str:
        a, b, c = rng.uniform(0.5, 1, 3) * mass * size**2
        center, turn = rng.normal(size=3) * size / 2, rng.normal(size=4)
        return f'<inertial pos="{_text(center)}" quat="{_text(turn)}" mass="{mass}" diaginertia="{_text([b + c, a + c, a + b])}"/>'  # noqa: E501

    def body(chain: Chain, k: int) -> str:
        if k == len(chain.axes):
            return "".join(body(other, 0) for other in chains if other.hangs_from == chain.name)
        place = chain.start if k == 0 else chain.steps[k - 1]
        name, last = f"{chain.name}_{k}", k == len(chain.axes) - 1
        geoms = chain.bend if k == len(chain.axes) // 2 else ""
        geoms += chain.tip.format(tip=_text(chain.steps[-1])) if last else ""
        return (
            f'<body name="{name}" pos="{_text(place)}">'
            f'<joint name="{name}" axis="{AXES[chain.axes[k]]}" range="-1 1.2"/>'
            f"{inertial(chain.mass, 0.05)}{geoms}{body(chain, k + 1)}</body>"
        )

    trees = "".join(body(chain, 0) for chain in chains if chain.hangs_from == "base")
    return wrap(f'<body name="base" pos="0 0 0.5"><freejoint/>{inertial(2.0, 0.1)}{base}{trees}</body>', servo)


def wrap(
    robot: str, actuator: Callable[[str], str], option: str = '<flag eulerdamp="disable"/>', **options: str
) -> str:
    """A whole model around a robot's bodies: ground, defaults, an actuator for every named hinge."""
    hinges = [part.split('"')[1] for part in robot.split("<joint name=")[1:]]
    return f"""
    <mujoco>
      <compiler angle="radian" autolimits="true"/>
      <option {_attributes(OPTIONS | options)}>{option}</option>
      <default>
        <joint {_attributes(JOINT)}/>
        <default class="collider"><geom {_attributes(GEOM)}/></default>
      </default>
      <worldbody>
        <geom name="floor" type="plane" size="0 0 1" contype="1" conaffinity="0"/>{robot}
      </worldbody>
      <actuator>{"".join(map(actuator, hinges))}</actuator>
    </mujoco>"""


def _text(values: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _attributes(values: dict[str, str]) -> str:
    return " ".join(f'{name}="{value}"' for name, value in values.items())


def _leg(name: str, axes: str, x: float, y: float, **more: str) -> Chain:
    """Hip, thigh and shank; what comes after the knee is an ankle."""
    ankle = len(axes) - axes.rindex("yy") - 2 if "yy" in axes else 0
    hip = len(axes) - 2 - ankle
    steps = [(0.0, 0.0, 0.0)] * hip + [(0.0, 0.0, -0.14)] * 2 + [(0.0, 0.0, -0.02)] * ankle
    return Chain(name, axes, (x, y, -0.02), tuple(steps), **more)


SIDES = {"left": 1.0, "right": -1.0}
BIPED = tuple(_leg(name, "zxyyyx", 0.0, 0.07 * side) for name, side in SIDES.items())
HEXAPOD = tuple(
    _leg(f"{name}{row}", "xyy", 0.12 * row, 0.07 * side) for row in (1, 0, -1) for name, side in SIDES.items()
)
QUADRUPED_WITH_ARM = (
    *(_leg(f"{name}{row}", "xyy", 0.12 * row, 0.07 * side) for row in (1, -1) for name, side in SIDES.items()),
    Chain(
        "arm", "zyyxyx", (0.1, 0.0, 0.06), ((0, 0, 0.05), (0.1, 0, 0.1), (0.1, 0, 0), *((0.04, 0, 0),) * 3), mass=0.2
    ),
)
SOLE = "".join(
    f'<geom class="collider" type="sphere" size="0.01" pos="{x} {y} -0.03"/>'
    for x in (-0.05, 0.1)
    for y in (-0.03, 0.03)
)
HUMANOID = (
    *(_leg(name, "zxyyyx", 0.0, 0.07 * side, tip=SOLE) for name, side in SIDES.items()),
    Chain("waist", "zxy", (0.0, 0.0, 0.05), ((0, 0, 0.03), (0, 0, 0.03), (0, 0, 0.2)), mass=0.8),
    *(
        Chain(f"{name}_arm", "yxzyxyz", (0.0, 0.12 * side, 0.15), ((0, 0, -0.03),) * 2 + ((0, 0, -0.1),) * 2
              + ((0, 0, -0.05),) * 3, hangs_from="waist", mass=0.15)
        for name, side in SIDES.items()
    ),
)  # fmt: skip
MADE = {
    "biped 2×6": BIPED,
    "hexapod 6×3": HEXAPOD,
    "quadruped with arm": QUADRUPED_WITH_ARM,
    "humanoid 29": HUMANOID,
}


def made(name: str) -> mujoco.MjModel:
    """One of MADE, compiled."""
    return mujoco.MjModel.from_xml_string(mjcf(MADE[name]))


def random_tree(seed: int) -> str:
    """A robot of 1 to 40 hinges in any tree: links and axes in all directions, several hinges to a body, hinges beside
    their body's origin, welded bodies, spheres anywhere."""
    rng = np.random.default_rng(seed)
    joints = int(rng.choice([rng.integers(1, 9), rng.integers(4, 20), rng.integers(20, 41)]))
    bushy = rng.uniform()
    left, names = [joints], iter(range(10_000))

    def unit(size: int) -> str:
        return _text((v := rng.normal(size=size)) / np.linalg.norm(v))

    def inertial() -> str:
        a, b, c = rng.uniform(0.5, 1, 3) * 0.001
        return (
            f'<inertial pos="{_text(rng.normal(size=3) * 0.03)}" quat="{unit(4)}" mass="{rng.uniform(0.1, 0.4):.3f}" '
            f'diaginertia="{_text([b + c, a + c, a + b])}"/>'
        )

    def sphere(chance: float) -> str:
        at = _text(rng.normal(size=3) * 0.05)
        return f'<geom class="collider" type="sphere" size="0.02" pos="{at}"/>' if rng.uniform() < chance else ""

    def hinges() -> str:
        count = min(left[0], 1 if rng.uniform() < 0.8 else int(rng.integers(2, 4)))
        left[0] -= count
        text = ""
        for _ in range(count):
            anchor = rng.normal(size=3) * 0.02 * (rng.uniform() < 0.3)
            low, high = rng.uniform(-1.5, -0.3), rng.uniform(0.3, 1.5)
            text += (
                f'<joint name="j{next(names)}" axis="{unit(3)}" pos="{_text(anchor)}" range="{low:.3f} {high:.3f}"/>'
            )
        return text

    def body(depth: int) -> str:
        inside = (hinges() if rng.uniform() < 0.85 else "") + inertial() + sphere(0.5)
        while left[0] and rng.uniform() < (0.9 if rng.uniform() > bushy else 0.6) and depth < 14:
            inside += body(depth + 1)
        pos = _text(rng.normal(size=3) * 0.06)
        return f'<body name="b{next(names)}" pos="{pos}" quat="{unit(4)}">{inside}</body>'

    inside = sphere(1) + sphere(0.5)
    while left[0]:
        inside += body(0)
    servo = '<position joint="{}" kp="6" kv="0.3" forcerange="-2 2"/>'
    return wrap(f'<body name="base" pos="0 0 0.3"><freejoint/>{inertial()}{inside}</body>', servo.format)


def nameless(chains: Sequence[Chain], seed: int) -> mujoco.MjSpec:
    """The robot without motors, its limbs in another order, axes the other way round, and names without a meaning."""
    rng = np.random.default_rng(seed)
    base, others = [c for c in chains if c.hangs_from == "base"], [c for c in chains if c.hangs_from != "base"]
    spec = mujoco.MjSpec.from_string(mjcf([*(base[i] for i in rng.permutation(len(base))), *others]))
    for joint in spec.joints:
        if joint.type == mujoco.mjtJoint.mjJNT_HINGE and rng.random() < 0.5:
            joint.axis, joint.range = -joint.axis, -joint.range[::-1]
    for actuator in list(spec.actuators):
        spec.delete(actuator)
    for i, thing in enumerate([*spec.bodies, *spec.joints, *spec.geoms]):
        if thing.name != "world":
            thing.name = f"x{rng.integers(10**6)}_{i}"
    return spec
