"""Newton's process: what goes through the pipes, how it fails and ends, and what it shares with MuJoCo."""

from __future__ import annotations

import ast
import io
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import mujoco
import numpy as np
import pytest

import processes
from sim import conformance as laws
from sim.random_robots import random_params
from walkies import child
from walkies.errors import UserError
from walkies.robots import PUPPER, get_robot, load_model
from walkies.sim import make_simulator
from walkies.sim.base import Params
from walkies.sim.mujoco import MujocoSimulator
from walkies.sim.other import install, newton_child
from walkies.sim.other.newton import NewtonSimulator, _Newton
from walkies.sim.other.newton_child import ERROR, HEADER, MAGIC, MODEL, START, STEP, ProtocolError, Sizes
from walkies.sim.params import actuated_dofs
from walkies.sim.principal import principal_inertia

HERE = install.is_installed("newton")
installed = pytest.mark.skipif(not HERE, reason=f"not installed: {install.installs('newton')}")
SIZES = Sizes(bodies=3, hinges=2, spheres=4)
ROBOTS = 5
ABOUT = {"links": ["a", "b", "c"], "hinges": ["x", "y"], "spheres": ["a", "a", "b", "c"]}


def arrays(shapes: newton_child.Layout, robots: int = ROBOTS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(robots, *shape)).astype(np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("shapes", [newton_child.layout(START, SIZES), newton_child.layout(STEP, SIZES),
                                    newton_child.reply_layout(STEP, SIZES)])  # fmt: skip
def test_arrays_come_back_as_they_were(shapes: newton_child.Layout) -> None:
    given = arrays(shapes)
    content = newton_child.pack(shapes, given, ROBOTS)
    assert len(content) == newton_child.length_of(shapes, ROBOTS)
    found = newton_child.unpack(shapes, content, ROBOTS)
    assert list(found) == list(shapes)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)
    first = next(iter(shapes))
    with pytest.raises(ValueError, match=f"{first} has the shape"):
        newton_child.pack(shapes, given | {first: given[first][:-1]}, ROBOTS)


def test_a_frame_comes_back_and_its_end_is_seen() -> None:
    stream = io.BytesIO()
    newton_child.send(stream, STEP, ROBOTS, b"12345678")
    stream.seek(0)
    assert newton_child.receive_header(stream) == (STEP, ROBOTS, 8)
    assert newton_child.receive(stream, 8, 8, 8) == b"12345678"
    assert newton_child.receive_header(stream) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"GET / HTTP/1.1\r\n\r\nxxxx", "begins with"), (MAGIC + b"\0", "begins with")],
)
def test_what_is_no_header_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        newton_child.receive_header(io.BytesIO(content))


def test_a_length_that_was_not_agreed_is_refused_before_it_is_read() -> None:
    stream = io.BytesIO(b"x" * 100)
    for length in (7, 9, 1 << 60):
        with pytest.raises(ProtocolError, match=f"8 to 8 bytes, got one of {length}"):
            newton_child.receive(stream, length, 8, 8)
    assert stream.tell() == 0
    with pytest.raises(ProtocolError, match="ended after 100"):
        newton_child.receive(stream, 200, 0, 200)


def frame(kind: int, robots: int, content: bytes, length: int | None = None) -> bytes:
    return HEADER.pack(MAGIC, kind, robots, len(content) if length is None else length) + content


MODEL_FRAME = frame(MODEL, 0, b'{"links": ["a"], "hinges": ["x"], "spheres": ["a"]}')
ONE = Sizes(1, 1, 1)
START_LENGTH = newton_child.length_of(newton_child.layout(START, ONE), 1)


class FakeWorlds:
    """Counts."""

    def __init__(self, newton: Any, about: Any, count: int) -> None:
        self.count = count

    def start(self, given: newton_child.Arrays) -> None:
        assert given["mass"].shape == (len(given["mass"]), 1)

    def step(self, given: newton_child.Arrays) -> newton_child.Arrays:
        n = len(given["torque"])
        return arrays(newton_child.reply_layout(STEP, ONE), n)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The process' loop, without Newton: requests in, replies out."""
    for name in ("newton", "warp"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(config=SimpleNamespace(quiet=False)))
    monkeypatch.setattr(newton_child, "Worlds", FakeWorlds)

    def serve(*frames: bytes) -> io.BytesIO:
        replies = io.BytesIO()
        try:
            newton_child.serve(io.BytesIO(b"".join(frames)), replies)
        finally:
            replies.seek(0)
            serve.replies = replies  # type: ignore[attr-defined]
        return replies

    return serve


