"""Curves on disk: what is written is read back, and resuming forgets what came after the resumed step."""

import math
import sys
from glob import glob as matches
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walkies.errors import UserError
from walkies.rl.finite import Diverged
from walkies.run import loggers
from walkies.run.config import TrainConfig
from walkies.run.folders import RunFolder


def write(path, records, **options):
    logger = loggers.CsvLogger(path, **options)
    for record in records:
        logger.log(record)
    logger.close()


@given(values=st.lists(st.floats(allow_nan=False), max_size=6))
def test_csv_gives_back_every_bit(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "progress.csv"
    write(path, [{"steps": i, "reward": value} for i, value in enumerate(values)])
    if values:
        assert loggers.read(path)["reward"].tolist() == values


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    records = [{"steps": 10 * i, "reward": 0.1 * i} for i in range(10)]
    write(tmp_path / "whole.csv", records)
    write(tmp_path / "parts.csv", records[:8])  # ran on past its last checkpoint, at step 40, and was killed
    with (tmp_path / "parts.csv").open("a") as file:
        file.write("80,0.")  # in the middle of a row
    write(tmp_path / "parts.csv", records[5:], resume_steps=40)
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    # Without truncation the rows after the checkpoint would be there twice.
    write(tmp_path / "double.csv", records[:8])
    write(tmp_path / "double.csv", records[5:], resume_steps=10**9)
    assert (tmp_path / "double.csv").read_bytes() != (tmp_path / "whole.csv").read_bytes()


def test_killed_before_its_first_record_it_can_be_resumed(tmp_path):
    path = tmp_path / "progress.csv"
    write(path, [])
    assert path.read_bytes() == b""
    write(path, [{"steps": 1, "reward": 5.0}], resume_steps=0)
    assert loggers.read(path)["reward"].tolist() == [5.0]


def test_without_resume_a_file_starts_anew(tmp_path):
    write(tmp_path / "progress.csv", [{"steps": 1, "reward": 5.0}])
    write(tmp_path / "progress.csv", [{"steps": 2, "reward": 6.0}])
    assert loggers.read(tmp_path / "progress.csv")["steps"].tolist() == [2.0]


def test_new_column_leaves_older_rows_empty(tmp_path):
    write(tmp_path / "progress.csv", [{"steps": 1, "a": 1.0}, {"steps": 2, "a": 2.0, "b": 3.0}, {"steps": 3, "b": 4.0}])
    table = loggers.read(tmp_path / "progress.csv")
    assert math.isnan(table["b"][0]) and table["b"][1:].tolist() == [3.0, 4.0]
    assert math.isnan(table["a"][2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "header"),
        ("reward\n1\n", "steps"),
        ("steps,steps\n1,2\n", "distinct"),
        ("steps,reward\n1\n", "line 2: got 1 cells, expected 2"),
        ("steps,reward\n1,lots\n", "line 2, column reward: got 'lots'"),
        ("steps,reward\n,1\n", "column steps"),
    ],
)
def test_what_is_not_such_a_file_is_told(text, expected, tmp_path):
    path = tmp_path / "progress.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=expected):
        loggers.read(path)


def test_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        loggers.read(tmp_path / "progress.csv")


