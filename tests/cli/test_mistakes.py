"""What newcomers do wrong at the command line, and what they read: what was given, what was expected, what to do."""

import json
import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from walkies import cli

POLICY = Path(__file__).parents[1] / "browser" / "policy.json"


class Mistake(NamedTuple):
    """A command line, and words that its answer must have."""

    typed: str
    given: str
    """What the answer repeats of it."""
    expected: str
    """What would have been right."""
    next: str
    """What to do."""


NO_POLICY = ("expected a run folder with a policy.json", "`walkies train pupper` makes one")
MISTAKES = (
    # the command itself
    Mistake("trian pupper", "no command 'trian'", "Did you mean", "`walkies train`"),
    Mistake("lab bench", "`walkies lab bench`", "needs one more word", "`walkies lab bench physics`"),
    Mistake("lab bench fisics", "no command 'lab bench fisics'", "Did you mean", "`walkies lab bench physics`"),
    Mistake("dance", "no command 'dance'", "There are", "train, exam, play"),
    Mistake("help dacne", "no command 'dacne'", "There are", "train, exam, play"),
    # training
    Mistake("train puper", "unknown robot 'puper'", "known robots", "pupper"),
    Mistake("train pupper --minutes 0", "--minutes: got 0", "expected more than 0", "more than 0"),
    Mistake("train pupper --minutes -3", "--minutes: got -3", "expected more than 0", "more than 0"),
    Mistake("train pupper --minutes five", "'five'", "FLOAT", "walkies train --help"),
    Mistake("train pupper --steps 0", "--steps: got 0", "expected a whole number", "from 1"),
    Mistake("train pupper --steps 1e6", "'1e6'", "INT", "walkies train --help"),
    Mistake("train pupper --minuts 2", "--minuts", "Perhaps you meant", "--minutes"),
    Mistake("train pupper --task.rewards.torqe -1", "--task.rewards.torqe", "Perhaps", "--task.rewards.torque"),
    Mistake("train pupper --task.hold leg_frnt_r_1", "leg_frnt_r_1", "did you mean leg_front_r_1?", "expected a leg"),
    Mistake("train humanoid --task.hold arm", "--task.hold arm", "did you mean arms?", "waist (3 joints"),
    Mistake("explain pupper --task.hold arms", "pupper has none", "all of its joints belong to legs", "leg_back_l_3"),
    Mistake("train pupper --simulator gazebo", "'gazebo'", "Expected one of", "'native', 'mujoco'"),
    Mistake("train pupper --out text.txt", "--out text.txt", "expected a folder", "a name that is free"),
    Mistake("train pupper --out text.txt/run", "--out text.txt/run", "text.txt is a file", "a name that is free"),
    Mistake("train pupper --out trained", "trained already holds a run", "--resume continues it", "another --out"),
    Mistake("train --resume", "--resume", "name the run to continue", "--out FOLDER"),
    Mistake("train --resume --out nowhere", "there is no run in nowhere", "config.json", "give the folder of a run"),
    Mistake("train --resume --out damaged", "damaged/config.json is damaged", "expected what `walkies train`", "wrote"),
    Mistake(
        "train pupper --init-from empty --out new", "empty has no checkpoint", "--init-from", "the folder of a run"
    ),
    # a policy
    Mistake("exam nowhere", "no policy at nowhere", *NO_POLICY),
    Mistake("exam empty", "no policy in empty", *NO_POLICY),
    Mistake("exam trained", "trained is a run that still trains, or was stopped", "--resume", "--out trained"),
    Mistake("exam broken.json", "broken.json", "expected a policy.json", "give its run"),
    Mistake("exam hollow.json", "hollow.json: in_shape: got nothing", "expected", "`walkies lint hollow.json`"),
    Mistake("exam good.json --episodes 0", "--episodes: got 0", "expected a whole number", "from 1 to 10000"),
    Mistake("exam good.json --out text.txt", "--out text.txt", "expected a folder", "a name that is free"),
    Mistake("exam", "Missing from walkies exam", "a run folder, or any policy.json", "walkies exam --help"),
    Mistake("play nowhere", "no policy at nowhere", *NO_POLICY),
    Mistake("play good.json --port 99999", "--port: got 99999", "expected a whole number from 0 to 65535", "0 for any"),
    Mistake("play good.json --port {taken}", "--port {taken} is taken", "another program", "choose another --port"),
    Mistake(
        "play good.json --host 192.0.2.1 --port 0", "--host 192.0.2.1", "an address of this machine", "Leave --host"
    ),
    Mistake("lint nowhere", "no policy at nowhere", *NO_POLICY),
    Mistake("export empty", "no policy in empty", *NO_POLICY),
    Mistake("export good.json --contract 2024", "2024", "2025", "2026"),
    Mistake("export good.json --to-robot --out x.json", "--out", "--to-robot alone writes nothing", "leave one"),
    Mistake("rehearse nowhere", "no policy at nowhere", *NO_POLICY),
    Mistake("rehearse good.json --box moon", "'moon'", "Expected one of", "'harsh'"),
    Mistake("replay text.txt good.json", "text.txt", "expected a ROS 2 bag", ".csv"),
    Mistake("excite --out text.txt/shake.json", "text.txt: file exists", "where a folder was expected", "another path"),
    # pictures and runs
    Mistake("film", "nothing to film", "give a run folder or a policy.json", "`walkies film runs/pupper-0`"),
    Mistake("film nowhere", "no policy at nowhere", *NO_POLICY),
    Mistake("film good.json --out walk.avi", "--out walk.avi", "ends with .mp4", "--gif"),
    Mistake("film good.json --out text.txt/walk.mp4", "--out text.txt", "expected a folder", "a name that is free"),
    Mistake("film good.json --seconds 0", "--seconds: got 0", "expected from 0.1", "to 3600"),
    Mistake("film good.json --seconds 0.1", "no GL library", "install one", "sudo apt-get install"),
    Mistake("runs list nowhere", "nowhere: no such folder", "expected one with runs", "`walkies train`"),
    Mistake("runs", "runs: no such folder", "expected one with runs", "`walkies train`"),
    Mistake("runs compare trained", "got trained", "at least two runs", "compare needs"),
    Mistake("runs remove", "'remove'", "Expected one of", "'clean'"),
    Mistake("report empty", "empty: not a run folder", "config.json", "`walkies train`"),
    # comparing and explaining
    Mistake("explain puper", "unknown robot 'puper'", "known robots", "pupper"),
    Mistake("explain no.json", "unknown robot 'no.json'", "known robots", "nor is there a run folder or policy.json"),
    Mistake("compare lunar-lander", "no problem 'lunar-lander'", "choose one of", "cart-pole"),
    Mistake("compare cart-pole --recipes dqn", "dqn", "ppo", "reinforce"),
    Mistake("benchmark Pong", "contains 'Pong'", "expected part of a name", "`walkies lab benchmark --list`"),
    Mistake("ablate --only gravity", "--only: there is no setting gravity", "there are", "without latency"),
)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with what a newcomer may have: a good policy, damaged ones, a stopped run, other files."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(POLICY, "good.json")
    Path("broken.json").write_text(POLICY.read_text()[:1000])
    Path("hollow.json").write_text("{}")
    Path("text.txt").write_text("notes\n")
    for name in ("empty", "trained/checkpoints", "damaged"):
        Path(name).mkdir(parents=True)
    Path("trained/checkpoints/000000012288.safetensors").touch()
    Path("trained/config.json").write_text(json.dumps({"seed": 0}))
    Path("damaged/config.json").write_text("{")
    monkeypatch.setattr("walkies.show.rendering.gl.gl_libraries", list)


