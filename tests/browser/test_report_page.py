"""The report of a run in a real browser: it opens from the disk, and its replay plays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from browsing import POLICY, Page, until

from walkies.deploy import policy_file
from walkies.show import page as pages
from walkies.show import replay, report


def test_the_reports_replay_plays_from_the_disk(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    script = (replay.Segment(0.5, (0.0, 0.0, 0.0)), replay.Segment(2.5, (0.5, 0.0, 0.0)))
    motion = replay.record(policy_file.read(POLICY), script)
    summary = report.Summary(
        "<b onclick=alert(1)>pupper-0", {"robot": "pupper"}, {}, {"steps": 1e6}, None, "walkies train pupper"
    )
    path = tmp_path / "report.html"
    path.write_text(report.html(summary, {}, motion), encoding="utf-8")

    page = open_page()
    requests: list[str] = []
    page.page.on("request", lambda request: requests.append(request.url))
    page.page.goto(path.as_uri())
    canvas = page.page.locator(".player canvas")
    shown = canvas.evaluate_handle("canvas => canvas.dataset")

    def time() -> float:
        return float(shown.evaluate("data => data.time || -1"))

    until(lambda: time() > 0.2, 60, "the replay runs")
    words = page.page.inner_text(".player .command")
    assert words in ("stand still", "forward 0.50 m/s")
    page.page.click(".player button")
    paused = time()
    still = canvas.screenshot()
    page.page.wait_for_timeout(500)
    assert abs(time() - paused) < 0.05, "it pauses"
    page.page.locator(".player input").fill("900")
    until(lambda: abs(time() - 0.9 * 2.96) < 0.1, 10, "the slider moves it")
    assert page.page.inner_text(".player .command") == "forward 0.50 m/s"
    assert canvas.screenshot() != still, "another time is another picture"
    page.picture("report")
    assert page.complaints == [], "nor does it ask for what its Content-Security-Policy forbids"
    assert page.page.inner_text("h1") == "Run <b onclick=alert(1)>pupper-0"
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == [], "it needs no network"


def test_a_script_that_was_smuggled_into_a_page_does_not_run(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    path = tmp_path / "page.html"
    smuggled = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"
    path.write_text(pages.document("a page", [smuggled]), encoding="utf-8")
    page = open_page()
    page.page.goto(path.as_uri())
    until(lambda: len(page.complaints) >= 2, 30, "the browser says what it refused")
    assert page.page.title() == "a page"
    path.write_text(path.read_text(encoding="utf-8").replace("Content-Security-Policy", "nothing"), encoding="utf-8")
    page.page.goto(path.as_uri())
    assert page.page.title() == "run", "but for the policy it would have"
