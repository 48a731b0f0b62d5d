"""A real browser and a robot to drive in it.

These tests need Chromium and Playwright, and draw 3-D in software. They have a command of their own, `make
test-browser`, and where something is missing they fail and say what; they are never skipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import FLAGS, NAME, POLICY, Page, Program, browser_path, free_port


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise RuntimeError("Playwright is missing; `make test-browser` installs it (extra `browser`)") from error
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Page]]:
    """Opens pages, and closes them at the end."""
    pages: list[Page] = []

    def opened(**options: Any) -> Page:
        pages.append(Page(browser, **options))
        return pages[-1]

    yield opened
    for page in pages:
        page.page.close()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two policies: one that has learned nothing and stands, and one that walks. Its name is markup."""
    folder = tmp_path_factory.mktemp("runs") / NAME
    (folder / "stages").mkdir(parents=True)
    shutil.copy(POLICY, folder / "policy.json")
    lazy = json.loads(POLICY.read_text())
    weights, bias = lazy["layers"][-1]["weights"]
    lazy["layers"][-1]["weights"] = [[[0.0] * len(row) for row in weights], [0.0] * len(bias)]
    (folder / "stages" / "000000012288.json").write_text(json.dumps(lazy))
    return folder


@pytest.fixture(scope="session")
def player(run_folder: Path) -> Iterator[Program]:
    """`walkies play` on that run."""
    program = Program("play", str(run_folder), "--no-open", "--port", str(free_port()))
    yield program
    program.stop()
