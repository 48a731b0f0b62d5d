"""`walkies share` writes one file: small, of no other place, in which what people have named is text."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_page import HOSTILE, Parts, source

from made_policies import tiny
from walkies import cli, robots
from walkies.deploy import policy_file
from walkies.deploy.policy_file import Layer
from walkies.errors import UserError
from walkies.show import page
from walkies.show.share import wasm
from walkies.show.share.command import MAX_BYTES, SCRIPT, html

WALKER = Path(__file__).parents[1] / "browser" / "walker.json"


@pytest.fixture(scope="module")
def text() -> str:
    return html(policy_file.read(WALKER), robots.get_robot("pupper"), HOSTILE)


def test_a_run_becomes_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(WALKER, tmp_path / "policy.json")
    assert cli.run(["share", str(tmp_path)]) == 0
    written = tmp_path / "share.html"
    assert f"{written}: pupper in one file of" in capsys.readouterr().out
    assert 1e6 < written.stat().st_size <= MAX_BYTES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.json", "share.html"]
    assert cli.run(["share", str(tmp_path), "--out", str(tmp_path)]) == cli.USER_ERROR


@pytest.mark.parametrize("name", robots.names())
def test_every_robot_that_walkies_brings_along_fits(name: str) -> None:
    robot = robots.get_robot(name)
    assert len(html(tiny(robot), robot, name).encode()) <= MAX_BYTES


def test_a_network_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = policy_file.read(WALKER)
    wide = 1 << 15
    layers = (
        Layer(np.zeros((given.observation_size, wide)), np.zeros(wide), "elu"),
        Layer(np.zeros((wide, given.num_joints)), np.zeros(given.num_joints), "tanh"),
    )
    large = replace(given, layers=layers)
    monkeypatch.setattr(policy_file, "read", lambda path: large)
    assert cli.run(["share", str(WALKER), "--out", str(tmp_path / "a.html")]) == cli.USER_ERROR
    assert "more than 8; its network has" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


def test_the_page_runs_its_own_script_and_loads_nothing(text: str) -> None:
    parts = Parts(text)
    assert [kind for kind, _ in parts.run] == ["style", "script"]
    (_, style), (_, script) = parts.run
    assert parts.policy["default-src"] == parts.policy["base-uri"] == parts.policy["form-action"] == "'none'"
    assert parts.policy["script-src"] == f"{source(script)} 'wasm-unsafe-eval'"
    assert parts.policy["style-src"] == source(style)
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|WebSocket|\bimport\b[ (]", text)
    assert not re.search(r"innerHTML|\beval\(|Function\(", page.bundle(*SCRIPT))
    assert "wasm" not in Parts(page.document("another page", [])).policy["script-src"], "no other page may compile"


def test_a_name_is_text_whatever_it_is(text: str) -> None:
    given, robot = policy_file.read(WALKER), robots.get_robot("pupper")

    def tags(content: str) -> list[Any]:
        return [(tag, [key for key, _ in attrs]) for tag, attrs in Parts(content).elements]

    assert tags(text) == tags(html(given, robot, "first"))
    assert page.embedded([HOSTILE]).count("<") == 0 and json.loads(page.embedded([HOSTILE])) == [HOSTILE]


def test_an_installation_without_the_engine_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, native = tmp_path / "engine.wasm", tmp_path / "native"
    with pytest.raises(UserError, match=r"not in this installation.*expected .*engine\.wasm.*make wheel"):
        wasm.engine_wasm(engine, native)
    for folder in ("common", "engine", "wasm"):
        (native / folder).mkdir(parents=True)
    (native / wasm.BUILD).write_text('import sys\nopen(sys.argv[1], "w").write("built")\n')
    with monkeypatch.context() as without:
        without.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(UserError, match="ziglang"):
            wasm.engine_wasm(engine, native)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert wasm.engine_wasm(engine, native) == b"built"
    engine.write_text("kept")
    os.utime(native / wasm.BUILD, (1, 1))
    assert wasm.engine_wasm(engine, native) == b"kept", "as long as its source is older"
    later = engine.stat().st_mtime + 10
    os.utime(native / wasm.BUILD, (later, later))
    assert wasm.engine_wasm(engine, native) == b"built", "and built again after a change"
    (native / wasm.BUILD).write_text('raise SystemExit("no space left")\n')
    os.utime(native / wasm.BUILD, (later + 10, later + 10))
    with pytest.raises(UserError, match=r"not built.*no space left"):
        wasm.engine_wasm(engine, native)
