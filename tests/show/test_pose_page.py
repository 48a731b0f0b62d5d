"""`walkies robot view`: its page is told what MuJoCo says, only the page is answered, and only poses are saved."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from made_robots import make
from walkies import robots
from walkies.robots import folders, get_robot, load_model
from walkies.robots.folders import RECORD, ZOO
from walkies.robots.reading.infer import add
from walkies.show import pose_page
from walkies.show.pose_page import LONGEST_MESSAGE, Poser
from walkies.show.pose_page.server import FILES, LARGEST_FRAME, STATIC, PoseServer
from walkies.show.viewer.access import LOOPBACK
from walkies.show.viewer.listener import listen


def show(poser: Poser, pose: Any) -> dict[str, Any]:
    return poser.answer(json.dumps({"show": pose}))


def shaken(robot: robots.Robot, seed: int, size: float = 0.3) -> dict[str, float]:
    """A pose about the default one, within the limits."""
    angles = robot.default_pose + np.random.default_rng(seed).normal(0, size, robot.num_joints)
    clipped = np.clip(angles, robot.lower_limits, robot.upper_limits)
    return dict(zip(robot.joint_names, clipped.tolist(), strict=True))


def points(name: str, pose: dict[str, float], height: float) -> dict[str, np.ndarray]:
    """(3,) of every named sphere of a robot, as MuJoCo has it with the base that high, and (3, 3) of its axes."""
    model = load_model(get_robot(name), visuals=False)
    data = mujoco.MjData(model)
    data.qpos[:7] = [0, 0, height, 1, 0, 0, 0]
    for joint, angle in pose.items():
        data.joint(joint).qpos = angle
    mujoco.mj_forward(model, data)
    robot = get_robot(name)
    spheres = (*robot.foot_geoms, *robot.knee_geoms, *robot.torso_geoms)
    return {one: np.vstack([data.geom(one).xpos, data.geom(one).xmat.reshape(3, 3)]) for one in spheres}


@pytest.mark.parametrize("name", ["pupper", "made", *folders.names()])
def test_what_is_drawn_is_mujocos(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spheres by their roles, joints and centre of mass, of robots of any size. Control: one joint otherwise."""
    monkeypatch.setitem(robots.ROBOTS, "made", make(tmp_path, 6, 5))
    poser = Poser(name)
    pose = shaken(poser.robot, 3)
    told, hello = show(poser, pose)["shown"], poser.hello()
    height = 0.0
    order = [poser.model.geom(geom).name for geom in poser.drawn]
    for places in (told, show(poser, pose | {poser.robot.joint_names[0]: poser.robot.default_pose[0]})["shown"]):
        feet = [places["places"][order.index(foot)] for foot in poser.robot.foot_geoms]
        height = min(z for _, _, z in feet) - poser.model.geom(poser.robot.foot_geoms[0]).size[0]
        assert height == pytest.approx(0.0, abs=2e-5), "the lowest foot touches the ground"
        expected = points(name, pose, places["lines"][0][0][2])
        frames = {one: (places["places"][i], *np.reshape(places["turns"][i], (3, 3))) for i, one in enumerate(order)}
        off = max(float(np.abs(frames[one] - there).max()) for one, there in expected.items())
        assert (off < 2e-5) == (places is told)
    roles = {
        role: {order[i] for i, one in enumerate(hello["shapes"]) if one["role"] == role} for role in hello["colours"]
    }
    assert (roles["feet"], roles["knees"]) == (set(poser.robot.foot_geoms), set(poser.robot.knee_geoms))
    assert roles["torso"] == set(poser.robot.torso_geoms)
    assert len(told["joints"]) == len(told["loads"]) == len(hello["joints"]) == poser.robot.num_joints
    assert sorted(joint for _, group in hello["groups"] for joint in group) == list(range(poser.robot.num_joints))
    json.dumps([told, hello], allow_nan=False)


