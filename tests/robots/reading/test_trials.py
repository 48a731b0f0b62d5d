"""What a robot's model shows as it moves."""

from dataclasses import replace

import pytest

from walkies.robots import get_robot, load_model
from walkies.robots.reading import trials


def test_who_stands_on_strong_servos_alone_starts_without_a_fade_in(monkeypatch):
    """A biped of the zoo; as its servos may be weaker than they say, it is not left to them. Control: with theirs it
    stands."""
    robot = get_robot("biped")
    model = load_model(robot, visuals=False)
    assert robot.fade_in == 0.0 and not trials.stands(model, robot)
    monkeypatch.setattr(trials, "WEAK", 1.0)
    assert trials.stands(model, robot)


@pytest.mark.parametrize(("name", "crossing"), [("go", True), ("humanoid", True), ("servo-dog", False)])
def test_whose_parts_meet(name, crossing):
    """Controls: where a unit of action turns little none do, and where it turns much all do."""
    robot = get_robot(name)
    model = load_model(robot, visuals=False)
    assert trials.meet(model, robot) == crossing == robot.self_contacts
    assert not trials.meet(model, replace(robot, action_scale=0.02))
    assert trials.meet(model, replace(robot, action_scale=2.0))