def test_the_loop_answers_each_request_in_turn(served: Any) -> None:
    step_length = newton_child.length_of(newton_child.layout(STEP, ONE), 1)
    replies = served(MODEL_FRAME, frame(START, 1, bytes(START_LENGTH)), frame(STEP, 1, bytes(step_length)))
    assert newton_child.receive_header(replies) == (MODEL, 0, 0)
    assert newton_child.receive_header(replies) == (START, 1, 0)
    expected = newton_child.length_of(newton_child.reply_layout(STEP, ONE), 1)
    assert newton_child.receive_header(replies) == (STEP, 1, expected)
    assert len(replies.read()) == expected


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ((b"import os; os.remove('x')#",), "begins with"),
        ((frame(START, 1, bytes(START_LENGTH)),), "does not fit what came before"),
        ((MODEL_FRAME, frame(7, 1, b"")), "of kind 7"),
        ((MODEL_FRAME, frame(START, 0, b"")), "for 0 robots"),
        ((MODEL_FRAME, frame(STEP, 1, b"")), "does not fit what came before"),
        ((MODEL_FRAME, frame(START, 1, bytes(START_LENGTH - 4))), f"got one of {START_LENGTH - 4}"),
        ((MODEL_FRAME, frame(START, 1, bytes(START_LENGTH), 1 << 62)), f"got one of {1 << 62}"),
        ((MODEL_FRAME, frame(START, 1, b"short", START_LENGTH)), "ended after 5"),
        ((frame(MODEL, 0, b"\x80\x04N."),), "Error"),
        ((frame(MODEL, 0, b"", 1 << 40),), f"got one of {1 << 40}"),
    ],
)
def test_the_loop_says_what_is_wrong_with_a_request_and_ends(served: Any, frames: tuple[bytes, ...], said: str) -> None:
    with pytest.raises((ProtocolError, ValueError)):
        served(*frames)
    kind = None
    while (head := newton_child.receive_header(served.replies)) is not None:
        kind, _, length = head
        content = served.replies.read(length).decode()
    assert kind == ERROR and said in content


def imports_of(source: str) -> set[str]:
    """Top-level names of the modules that a text imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_what_runs_in_newtons_environment_needs_nothing_of_ours() -> None:
    """There are the standard library, NumPy, and Newton with what it brings."""
    theirs = {"numpy", "newton", "warp"}
    for module, own in ((newton_child, theirs), (child, set())):
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
        assert imports_of(source) <= set(sys.stdlib_module_names) | own
    assert imports_of("from walkies.sim import base\nimport jax.numpy") == {"walkies", "jax"}  # the control
    # -S: no packages at all.
    code = f"import runpy; assert callable(runpy.run_path({child.__file__!r})['end_with'])"
    subprocess.run([sys.executable, "-P", "-I", "-S", "-c", code], check=True)


BEGINNING = f"""
import os, struct, sys
head = struct.Struct({HEADER.format!r})
def request():
    _, kind, n, length = head.unpack(sys.stdin.buffer.read(head.size))
    sys.stdin.buffer.read(length)
    return kind, n
def reply(kind, n, content, length=None):
    sys.stdout.buffer.write(head.pack({MAGIC!r}, kind, n, len(content) if length is None else length) + content)
    sys.stdout.buffer.flush()
reply(*request(), b"")
kind, n = request()
"""
"""Of a process that takes the model and reads another request."""


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Newton's process with a program of the test's in place of `newton_child`."""

    def begin(program: str) -> _Newton:
        script = tmp_path / "newton.py"
        script.write_text(BEGINNING + textwrap.dedent(program), encoding="utf-8")
        monkeypatch.setattr(newton_child, "__file__", str(script))
        return _Newton(Path(sys.executable), ABOUT)

    return begin


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("sys.exit('no space\\nleft on device')", "ended with status 1: left on device"),
        ("os.kill(os.getpid(), 9)", "ended with status -9"),
        ("reply(4, 0, b'ValueError: the robot\\nhas no legs')", "ValueError: the robot has no legs"),
        ("reply(4, 0, b'K\\xf6rper')", "K\N{REPLACEMENT CHARACTER}rper"),
        ("reply(2, n, b'1234')", "frame of 0 to 0 bytes, got one of 4"),
        ("reply(2, n, b'', 1 << 50)", "got one of 1125899906842624"),
        ("reply(4, 0, b'', 1 << 50)", "got one of 1125899906842624"),
        ("reply(3, n, b'')", "expected a reply of kind 2 for 5 robots, got 3 for 5"),
        ("reply(2, n + 1, b'')", "got 2 for 6"),
        ("print('Warp 1.19.0 initialized:', flush=True)", "begins with"),
    ],
)
def test_what_goes_wrong_there_is_one_sentence_here(pretended: Any, program: str, said: str) -> None:
    newton = pretended(program)
    with pytest.raises(UserError) as caught:
        newton.start(arrays(newton_child.layout(START, SIZES)), ROBOTS)
    message = str(caught.value)
    assert said in message and "\n" not in message and "newton==1.8.0" in message
    assert newton._process.poll() is not None