def test_the_facts_of_a_pose_say_what_is_wrong_with_it() -> None:
    """Control: nothing is wrong with the default pose of any robot."""
    for name in robots.names():
        poser = Poser(name)
        told = show(poser, dict(zip(poser.robot.joint_names, poser.robot.default_pose, strict=True)))["shown"]
        assert [fact for fact in told["facts"] if not fact[2]] == [], name
        assert all(well for _, well in told["loads"])
    poser = Poser("go")
    pose = dict(zip(poser.robot.joint_names, poser.robot.default_pose, strict=True))
    for leg in poser.robot.legs[:2]:
        pose[poser.robot.joint_names[leg[1]]] += 0.6
    wrong = {name for name, _, well in show(poser, pose)["shown"]["facts"] if not well}
    assert {"centre of mass", "front left foot", "front right foot"} <= wrong


def test_mirrored_joints_are_told_with_their_sense() -> None:
    """In the default pose, which is symmetric, a joint's image stands where the page would put it."""
    for name in robots.names():
        joints = Poser(name).hello()["joints"]
        for joint in joints:
            image = joints[joint["mirror"]]
            assert image["pose"] == pytest.approx(image["turns"] * joint["pose"], abs=1e-3), (name, joint["name"])


GARBAGE = {
    "no JSON": "show",
    "a list": "[1]",
    "nothing": "{}",
    "two at once": '{"show": {}, "save": {}}',
    "another word": '{"path": "robots/mine"}',
    "no pose": '{"save": 1}',
    "no number": '{"save": {"a": NaN}}',
    "named twice": '{"save": {"a": 1, "a": 1}}',
    "deep": '{"save":' + "[" * 50_000,
    "long": '{"save": {"' + "a" * LONGEST_MESSAGE + '": 1}}',
    "bytes": b'{"show": {}}',
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_message_that_is_none_is_refused(garbage: str) -> None:
    """Control: a pose, and one with an angle beyond its joint's limits."""
    poser = Poser("go")
    assert set(poser.answer(GARBAGE[garbage])) == {"refused"}
    pose = shaken(poser.robot, 1)
    assert set(show(poser, pose)) == {"shown"}
    joint = poser.robot.joint_names[4]
    assert "within its limits" in show(poser, pose | {joint: poser.robot.upper_limits[4] + 1e-9})["refused"]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PoseServer]:
    """The page of a robot of the working folder."""
    monkeypatch.chdir(tmp_path)
    add(ZOO / "servo-dog" / "model.xml", "mine")
    yield from serve("mine")


@pytest.fixture
def zoo_served() -> Iterator[PoseServer]:
    """The page of one that comes with walkies."""
    yield from serve("go")


def serve(name: str) -> Iterator[PoseServer]:
    poser = Poser(name)
    server = PoseServer(poser.hello, poser.answer, listen(port=0))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert server.ready.wait(10)
    yield server
    server.stop()
    thread.join(10)
    assert not thread.is_alive()


def get(
    server: PoseServer, path: str, host: str | None = None, method: str = "GET"
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of an answer."""
    connection = http.client.HTTPConnection(LOOPBACK, server.listener.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"{LOOPBACK}:{server.listener.port}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, dict(answer.getheaders())


def pose_socket(server: PoseServer, path: str = "/pose", **options: Any) -> ClientConnection:
    return connect(f"ws://{LOOPBACK}:{server.listener.port}{path}", proxy=None, **options)


def test_it_serves_its_page_under_its_policy_and_nothing_beside_it(zoo_served: PoseServer) -> None:
    status, body, headers = get(zoo_served, "/?x=1")
    assert status == 200 and body == (STATIC / "index.html").read_bytes()
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    for name in re.findall(r'(?:src|href)="([^"]+)"', body.decode()):
        assert get(zoo_served, f"/{name}")[0] == 200
    assert set(FILES) == {"/", "/index.html", "/pose.css", "/pose.js", "/drawing.js", "/icon.svg"}
    for path in ("/server.py", "/../server.py", "/%2e%2e/server.py", "//pose.js", "/robots/go/robot.toml", "/pose"):
        assert get(zoo_served, path)[0] == 404, path
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        get(zoo_served, "/", method="POST")


def test_the_page_needs_no_more_than_its_policy_lets_it() -> None:
    """No script or style stands in the page itself."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>([^<]*)", page) == [""]
    assert "<style" not in page and not re.search(r"\s(style|on\w+)=", page)
    assert not any("innerHTML" in path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))


