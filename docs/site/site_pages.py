"""Writes the pages of the site, in `build/pages`, from those of the repository; `make docs` then builds the site.

Pages link to each other, to source files and to folders as the repository has them. Here the pages outside `docs/` and
the notebook become pages of the site, every source file that is linked becomes a page with its code, every folder that
is linked a list of its files, and links go there. A link whose text is a name, [`gae`](…/advantages.py), goes to the
line that defines it. Equations become MathML, which browsers draw without JavaScript.

    python docs/site/site_pages.py
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "build" / "pages"
NOTEBOOK = "docs/first_walk.ipynb"
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
    NOTEBOOK: "first_walk.md",
}
"""Files whose place on the site is another than in docs/."""
SOURCE = "source"
"""Folder of the site for files and folders that are shown as pages."""
SHOWN = (".py", ".xml", ".toml", ".txt", "LICENSE", "Dockerfile", "Makefile", ".cff")
"""Ends of the names of files that become pages."""
LINK = re.compile(r"(?P<before>!?\[(?P<text>[^\]]*)\]\()(?P<target>[^)\s#]+)?(?P<anchor>#[^)\s]*)?\)")
FENCED = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)[ \t]*$", re.M | re.S)
VERBATIM = re.compile(rf"{FENCED.pattern}|(?P<span>(?<!`)`+(?!`)).*?(?P=span)(?!`)", re.M | re.S)
"""Code, in blocks and in spans."""
MATH = re.compile(r"\$\$(?P<alone>.+?)\$\$|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$]*[^\s$])?)\$(?!\w)", re.S)
"""Equations: between two dollars each, or within a sentence between one each."""
INTERACTIVE = re.compile(r"^<!-- interactive: (?P<name>\w+) -->$", re.M)
"""The place of an interactive picture, in Markdown an invisible comment; docs/lecture/interactive.js draws there."""
PLACE = r'<div class="interactive" data-figure="\g<name>"></div>'
"""What becomes of it."""
FONT = "STIXTwoMath-Regular.ttf"
"""The font of equations, under the SIL Open Font License; the package ziamath brings it."""


class Link(NamedTuple):
    """A link of a page, as the repository has it."""

    text: str
    path: str
    """What it leads to, from the root of the repository; of a link within its page, the page."""
    anchor: str


def origin(page: str) -> str:
    """Where a page of the site comes from, from the root of the repository."""
    back = {new: old for old, new in MOVED.items()}
    return back.get(page, f"docs/{page}")


def links(text: str, at: str) -> Iterator[Link]:
    """Links that stay in the repository, of the page that is the file `at`."""
    for match in LINK.finditer(FENCED.sub("", text)):
        target = match["target"] or ""
        if "://" not in target and not target.startswith("mailto:"):
            path = posixpath.normpath(posixpath.join(posixpath.dirname(at), target)) if target else at
            yield Link(match["text"], path, match["anchor"] or "")


def place(path: str) -> str | None:
    """Where the site has the file or folder `path` of the repository, or None where it has no such thing."""
    if path in MOVED:
        return MOVED[path]
    file = ROOT / path
    if file.is_dir() or (file.is_file() and file.name.endswith(SHOWN)):
        return f"{SOURCE}/{path}.md"
    if file.is_file() and path.startswith("docs/"):
        return path.removeprefix("docs/")
    return None


def rewritten(text: str, page: str, complain: Callable[[str], None]) -> str:
    """The Markdown of a page of the site with every link where the site has its target.

    complain: called with a sentence about each link that leads nowhere.
    """
    at = origin(page)

    def moved(match: re.Match[str]) -> str:
        found = list(links(match[0], at))
        if not found or not match["target"]:
            return match[0]
        (link,) = found
        new = place(link.path)
        if new is None:
            complain(f"{at}: nothing is at {match['target']}, or nothing that the site shows")
            return match[0]
        anchor = link.anchor or _line_of(link)
        return f"{match['before']}{posixpath.relpath(new, posixpath.dirname(page) or '.')}{anchor})"

    return outside(FENCED, text, lambda prose: LINK.sub(moved, prose))


def outside(code: re.Pattern[str], text: str, change: Callable[[str], str]) -> str:
    """`text` with a change made to all but what `code` matches."""
    parts, end = [], 0
    for block in code.finditer(text):
        parts += [change(text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, change(text[end:])])


def _line_of(link: Link) -> str:
    """The anchor of the line that defines the name which is the link's text; empty where it is no such name."""
    name = link.text.strip("`")
    if not link.path.endswith(".py") or not link.text.startswith("`"):
        return ""
    for node in ast.walk(ast.parse((ROOT / link.path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return f"#__codelineno-0-{node.lineno}"
        if isinstance(node, ast.Assign | ast.AnnAssign):
            names = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == name for target in names):
                return f"#__codelineno-0-{node.lineno}"
    return ""


def notebook_page(content: str) -> str:
    """A notebook as Markdown: its cells in order."""
    cells = []
    for cell in json.loads(content)["cells"]:
        source = "".join(cell["source"])
        cells.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
    return "\n\n".join(cells) + "\n"


def source_page(path: str) -> str:
    """A file or folder of the repository as a page that the search leaves out."""
    file = ROOT / path
    head = f"---\nsearch:\n  exclude: true\nhide: [navigation, toc]\n---\n\n# `{path}`\n\n"
    if file.is_dir():
        site = f"{SOURCE}/{path}.md"
        names = sorted(inner.name for inner in file.iterdir() if inner.is_file())
        listed = [(name, place(f"{path}/{name}")) for name in names]
        return head + "\n".join(
            f"- [{name}]({posixpath.relpath(new, posixpath.dirname(site))})" for name, new in listed if new
        )
    language = "python" if path.endswith(".py") else "text"
    code = file.read_text(encoding="utf-8")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", code)), 3)
    return f"{head}{fence}{language}\n{code}{fence}\n"


def with_mathml(text: str, convert: Callable[[str, bool], str]) -> str:
    """Markdown with its equations as MathML. convert: (LaTeX, whether it stands alone) → MathML."""

    def drawn(match: re.Match[str]) -> str:
        drawing = convert((match["alone"] or match["inline"]).strip(), match["alone"] is not None)
        drawing = re.sub(r"[*_`|\\\[\]]", lambda mark: f"&#{ord(mark[0])};", drawing)  # nothing of it is Markdown
        # A line that began with <math> would be a block of its own.
        return drawing if match["alone"] else f"<span>{drawing}</span>"

    return outside(VERBATIM, text, lambda prose: MATH.sub(drawn, prose))


def pages(complain: Callable[[str], None], convert: Callable[[str, bool], str]) -> dict[str, str]:
    """Every page of the site: its path there, and its Markdown. Arguments as in `rewritten` and `with_mathml`."""
    docs = sorted((ROOT / "docs").rglob("*.md"))
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in docs}
    for path in MOVED:
        content = (ROOT / path).read_text(encoding="utf-8")
        texts[path] = notebook_page(content) if path.endswith(".ipynb") else content
    found, linked = {}, set()
    for path, text in texts.items():
        page = place(path)
        assert page is not None
        linked |= {link.path for link in links(text, path)}
        text = INTERACTIVE.sub(PLACE, text)
        found[page] = with_mathml(rewritten(text, page, complain), convert)
    notebook = MOVED[NOTEBOOK]
    title, _, rest = found[notebook].partition("\n")
    name = posixpath.basename(NOTEBOOK)
    found[notebook] = f"{title}\n\n*This page is the notebook [{name}]({name}).*\n{rest}"
    return found | {page: source_page(path) for path in linked if (page := place(path)) == f"{SOURCE}/{path}.md"}


def main() -> int:
    """Write the pages, and the files beside them that they show."""
    import ziamath
    from math_core import LatexToMathML

    converter = LatexToMathML()
    wrong: list[str] = []
    made = pages(wrong.append, lambda tex, alone: converter.convert_with_local_state(tex, displaystyle=alone))
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("*.py", "*.md", "__pycache__"))
    shutil.copy(Path(ziamath.__file__).parent / "fonts" / FONT, PAGES / "site" / FONT)
    for page, text in made.items():
        (PAGES / page).parent.mkdir(parents=True, exist_ok=True)
        (PAGES / page).write_text(text, encoding="utf-8")
    print("\n".join([*wrong, f"{len(made)} pages in {PAGES.relative_to(ROOT)}"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