def test_open_loggers_write_csv_and_tensorboard(tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    with loggers.open_loggers(tmp_path) as opened:
        for logger in opened:
            logger.log({"steps": 7, "reward": 0.25})
    assert loggers.read(tmp_path / "progress.csv")["reward"].tolist() == [0.25]
    scalars = [(event.step, value.tag, value.simple_value) for event in events(tmp_path / "tensorboard", Event)
               for value in event.summary.value]  # fmt: skip
    assert scalars == [(7, "reward", 0.25)]


def events(folder, kind):
    """Events of TensorBoard's record format: length (8 bytes), its checksum (4), the event, its checksum (4)."""
    (path,) = folder.iterdir()
    data = path.read_bytes()
    while data:
        length = int.from_bytes(data[:8], "little")
        yield kind.FromString(data[12 : 12 + length])
        data = data[16 + length :]


class FakeWandb(SimpleNamespace):
    """Stands for the package wandb: remembers what it is told."""

    class Error(Exception):
        pass

    def __init__(self):
        super().__init__(begun=[], logged=[], saved=[], finished=0)

    def init(self, **options):
        self.begun.append(options)
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def save(self, glob_str, base_path=None, policy="live", *, glob=True):
        """As W&B does it: a file's name is its path from the base path, else with the folder that it lies in."""
        path = Path(glob_str).absolute()
        if glob and not matches(str(path)):
            return []
        name = path.relative_to(Path(base_path).absolute() if base_path else path.parent.parent)
        self.saved.append((str(name), path.read_text(), policy, self.finished))
        return [str(name)]

    def finish(self):
        self.finished += 1


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


def log_one(folder, steps, **options):
    with loggers.open_loggers(folder, **options) as opened:
        for logger in opened:
            logger.log({"steps": steps, "reward": 0.25})


def test_wandb_gets_the_records_and_the_configuration_of_those_who_ask(tmp_path, wandb):
    log_one(tmp_path / "pupper-0", 7)
    assert wandb.begun == [], "nobody asked"
    log_one(tmp_path / "pupper-0", 7, wandb="walks", config={"seed": 3})
    (begun,) = wandb.begun
    assert begun["project"] == "walks" and begun["name"] == "pupper-0" and begun["config"] == {"seed": 3}
    assert wandb.logged == [(7, {"steps": 7, "reward": 0.25})] and wandb.finished == 1


def test_a_resumed_run_is_the_same_one_at_wandb_and_a_new_one_of_that_name_is_not(tmp_path, wandb):
    """W&B refuses an id that it has seen, also one of a run that was deleted."""
    log_one(tmp_path / "pupper-0", 7, wandb="walks")
    log_one(tmp_path / "pupper-0", 9, wandb="walks", resume_at=7)
    log_one(tmp_path / "pupper-0", 1, wandb="walks")
    log_one(tmp_path / "other", 9, wandb="walks", resume_at=7)  # its first part was not logged there
    first, resumed, anew, late = wandb.begun
    assert resumed["id"] == first["id"] and (first["resume"], resumed["resume"]) == ("never", "allow")
    assert len({one["id"] for one in (first, anew, late)}) == 3 and anew["resume"] == late["resume"] == "never"


def test_a_wandb_that_takes_no_run_says_what_to_do(tmp_path, wandb):
    def refuses(**options):
        raise wandb.Error("api_key not configured")

    wandb.init = refuses
    with pytest.raises(UserError, match=r"--wandb walks: .*api_key.*wandb login.*WANDB_MODE=offline"):
        log_one(tmp_path, 1, wandb="walks")


def train_like(folder, monkeypatch, reason, wandb_project, **options):
    """`walkies train` without its training: what is left is when which file goes where."""
    from walkies.cli import train

    monkeypatch.setattr(
        "walkies.run.training.prepare", lambda config, folder: SimpleNamespace(steps=7, close=lambda: None)
    )
    monkeypatch.setattr("walkies.run.training.learn", lambda *_: reason)
    monkeypatch.setattr("walkies.run.export.export_policy", lambda path, training: path.write_text("the policy"))
    config = TrainConfig(out=folder, wandb=wandb_project, exam_episodes=0, film=False, **options)
    folder.mkdir(parents=True)
    return train._train(config, RunFolder(folder), 0.0)


@pytest.mark.parametrize("reason", ["steps", "time", "SIGINT", "SIGTERM"])
def test_the_policy_is_at_the_root_of_the_runs_files_before_the_run_ends(tmp_path, wandb, monkeypatch, reason):
    """Where `./deploy.sh RUN` of the robot's software looks for it; also after Ctrl-C."""
    folder = tmp_path / "a [strange] name" / "pupper-0"
    assert train_like(folder, monkeypatch, reason, "walks") == reason
    assert wandb.saved == [("policy.json", "the policy", "now", 0)] and wandb.finished == 1


def test_a_version_of_wandb_that_reads_the_path_as_a_pattern_is_not_believed(tmp_path, wandb, monkeypatch, capsys):
    wandb.save = lambda path, base_path, policy: FakeWandb.save(wandb, path, base_path, policy)
    train_like(tmp_path / "plain", monkeypatch, "steps", "walks")
    assert len(wandb.saved) == 1 and "No upload" not in capsys.readouterr().out
    train_like(tmp_path / "[strange]", monkeypatch, "steps", "walks")
    assert len(wandb.saved) == 1 and "No upload of the policy: W&B took no" in capsys.readouterr().out


def test_nothing_is_uploaded_where_nobody_asked(tmp_path, wandb, monkeypatch):
    train_like(tmp_path / "run", monkeypatch, "steps", None)
    assert (wandb.saved, wandb.begun) == ([], []) and (tmp_path / "run" / "policy.json").is_file()


def test_an_upload_that_fails_is_said_and_spoils_nothing(tmp_path, wandb, monkeypatch, capsys):
    def refuses(*_, **__):
        raise wandb.Error("no network")

    wandb.save = refuses
    assert train_like(tmp_path / "run", monkeypatch, "steps", "walks") == "steps"
    assert "No upload of the policy: " in capsys.readouterr().out and wandb.finished == 1


def test_after_a_divergence_the_last_sound_policy_is_uploaded(tmp_path, wandb, monkeypatch):
    from walkies.cli import train

    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    folder.checkpoint_at(7).touch()
    training, restored = SimpleNamespace(steps=7, close=lambda: None), []
    training.restore = restored.append

    def diverges(*_):
        raise Diverged("iteration 3: reward is NaN")

    monkeypatch.setattr("walkies.run.training.prepare", lambda config, folder: training)
    monkeypatch.setattr("walkies.run.training.learn", diverges)
    monkeypatch.setattr("walkies.run.export.export_policy", lambda path, training: path.write_text("sound"))
    with pytest.raises(Diverged, match="the policy after 7 steps"):
        train._train(TrainConfig(out=folder.path, wandb="walks"), folder, 0.0)
    assert restored == [folder.checkpoint_at(7)] and wandb.saved == [("policy.json", "sound", "now", 0)]


def test_every_logger_is_closed_also_when_training_fails(tmp_path, wandb):
    with pytest.raises(ZeroDivisionError), loggers.open_loggers(tmp_path, wandb="walks"):
        raise ZeroDivisionError
    assert wandb.finished == 1
