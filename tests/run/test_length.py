"""How long a training lasts where nobody says."""

from dataclasses import replace

from walkies import cli
from walkies.robots import get_robot
from walkies.run.config import MINUTES, default_minutes, of_robot


def test_the_length_of_a_training_follows_from_the_kind_of_robot():
    """Control: a number of steps, or of minutes, that is given."""
    lengths = {name: default_minutes(of_robot(get_robot(name))) for name in ("pupper", "go", "hexapod", "biped")}
    assert lengths["pupper"] == lengths["go"] == MINUTES["quadruped"] < lengths["hexapod"] < lengths["biped"]
    assert default_minutes(replace(of_robot(get_robot("biped")), steps=1)) is None
    assert default_minutes(replace(of_robot(get_robot("biped")), minutes=0.5)) == 0.5


def test_its_help_names_the_minutes_of_every_kind(capsys):
    assert cli.run(["train", "--help", "all"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(f"{minutes:g} for a {kind}" in said for kind, minutes in MINUTES.items())