@pytest.fixture(scope="module")
def taken():
    """A port that somebody uses."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield str(other.getsockname()[1])


def in_one_line(text):
    """Without the frames and line breaks that a box of the terminal brings."""
    return " ".join(text.replace("│", " ").split())


def lacks(mistake, status, said, made):
    """What a newcomer would miss in an answer."""
    text = in_one_line(said)
    wanted = {name: getattr(mistake, name) for name in ("given", "expected", "next")}
    found = [f"{name}: {words!r}" for name, words in wanted.items() if in_one_line(words) not in text]
    found += ["an exit status"] if status == 0 else []
    found += ["no traceback"] if "Traceback" in said else []
    return found + [f"no leftover {path}" for path in made]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.typed.replace(" ", "_"))
def test_a_mistake_is_answered_with_what_to_do(mistake, workplace, taken, capsys):
    mistake = Mistake(*(part.replace("{taken}", taken) for part in mistake))
    before = set(Path().rglob("*"))
    status = cli.run(mistake.typed.split())
    printed = capsys.readouterr()
    assert lacks(mistake, status, printed.err, set(Path().rglob("*")) - before) == [], printed.err + printed.out


def test_an_answer_that_helps_nobody_would_be_noticed():
    mistake = Mistake("train --minutes 0", "--minutes: got 0", "expected more than 0", "more than 0")
    assert lacks(mistake, 2, "walkies: --minutes: got 0,\n expected │ more than 0", set()) == []
    assert lacks(mistake, 0, "Traceback: ValueError: 0", {Path("runs/pupper-0")}) == [
        "given: '--minutes: got 0'",
        "expected: 'expected more than 0'",
        "next: 'more than 0'",
        "an exit status",
        "no traceback",
        "no leftover runs/pupper-0",
    ]
