"""A robot of your own, from its MJCF or URDF file to a policy: what is needed is read off the file.

    python examples/own_robot.py                        # trains for five minutes; then runs/stool has the policy
    walkies train examples/stool.xml --minutes 5        # the same from the command line

`stool.xml` beside this file is a board on four legs. What was read off it is in `robots/stool/robot.toml`, where any of
it may be changed.
"""

import os
from dataclasses import replace
from pathlib import Path

from walkies.cli.train import command as train
from walkies.robots.reading.infer import add
from walkies.run.config import of_robot

FAST = bool(os.environ.get("WALKIES_FAST"))  # a few seconds, to see that it runs
FILE = Path(__file__).parent / "stool.xml"


def main():
    found = add(FILE)  # from now on "stool" is a robot for every command that is called from here
    robot = found.robot
    print(f"{robot.name}: a {robot.kind} of {robot.mass:.1f} kg, hips {robot.hip_height:.2f} m up, in {found.folder}")
    for note in found.notes:
        print("note:", note)

    config = of_robot(robot)  # the walking task in the robot's own units, and the recipe for it
    print(f"it is told to walk at up to {config.task.commands.forward:.2f} m/s")
    config = replace(config, minutes=5.0, out=Path("runs/stool"))
    if FAST:
        recipe = replace(
            config.recipe, num_envs=32, horizon=8, minibatches=2, epochs=1, hidden=(16,), critic_hidden=(16,)
        )
        config = replace(config, minutes=None, steps=1000, recipe=recipe, exam_episodes=0, film=False)
    train(config)


if __name__ == "__main__":
    main()