def test_a_reply_that_is_right_is_taken(pretended: Any) -> None:
    """The control; and after an interruption no reply is taken for another's."""
    newton = pretended("reply(kind, n, b'')\nrequest(), __import__('time').sleep(60)")
    given = arrays(newton_child.layout(START, SIZES))
    newton.start(given, ROBOTS)
    old = newton._process
    previous = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            newton.step(arrays(newton_child.layout(STEP, SIZES)), ROBOTS)
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert old.poll() is not None
    newton.start(given, ROBOTS)
    assert newton._process is not old


def test_without_it_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for named in (tmp_path / "nothing", Path(sys.executable)):  # no Python; and one without Newton
        monkeypatch.setenv(install.NEWTON, str(named))
        assert not install.is_installed("newton")
        with pytest.raises(UserError, match=rf"{install.NEWTON} names {named}, which is no Python") as caught:
            make_simulator("newton", PUPPER)
        assert "\n" not in str(caught.value) and "pip install newton==" in str(caught.value)
    monkeypatch.delenv(install.NEWTON)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(UserError, match="walkies/newton/bin/python is no Python") as caught:
        make_simulator("newton", PUPPER)
    assert install.NEWTON not in str(caught.value) and f"-m venv {tmp_path / 'walkies' / 'newton'}" in str(caught.value)
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert install.newton_folder().is_relative_to(Path.home())


def test_an_environment_that_has_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    monkeypatch.setenv(install.NEWTON, str(python))
    for status, there in ((0, True), (1, False)):
        python.write_text(f"#!/bin/sh\nexit {status}\n")
        python.chmod(0o755)
        install._has_newton.cache_clear()
        assert install.is_installed("newton") is there
    install._has_newton.cache_clear()


@installed
@pytest.mark.parametrize("name", laws.OTHERS)
def test_motors_differ_from_mujocos_by_explicit_damping_alone(name: str) -> None:
    """The models' integrator is `implicitfast`; with Euler's method, explicit, MuJoCo moves as Newton does."""
    robot = get_robot(name)
    model = load_model(robot, visuals=False, ground_sensors=True, solver_iterations=50)
    implicit = MujocoSimulator(model.__copy__(), threads=1)
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    explicit = MujocoSimulator(model, threads=1)
    held = np.array(robot.default_pose)
    aims = (held + 0.2 * np.resize([1, -1, -1], len(held)))[None]
    ours, same, other = (
        laws.run(made, laws.nominal(robot), laws.pose(1.0, held), aims)[0][-1][0, 7:]
        for made in (laws.simulator("newton", robot), explicit, implicit)
    )
    assert np.abs(ours - same).max() < 1e-5
    assert np.abs(ours - other).max() > 1e-3  # the control


def recomputed(model: mujoco.MjModel, params: Params) -> Params:
    """The parameters with the weights of constraints that follow from each robot's inertias, as Newton has them."""
    bodies, dofs, driven = [], [], actuated_dofs(model)
    for robot in range(len(params.body_mass)):
        own = model.__copy__()
        own.body_mass[1:], own.body_ipos[1:] = params.body_mass[robot], params.body_ipos[robot]
        own.body_inertia[1:], own.body_iquat[1:] = principal_inertia(params.body_inertia[robot])
        own.dof_armature[driven] = params.dof_armature[robot]
        mujoco.mj_setConst(own, mujoco.MjData(own))
        bodies.append(own.body_invweight0[1:, 0])
        dofs.append(own.dof_invweight0[driven])
    return params._replace(body_invweight0=np.float32(bodies), dof_invweight0=np.float32(dofs))  # type: ignore[arg-type]


