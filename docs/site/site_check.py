"""Is a built site whole, and readable without a network?

Every link and anchor within it leads somewhere, and no page or style sheet loads anything from elsewhere. Links that a
reader follows may lead anywhere; they are not tried.

    python docs/site/site_check.py build/site
"""

from __future__ import annotations

import posixpath
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADS = {
    "script": ("src",),
    "link": ("href",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "track": ("src",),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
"""Attributes that a browser loads without being asked."""
NOT_LOADED = {"canonical", "prev", "next", "alternate", "license", "author"}
"""What a `link` may be that loads nothing."""
IN_STYLES = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


class Page(HTMLParser):
    """What a page loads, where it leads, and which anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.anchors: set[str] = set()
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        self._in_style = tag == "style"
        self.loads += styled(given.get("style", ""))
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        if tag == "link" and set(given.get("rel", "").split()) & NOT_LOADED:
            self.leads.append(given.get("href", ""))
            return
        for name in LOADS.get(tag, ()):
            if name == "srcset":
                self.loads += [part.split()[0] for part in given.get(name, "").split(",") if part.strip()]
            elif name in given:
                self.loads.append(given[name])

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loads += styled(data)


def styled(text: str) -> list[str]:
    """What a style sheet loads."""
    return [a or b for a, b in IN_STYLES.findall(text)]


def elsewhere(url: str) -> bool:
    """Whether a URL leads off the site."""
    parts = urlsplit(url)
    return bool(parts.netloc) or parts.scheme not in ("", "data", "javascript")


def faults(site: Path) -> list[str]:
    """What is wrong with the site in a folder, a sentence each."""
    found = []
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    loads = {path: page.loads for path, page in pages.items()}
    loads |= {path: styled(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.css"))}
    for path, urls in loads.items():
        found += [f"{path.relative_to(site)} loads {url}" for url in urls if elsewhere(url)]
        found += dead(site, pages, path, [url for url in urls if not elsewhere(url)])
    for path, page in pages.items():
        found += dead(site, pages, path, [url for url in page.leads if not elsewhere(url)])
    return sorted(set(found))


def dead(site: Path, pages: dict[Path, Page], path: Path, urls: list[str]) -> list[str]:
    """Of URLs within the site, those of the page or style sheet `path` that lead nowhere."""
    found = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme:
            continue  # data:, javascript:
        name = f"{path.relative_to(site)}: {url}"
        relative = posixpath.normpath(posixpath.join(path.parent.as_posix(), unquote(parts.path)))
        target = Path(relative) if parts.path else path
        if parts.path.startswith("/") or not target.is_file():
            found.append(f"{name} leads nowhere")
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            found.append(f"{name} has no such anchor")
    return found


def main() -> int:
    """Print what is wrong with the site that the command line names."""
    site = Path(sys.argv[1]).resolve()
    pages = len(list(site.rglob("*.html")))
    found = faults(site)
    print("\n".join([*found, f"{site.name}: {pages} pages, {len(found)} faults"]))
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
