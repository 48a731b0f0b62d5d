"""Scripts of our pages, run in Node as the page runs them: several modules in one scope."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from walkies.show import page

NODE = shutil.which("node")


def in_node(folder: Path, modules: tuple[Path, ...], body: str, data: Any) -> Any:
    """What `body`, JavaScript after those modules, returns of `data`; both go there and back as JSON."""
    if NODE is None:  # nobody needs Node to use walkies, so `make test` passes without; `.ci/run` insists on it
        missing = "node is not on the PATH, and these tests run the page's JavaScript in it"
        assert not os.environ.get("WALKIES_NODE"), missing
        pytest.skip(f"{missing}; Debian: apt-get install nodejs")
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "body.js").write_text(
        f"async function run(data) {{{body}\n}}\n"
        'run(JSON.parse(require("fs").readFileSync(process.argv[2]))).then((found) => '
        "process.stdout.write(JSON.stringify(found)));\n"
    )
    (folder / "script.cjs").write_text(page.bundle(*modules, folder / "body.js"))
    done = subprocess.run(
        [NODE, str(folder / "script.cjs"), str(folder / "data.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