@pytest.mark.parametrize(("host", "origin"), [("evil.example", None), (None, "http://evil.example"), (None, "null")])
def test_a_page_from_elsewhere_can_neither_read_nor_save(served: PoseServer, host: str, origin: str) -> None:
    """Control: the page itself."""
    here = f"{LOOPBACK}:{served.listener.port}"
    if host:
        assert get(served, "/", host=host)[0] == 403
    with pytest.raises(InvalidStatus, match="403"), socket.create_connection((LOOPBACK, served.listener.port)) as raw:
        connect(f"ws://{host or here}/pose", proxy=None, origin=origin, sock=raw)
    with pose_socket(served, origin=f"http://{here}") as page:
        assert json.loads(page.recv(timeout=5))["robot"] == "mine"
    with pytest.raises(InvalidStatus, match="404"):
        pose_socket(served, "/drive")


def test_a_page_saves_a_pose_and_the_next_page_shows_it(served: PoseServer) -> None:
    """Whatever else comes between is refused in words, and the socket stays."""
    robot = get_robot("mine")
    wanted = {name: round(angle, 4) for name, angle in shaken(robot, 5, 0.05).items()}
    with pose_socket(served) as page:
        hello = json.loads(page.recv(timeout=5))
        assert [joint["pose"] for joint in hello["joints"]] == list(robot.default_pose) and hello["instead"] == ""
        for message in ("x", b"\xff", json.dumps({"save": {"hip": 0}})):
            page.send(message)
            assert set(json.loads(page.recv(timeout=5))) == {"refused"}
        assert get_robot("mine") == robot
        page.send(json.dumps({"save": wanted}))
        said = json.loads(page.recv(timeout=10))["saved"]
    now = get_robot("mine")
    assert dict(zip(now.joint_names, now.default_pose, strict=True)) == wanted
    assert str(Path("robots/mine") / RECORD) in said[0] and any("standing_height" in line for line in said)
    with pose_socket(served) as page:
        assert [joint["pose"] for joint in json.loads(page.recv(timeout=5))["joints"]] == list(now.default_pose)


def test_a_robot_of_the_zoo_is_not_saved_and_the_page_says_what_to_do(zoo_served: PoseServer) -> None:
    path = ZOO / "go" / RECORD
    before = path.read_bytes()
    with pose_socket(zoo_served) as page:
        hello = json.loads(page.recv(timeout=5))
        page.send(json.dumps({"save": shaken(get_robot("go"), 5)}))
        refused = json.loads(page.recv(timeout=10))["refused"]
    assert refused == hello["instead"] and f"walkies robot add {ZOO / 'go' / 'model.xml'}" in refused
    assert path.read_bytes() == before


def test_a_robot_whose_record_was_damaged_meanwhile_is_told(served: PoseServer) -> None:
    path = Path("robots/mine") / RECORD
    path.write_text(path.read_text().replace("[commands]", "[commands"))
    with pose_socket(served) as page:
        assert "is not TOML" in json.loads(page.recv(timeout=5))["refused"]


def test_a_flood_in_one_message_closes_the_socket(zoo_served: PoseServer) -> None:
    with pose_socket(zoo_served) as page:
        page.recv(timeout=5)
        with pytest.raises(ConnectionClosed):
            page.send("x" * (LARGEST_FRAME + 1))
            page.recv(timeout=5)
    with pose_socket(zoo_served) as page:
        assert page.recv(timeout=5)


def test_the_command_serves_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(pose_page, "has_screen", lambda: True)
    monkeypatch.setattr(pose_page.webbrowser, "open", opened.append)
    monkeypatch.setattr(PoseServer, "run", lambda server: server.listener.close())
    pose_page.command("go", port=0, open=False)
    said = capsys.readouterr().out
    assert said.startswith(f"http://{LOOPBACK}:") and opened == []
    pose_page.command("go", port=0)
    assert opened and opened[0] in capsys.readouterr().out
