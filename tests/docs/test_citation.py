"""What CITATION.cff says is what pyproject.toml and the package say; the Dockerfile names what is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import walkies
from walkies.show.rendering.gl import GL_PACKAGES

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def fields(text: str) -> dict[str, str]:
    """The plain fields of a citation file."""
    return dict(re.findall(r"^([a-z-]+): (.+)$", text, re.M))


def disagreements(text: str) -> list[str]:
    """Fields in which a citation file is not what the project says."""
    said = fields(text)
    expected = {
        "cff-version": "1.2.0",
        "title": PROJECT["name"],
        "version": PROJECT["version"],
        "license": PROJECT["license"],
        "abstract": PROJECT["description"],
    }
    return [name for name, value in expected.items() if said.get(name) != value]


def test_the_citation_is_of_this_version() -> None:
    assert disagreements(CITATION) == []
    assert PROJECT["version"] == walkies.__version__
    assert {"message", "type"} <= set(fields(CITATION)) and "authors:\n  - name: The walkies developers\n" in CITATION


@pytest.mark.parametrize("field", ["title", "version", "license", "abstract"])
def test_a_citation_that_was_left_behind_is_noticed(field: str) -> None:
    """Control of the test above."""
    assert disagreements(re.sub(rf"^{field}: .*$", f"{field}: other", CITATION, flags=re.M)) == [field]


def test_the_image_has_what_ci_and_the_errors_ask_for() -> None:
    """The libraries that draw without a screen, a user who is not root, and targets that the Makefile has."""
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert GL_PACKAGES in dockerfile and GL_PACKAGES in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    used = re.findall(r'make (\w+)$|"make", "(\w+)"', dockerfile, re.M)
    assert used and {a or b for a, b in used} <= set(targets)
    assert dockerfile.index("USER walker") < dockerfile.index("make setup")
