"""`walkies rehearse` as a command: what it writes, how it goes on after an interruption, what it refuses."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rehearsal_policies import STANDING, TOPPLING

from damage import damaged
from walkies import cli
from walkies.cli.rehearse import command
from walkies.deploy.policy_file import write
from walkies.errors import UserError
from walkies.judge.rehearsal import cells, report
from walkies.judge.rehearsal.conditions import AXES, BASE, BOXES, GRID, box_of
from walkies.judge.rehearsal.rehearse import Extent, rehearse_grid, rehearse_sweeps
from walkies.robots import get_robot
from walkies.show.pictures.rehearsal import colour

PUPPER = get_robot("pupper")
FRICTION = next(axis for axis in AXES if axis.name == "friction")


@pytest.fixture
def counted(monkeypatch):
    """Replaces the driving by something quick; the list of all (condition, seed) that were driven."""
    driven = []

    def drive(policy, robot, conditions, seeds, seconds, threads):
        driven.extend(zip(conditions, seeds, strict=True))
        good = np.array([c.friction > 0.15 for c in conditions])
        number = np.where(good, 0.1, np.nan)
        fell = np.where(good, seconds, 0.5)
        cause = np.where(good, "", "tilt")
        return SimpleNamespace(
            cause=cause, fell_at=fell, lin_vel_error=number, yaw_rate_error=number, power=np.full(len(good), 9.0)
        )

    monkeypatch.setattr(cells, "drive", drive)
    return driven


def jobs(count, robots=2):
    return [cells.cell(replace(BASE, payload=float(i)), range(robots)) for i in range(count)]


def test_finished_jobs_are_not_done_again(counted, tmp_path):
    first = cells.run(STANDING, PUPPER, jobs(3), 5.0, tmp_path)
    assert len(counted) == 6
    again = cells.run(STANDING, PUPPER, jobs(4), 5.0, tmp_path)
    assert len(counted) == 8 and again[:3] == first


@pytest.mark.parametrize("change", ["policy", "seconds", "seeds", "condition"])
def test_a_job_under_other_circumstances_is_another(counted, tmp_path, change):
    """Negative control of the test above."""
    cells.run(STANDING, PUPPER, jobs(1), 5.0, tmp_path)
    policy = replace(STANDING, kp=4.0) if change == "policy" else STANDING
    job = jobs(1, 3 if change == "seeds" else 2)
    if change == "condition":
        job = [cells.cell(replace(BASE, payload=0.1), range(2))]
    cells.run(policy, PUPPER, job, 6.0 if change == "seconds" else 5.0, tmp_path)
    assert len(counted) > 2


def test_an_interruption_costs_one_batch(counted, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "BATCH", 4)
    working = cells.drive

    def failing(*arguments):
        if len(counted) >= 4:
            raise KeyboardInterrupt
        return working(*arguments)

    monkeypatch.setattr(cells, "drive", failing)
    with pytest.raises(KeyboardInterrupt):
        cells.run(STANDING, PUPPER, jobs(5), 5.0, tmp_path)
    monkeypatch.setattr(cells, "drive", working)
    whole = cells.run(STANDING, PUPPER, jobs(5), 5.0, tmp_path)
    assert len(counted) == 10 == len(set(counted)), "nothing twice, nothing left out"
    assert whole == cells.run(STANDING, PUPPER, jobs(5), 5.0, None)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_damaged_job_is_named_or_read_as_it_stands(counted, tmp_path):
    """Many accidents to a finished job: rows, or one sentence that names the file; never half a result."""
    whole = cells.run(STANDING, PUPPER, jobs(1), 5.0, tmp_path)
    (path,) = tmp_path.iterdir()
    text = path.read_text()
    named = 0
    for seed in range(40):
        path.write_bytes(damaged(text, seed))
        try:
            (rows,) = cells.run(STANDING, PUPPER, jobs(1), 5.0, tmp_path)
            assert len(rows) == 2
            report.as_json(report.summarize(rows))
        except UserError as error:
            named += 1
            assert str(path) in str(error) and "remove it, and it is rehearsed again" in str(error)
    assert named >= 20
    path.write_text(text)
    assert cells.run(STANDING, PUPPER, jobs(1), 5.0, tmp_path) == whole, "the control"


def test_where_nothing_can_be_written_nothing_is_rehearsed(counted, tmp_path):
    write(tmp_path / "policy.json", STANDING)
    (tmp_path / "rehearsal").write_text("in the way")
    with pytest.raises(UserError, match="is a file; expected a folder"):
        command(tmp_path, only=("push",), robots=1)
    assert counted == []


def test_batches_hold_one_kind_of_model(counted):
    kinds = [BASE, replace(BASE, tick_rate=500.0), replace(BASE, backlash=0.01), replace(BASE, no_load_speed=9.0)]
    batches = []
    working = cells.drive
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "drive", lambda *a: batches.append(a[2]) or working(*a))
        cells.run(STANDING, PUPPER, [cells.cell(c, range(3)) for c in kinds + kinds], 1.0, None)
    assert [len(set(batch)) for batch in batches] == [1] * 4 and [len(batch) for batch in batches] == [3] * 4


def test_sweep_finds_the_margin(counted):
    data = rehearse_sweeps(STANDING, [FRICTION], Extent(robots=4, seconds=2.0))
    assert data["axes"][0]["verdict"].startswith("friction of the floor: holds down to μ 0.2, falls at μ 0.1 (4 of 4)")
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {seed for _, seed in counted} == {0, 1, 2, 3}


def test_grid_has_every_combination_once(counted):
    data = rehearse_grid(STANDING, extent=Extent(robots=1, seconds=1.0))
    conditions = {condition for condition, _ in counted}
    assert len(conditions) == len(data["cells"]) == np.prod([len(axis.values) for axis in GRID])
    assert {(c.command_delay, c.imu_delay) for c in conditions} == {(v, v) for v in GRID[1].values}
    ice = [cell for cell in data["cells"] if cell["shown"][0] == "μ 0.2"]
    assert all(cell["survival"]["value"] == 1.0 for cell in ice)


def test_command_writes_its_report(tmp_path, capsys):
    """For real: a standing robot, three sweeps, short."""
    write(tmp_path / "policy.json", STANDING)
    assert command(tmp_path, only=("push", "cone"), robots=1, seconds=0.4) == 0
    folder = tmp_path / "rehearsal"
    data = json.loads((folder / "rehearsal.json").read_text())
    assert [axis["name"] for axis in data["axes"]] == ["push", "cone"]
    text = (folder / "rehearsal.md").read_text()
    assert text == capsys.readouterr().out.rsplit("\nWritten to", 1)[0] and "## Conclusions" in text
    assert (folder / "rehearsal.png").read_bytes()[:4] == b"\x89PNG"


def test_box_decides_the_exit_status(tmp_path, capsys):
    write(tmp_path / "falling.json", TOPPLING)
    assert command(tmp_path / "falling.json", box="harsh", robots=3, seconds=1.5, json=True) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["passed"] is False and len(data["falls"]) == 3
    assert "FAILED" in (tmp_path / "falling-rehearsal" / "box-harsh.md").read_text()
    write(tmp_path / "standing.json", STANDING)
    assert command(tmp_path / "standing.json", box="course", robots=2, seconds=0.4, out=tmp_path / "there") == 0
    assert "PASSED" in (tmp_path / "there" / "box-course.md").read_text()


def test_the_robots_own_simulator_says_how_fast_it_turns(tmp_path, capsys):
    """In no other box; and only of the robot whose simulator it is."""
    write(tmp_path / "standing.json", STANDING)
    for name, asked in (("robot-sim", True), ("course", False)):
        assert command(tmp_path / "standing.json", box=name, robots=2, seconds=0.4, out=tmp_path / name) == 0
        data = json.loads((tmp_path / name / f"box-{name}.json").read_text())
        assert ("turn" in data) == asked
        assert ("Commanded to turn on the spot at 1.5 rad/s" in capsys.readouterr().out) == asked
    turn = json.loads((tmp_path / "robot-sim" / "box-robot-sim.json").read_text())["turn"]
    assert turn["commanded"] == 1.5 and abs(turn["reached"]["value"]) < 0.02 and turn["fallen"] == 0
    with pytest.raises(UserError, match=r"--box robot-sim: .* but this policy is for go; take course or harsh"):
        box_of(get_robot("go"), BOXES["robot-sim"])


def test_grid_is_drawn(counted, tmp_path):
    write(tmp_path / "policy.json", STANDING)
    assert command(tmp_path, grid=True, robots=1, seconds=1.0) == 0
    assert (tmp_path / "rehearsal" / "grid.png").stat().st_size > 10_000
    assert (tmp_path / "rehearsal" / "grid.md").read_text().count("\n| μ ") == 144


def test_errors_say_what_to_do(tmp_path, capsys):
    write(tmp_path / "policy.json", STANDING)
    with pytest.raises(UserError, match="--box and --grid"):
        command(tmp_path, box="harsh", grid=True)
    with pytest.raises(UserError, match="there is no sweep wind; there are friction"):
        command(tmp_path, only=("wind",))
    for flag, value in (("robots", "0"), ("seconds", "inf"), ("seed", "-1"), ("threads", "0")):
        assert cli.run(["rehearse", str(tmp_path), f"--{flag}", value]) == 2
        assert f"--{flag}: got {value}, expected" in capsys.readouterr().err
    with pytest.raises(UserError, match="--seed: got -1"):
        rehearse_sweeps(STANDING, [FRICTION], Extent(1, 1.0, seed=-1))


def test_colours_tell_worst_from_best():
    reds, blues = colour(0.0, 0.5, 1.0), colour(1.0, 0.5, 1.0)
    assert reds[0] > reds[2] and blues[2] > blues[0]
    assert colour(0.3, 0.3, 0.0) == reds and colour(0.0, 0.3, 0.0) == blues
    assert colour(None, 0.5, 1.0) == colour(0.75, 0.5, 1.0)
