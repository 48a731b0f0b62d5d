"""Reads the robots of the zoo off their models again.

    python benchmarks/zoo.py

Whoever changes a `model.xml` there, or how walkies reads models, calls this; what was changed by hand in a `robot.toml`
stays as it is, and is said.
"""

from __future__ import annotations

import sys

from walkies.robots.folders import ZOO
from walkies.robots.reading.infer import add

SOURCE = "model.xml"
"""The model that a person wrote, from published facts."""


def main() -> None:
    """Read all of them, or those that are named."""
    for model in sorted(ZOO.glob(f"*/{SOURCE}")):
        name = model.parent.name
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        added = add(model, name, ZOO)
        robot = added.robot
        print(f"{name}: {robot.kind}, {robot.mass:.3g} kg, {robot.num_joints} joints, h {robot.hip_height:.3g} m, "
              f"{robot.gamepad}")  # fmt: skip
        for what in (*added.kept, *added.notes):
            print(f"  {what}")


if __name__ == "__main__":
    main()