@installed
def test_robots_with_parameters_of_their_own_move_as_mujocos_do() -> None:
    """On the ground and in the air, four different robots at once. Control: one parameter of another robot's."""
    n, rng = 4, np.random.default_rng(3)
    params = random_params(laws.simulator("mujoco").model, n, seed=0)
    params = jax.tree.map(np.asarray, params)
    targets = np.repeat(laws.POSE[None], n, axis=0) + rng.normal(0, 0.2, (n, len(laws.POSE)))
    noticed = dict.fromkeys(set(Params._fields) - {"torsion", "body_invweight0", "dof_invweight0"}, 0.0)
    for height in (PUPPER.standing_height - 0.002, 1.0):
        start = np.repeat(laws.pose(height), n, axis=0)

        def moved(engine: str, params: Params, start: np.ndarray = start) -> tuple[np.ndarray, np.ndarray]:
            positions, _, readings = laws.run(laws.simulator(engine), params, start, targets, calls=2)
            assert np.asarray(readings.ok).all()
            return positions[-1], np.asarray(readings.contact_force)

        expected = moved("mujoco", recomputed(laws.simulator("mujoco").model, params))
        found = moved("newton", params)
        assert np.abs(found[0] - expected[0]).max() < 1e-5
        assert np.abs(found[1] - expected[1]).max() < 1e-2
        for name in noticed:
            leaf = np.repeat(getattr(params, name)[:1], n, axis=0)
            difference = np.abs(moved("newton", params._replace(**{name: leaf}))[0] - expected[0]).max()
            noticed[name] = max(noticed[name], float(difference))
    assert min(noticed.values()) > 1e-4, noticed


@installed
def test_a_robot_that_blows_up_leaves_nothing_behind_and_harms_no_other() -> None:
    made = laws.simulator("newton")
    before, held = laws.tumble(made, rows=range(2)), laws.POSE[None]
    qpos, qvel = np.repeat(laws.pose(0.15), 2, axis=0), np.zeros((2, made.model.nv))
    calm = laws.run(made, laws.nominal(), qpos, np.repeat(held, 2, axis=0), qvel=qvel)
    qvel[0, 6:] = 9e5
    wild = laws.run(made, laws.nominal(), qpos, np.repeat(held, 2, axis=0), qvel=qvel)
    assert np.asarray(wild[2].ok).tolist() == [False, True]
    np.testing.assert_array_equal(wild[0][-1][1], calm[0][-1][1])
    assert laws.same_bits(before, laws.tumble(made, rows=range(2)))


@installed
@pytest.mark.parametrize("how", ["killed", "forked", "by a thread that has ended"])
def test_a_process_that_is_gone_is_started_again_and_knows_the_same(how: str) -> None:
    """Linux ends a process with the thread that started it; and a fork's is its parent's."""
    with ThreadPoolExecutor(1) as threads:
        made: Any = threads.submit(laws.fresh, "newton").result()
    first = made._newton._process
    if how == "killed":
        first.kill()
    if how == "forked":
        made._newton._owner = -1
    else:
        first.wait(5.0)
    assert laws.same_bits(laws.tumble(laws.simulator("newton")), laws.tumble(made))
    assert made._newton._process is not first


@installed
def test_the_process_ends_with_its_owner_however_that_ends() -> None:
    code = """
    import time
    from walkies.robots import PUPPER
    from walkies.sim import make_simulator
    made = make_simulator("newton", PUPPER)
    print(made._newton._process.pid, flush=True)
    time.sleep(60)
    """
    owner = subprocess.Popen(
        child.python("-c", textwrap.dedent(code)), env=child.environment(), stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert processes.running([pid])
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    processes.awaited(lambda: not processes.running([pid]), seconds=5.0)


@installed
def test_it_ends_when_its_simulator_is_forgotten() -> None:
    made = NewtonSimulator(load_model(PUPPER, own_contacts=False, visuals=False))
    process = made._newton._process
    del made
    assert process.poll() is not None


@installed
def test_the_states_it_is_given_are_the_states_it_has() -> None:
    """Conventions of the two, there and back: a step of nearly no time changes nothing."""
    model = load_model(PUPPER, own_contacts=False, visuals=False)
    model.opt.timestep = 1e-9
    made = NewtonSimulator(model)
    rng, n = np.random.default_rng(0), 3
    qpos, qvel = np.repeat(laws.pose(1.0), n, axis=0), rng.normal(0, 3, (n, model.nv))
    qpos[:, 3:7] = rng.normal(size=(n, 4))
    qpos[:, 3:7] /= np.linalg.norm(qpos[:, 3:7], axis=1, keepdims=True)
    qpos[:, 7:] += rng.normal(0, 0.1, (n, model.nu))
    params = jax.tree.map(lambda leaf: np.repeat(leaf, n, axis=0), laws.nominal())
    given = made.prepare(params, n)
    out = made.rollout(jax.tree.map(np.asarray, given), qpos, qvel, qpos[:, None, 7:], np.zeros((n, 3)))
    np.testing.assert_allclose(out.qpos[:, 0], qpos, atol=1e-5)
    np.testing.assert_allclose(out.qvel[:, 0], qvel, atol=1e-4)
