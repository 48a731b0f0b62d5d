"""A page runs its own script and nothing else, and what a person has named is text in it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from standing import standing_policy

from walkies.show import page, replay
from walkies.show.margins import Margins
from walkies.show.margins import html as margins_html
from walkies.show.report import Summary, html

HOSTILE = '</pre></title><img src=x onerror="alert(1)"><script>alert(1)</script>\' " &amp; -->'


class Parts(HTMLParser):
    """The elements of a page with their attributes, the content of its scripts and styles, and its policy."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.run: list[tuple[str, str]] = []
        self.policy: dict[str, str] = {}
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(attrs)))
        named = dict(attrs)
        self._within = tag if tag in ("script", "style") and named.get("type") != "application/json" else ""
        if named.get("http-equiv") == "Content-Security-Policy":
            assert self.run == [], "it stands before anything that it rules"
            self.policy = dict(rule.split(" ", 1) for rule in str(named["content"]).split("; "))

    def handle_data(self, data: str) -> None:
        if self._within:
            self.run.append((self._within, data))
            self._within = ""


def source(content: str) -> str:
    """The expression by which a policy lets a script or style run (Content Security Policy Level 3, 8.4)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@pytest.fixture(scope="module")
def motion() -> replay.Trajectory:
    return replay.record(standing_policy(), (replay.Segment(0.1, (0.0, 0.0, 0.0)),))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "curves.png"
    path.write_bytes(b"\x89PNG")
    return path


def compared(name: str, motion: replay.Trajectory, picture: Path) -> str:
    """A page with every piece that pages are made of, as of a comparison, with `name` wherever a person has a say."""
    verdicts = Margins((), (name,), ((name, picture),))
    return page.document(
        name,
        [
            page.table(["", name], [[name, name]]), page.facts([(name, name)]), page.picture(name, picture),
            page.player(motion, name), page.player(motion, f"Replay: {name}"), page.details(name, name),
            margins_html(verdicts, name),
        ],
    )  # fmt: skip


def test_the_policy_knows_the_pages_own_script_and_style_and_no_other(motion: replay.Trajectory, picture: Path) -> None:
    parts = Parts(compared("first", motion, picture))
    assert parts.policy["default-src"] == parts.policy["base-uri"] == parts.policy["form-action"] == "'none'"
    assert parts.policy["img-src"] == "data:"
    kinds = [kind for kind, _ in parts.run]
    assert kinds == ["style", "script", "script"], "the player's once for each replay"
    for kind, content in parts.run:
        assert parts.policy[f"{kind}-src"] == source(content)
        assert parts.policy[f"{kind}-src"] != source(content + " "), "not a byte more"


def test_nothing_in_a_page_needs_more_than_its_policy_lets_it(motion: replay.Trajectory, picture: Path) -> None:
    attributes = [name for _, attrs in Parts(compared("first", motion, picture)).elements for name, _ in attrs]
    assert not [name for name in attributes if name == "style" or name.startswith("on")]
    assert not re.search(r"\.style\b|setAttribute|innerHTML|\beval\b|Function\(", page.bundle(*page.PLAYER))


def test_a_name_is_text_whatever_it_is(motion: replay.Trajectory, picture: Path) -> None:
    """The elements of a page are the same under any name, which stands only in attributes that say what is there."""

    def shape(name: str) -> list[tuple[str, list[str]]]:
        return [(tag, [key for key, _ in attrs]) for tag, attrs in Parts(compared(name, motion, picture)).elements]

    assert shape(HOSTILE) == shape("first")
    assert Parts(page.document("first", [HOSTILE])).run != Parts(page.document("first", [])).run, "unlike raw markup"


def test_a_reports_own_words_are_text(picture: Path) -> None:
    def written(word: str) -> str:
        config, card = {"robot": word, word: [word]}, None
        return html(Summary(word, config, {"python": word}, {"steps": 1.0}, card, word), {word: picture}, None)

    def tags(word: str) -> list[str]:
        return [tag for tag, _ in Parts(written(word)).elements]

    assert tags(HOSTILE) == tags("pupper")
    assert "<img src=x" not in written(HOSTILE) and "&lt;img src=x" in written(HOSTILE)
