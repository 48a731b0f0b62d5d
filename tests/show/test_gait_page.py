"""The page of a gait: self-contained, with the tables' numbers, and with a script that draws."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from test_page import HOSTILE, Parts, source

from walkies import cli
from walkies.robots import get_robot
from walkies.show import gait_page
from walkies.tasks.gait.generator import LIFT, TROT
from walkies.tasks.gait.kinematics import Legs
from walkies.tasks.gait.task import GaitConfig, reference

ROBOT = get_robot("pupper")
REFERENCE = reference(GaitConfig(tables="trot-lift"), ROBOT)
STUB = """
const drawn = [];
const context = new Proxy({}, { get: (_, name) => (...values) => drawn.push([name, ...values]), set: () => true });
const listeners = {};
const element = (name) => ({ clientWidth: 400, clientHeight: 300, width: 0, height: 0, checked: false,
  value: name === ".speed" ? "1" : "0", textContent: name === ".scene" ? DATA : "", getContext: () => context,
  addEventListener: (event, call) => { listeners[name + " " + event] = call; } });
const parts = {};
const section = { querySelector: (name) => (parts[name] ??= element(name)) };
globalThis.document = { currentScript: { parentElement: section }, documentElement: {} };
globalThis.window = { devicePixelRatio: 1, addEventListener: () => {}, matchMedia: () => ({ matches: false }) };
globalThis.getComputedStyle = () => ({ getPropertyValue: () => "#123456" });
const frames = [];
globalThis.requestAnimationFrame = (call) => frames.push(call);
"""
"""As much of a browser as the script asks for; it writes down what is drawn."""
PLAY = """
const numbers = () => drawn.flat().filter((value) => typeof value === "number");
const first = numbers();
frames.shift()(0); frames.shift()(100);
const later = parts["output"].textContent;
listeners[".table change"]({}); parts[".table"].value = "1"; listeners[".table change"]({});
console.log(JSON.stringify({ drawn: first.length, finite: numbers().every(Number.isFinite), later }));
"""


def built(title: str = "Gait: trot", note: str = "a note") -> str:
    return gait_page.document(title, ROBOT, REFERENCE, {"trot": TROT, "lift": LIFT}, [note])


def scene(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" class="scene">(.*?)</script>', text).group(1))


def test_the_page_holds_the_tables_and_where_they_bring_the_feet():
    content, legs = scene(built()), Legs(ROBOT)
    assert [table["name"] for table in content["tables"]] == ["trot", "lift"]
    for table, rows in zip(content["tables"], (REFERENCE.trot_table, REFERENCE.lift_table), strict=True):
        np.testing.assert_allclose(table["angles"], rows, atol=6e-5)
        feet = np.array(table["points"])[37, :, -1]
        np.testing.assert_allclose(feet, legs.feet(rows[37]), atol=6e-5)
        assert np.array(table["ground"]).shape == (100, 4)
    assert "stride 0.1 m" in built() and "touchdown 0 0.5 0.5 0" in built() and "0.225 m/s" in built()


def test_the_page_loads_nothing_and_runs_its_own_script_alone():
    parts = Parts(built())
    assert parts.policy["default-src"] == "'none'"
    for kind, content in parts.run:
        assert parts.policy[f"{kind}-src"] == source(content)
    assert not re.search(r"https?://|//cdn|@import|url\(", built().replace("<!doctype", ""))
    attributes = [name for _, attrs in parts.elements for name, _ in attrs]
    assert not [name for name in attributes if name in ("src", "href", "style") or name.startswith("on")]


def test_what_people_name_is_text():
    def tags(word: str) -> list[str]:
        return [tag for tag, _ in Parts(built(word, word)).elements]

    assert tags(HOSTILE) == tags("plain") and "<img src=x" not in built(HOSTILE, HOSTILE)


@pytest.mark.parametrize(("fault", "fine"), [("", True), ("const broken = (;", False)])
def test_the_script_draws(tmp_path, fault, fine):
    """In node, on canvases that write down what is drawn; without node its brackets are counted. Control: a script with
    a fault."""
    data = json.dumps(scene(built()))
    path = tmp_path / "page.js"
    script = gait_page.SCRIPT.read_text(encoding="utf-8")
    if shutil.which("node") is None:
        code = re.sub(r"//.*|/\*.*?\*/", "", script + fault)
        assert all(code.count(one) == code.count(other) for one, other in ("()", "[]", "{}")) == fine
        return
    path.write_text(f"const DATA = {json.dumps(data)};\n{STUB}\n{script}\n{fault}\n{PLAY}", encoding="utf-8")
    done = subprocess.run(["node", str(path)], capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == fine, done.stderr
    if fine:
        said = json.loads(done.stdout)
        assert said["drawn"] > 1000 and said["finite"] and said["later"] == "phase 0.15"


def test_the_command_shows_a_design_and_says_how_to_train_with_it(tmp_path, capsys):
    out, save = tmp_path / "lift.html", tmp_path / "lift.json"
    flags = ("--lift.touchdown", "0", "0.5", "0.75", "0.25", "--lift.swing-lift", "0.03")
    assert cli.run(["gait", "stable-gait", *flags, "--out", str(out), "--save", str(save)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "--task.gait.lift.touchdown 0 0.5 0.75 0.25 --task.gait.lift.swing-lift 0.03" in text
    block = json.loads(save.read_text())
    np.testing.assert_allclose(block["trot_table"], REFERENCE.trot_table)
    assert np.abs(np.array(block["lift_table"]) - REFERENCE.lift_table).max() > 0.05, "unlike the example's"
    capsys.readouterr()
    assert cli.run(["gait", "stable-gait", "--lift.stride", "0.5", "--out", str(out)]) == 2
    assert "the gait lift: leg front_r of pupper cannot bring its foot" in capsys.readouterr().err
    assert cli.run(["gait", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert cli.run(["gait", "velocity-fs", "--out", str(out)]) == 0
