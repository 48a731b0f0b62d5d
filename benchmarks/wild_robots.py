"""What `walkies robot check` reads off robot files that other projects made, as a table.

    pip download --no-deps --dest wheels pybullet mjlab
    python benchmarks/wild_robots.py wheels

The files are read from the wheels and never kept. A row says what was found, and what a person would have to look at.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import tyro

from walkies.errors import UserError
from walkies.robots.reading.anatomy import anatomy
from walkies.robots.reading.check import check
from walkies.robots.reading.source import read
from walkies.robots.reading.stand import stand

FILES = {
    "pybullet": (
        "pybullet_data/a1/a1.urdf",
        "pybullet_data/laikago/laikago.urdf",
        "pybullet_data/laikago/laikago_toes_zup.urdf",
        "pybullet_data/mini_cheetah/mini_cheetah.urdf",
        "pybullet_data/quadruped/spirit40.urdf",
        "pybullet_data/quadruped/vision60.urdf",
        "pybullet_data/quadruped/minitaur.urdf",
        "pybullet_data/mjcf/humanoid.xml",
        "pybullet_data/humanoid/humanoid.urdf",
        "pybullet_data/kuka_iiwa/model.urdf",
        "pybullet_data/racecar/racecar.urdf",
    ),
    "mjlab": (
        "mjlab/asset_zoo/robots/unitree_go1/xmls/go1.xml",
        "mjlab/asset_zoo/robots/unitree_g1/xmls/g1.xml",
    ),
}
"""By the name of the wheel."""


def main(wheels: Path, /) -> None:
    """Print a Markdown table.

    Args:
        wheels: folder with the downloaded wheels.
    """
    print("| file | kind | kg | legs | other limbs | hips, m | mirror image | to look at |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for package, files in FILES.items():
            found = sorted(wheels.glob(f"{package}-*.whl"))
            if not found:
                sys.exit(f"{wheels} has no wheel of {package}: pip download --no-deps --dest {wheels} {package}")
            with zipfile.ZipFile(found[-1]) as wheel:
                wheel.extractall(folder)
            for file in files:
                print(row(Path(folder) / file), flush=True)


def row(path: Path) -> str:
    """A line about one file."""
    try:
        source = read(path)
        model = source.spec.compile()
        parts = anatomy(model)
        stance = stand(model, parts)
    except UserError as error:
        said = str(error).replace(f"{path}: ", "")
        return f"| {path.name} | refused: {said} | | | | | | |"
    problems = "; ".join(one.what for one in check(model, parts, stance)) or "nothing"
    limbs = [" ".join(str(len(limb.joints)) for limb in group) or "none" for group in (parts.legs, parts.arms)]
    image = "yes" if parts.partner is not None else "no"
    cells = (path.name, parts.kind, f"{source.mass:.3g}", *limbs, f"{stance.hips:.2f}", image, problems)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    tyro.cli(main)
