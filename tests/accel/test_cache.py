"""Compiled programs are kept in the user's cache folder, for this processor alone, and never in the way."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from walkies.accel import cache, cpu
from walkies.child import environment, python
from walkies.errors import UserError

CPUINFO = "processor\t: 0\nmodel\t\t: 207\ncpu MHz\t\t: 2100.0\nflags\t\t: fpu avx avx2 avx512f\n\nprocessor\t: 1\n"
PROGRAM = """
import json, collections
from walkies.accel import cache, cpu
cpu.settle_jax()
cache.LEAST_SECONDS = 0.0
cpu.use_cpu(None)
import jax, jax.numpy as jnp, numpy as np
from walkies.accel import random
events = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event.rpartition("/")[2]]))
def drawn(key):
    return jnp.sum(random.uniform(key, (4, 3)))
def calling(x):
    return jax.pure_callback(np.sin, x, x)
told = [float(jax.jit(drawn)(jax.random.key(1))), float(jax.jit(calling)(jnp.float32(1.0)))]
print(json.dumps([told, events["cache_hits"], events["cache_misses"]]))
"""


def compiled(**changes: str) -> tuple[list[float], int, int, str]:
    """Of a process of its own: what it computed, how many programs it read back and how many it kept, and stderr."""
    names = (cache.SWITCH, cache.OWN, "XLA_FLAGS", "TF_CPP_MIN_LOG_LEVEL")
    seen = {name: value for name, value in environment().items() if name not in names} | changes
    done = subprocess.run(python("-c", PROGRAM), env=seen, check=True, capture_output=True, text=True)
    return (*json.loads(done.stdout), done.stderr)


def test_the_second_process_reads_what_the_first_has_compiled(tmp_path):
    """The same numbers, without a word, custom calls of ours included. Control: what calls Python is not kept."""
    told, hits, kept, said = compiled(XDG_CACHE_HOME=str(tmp_path))
    (folder,) = (tmp_path / "walkies").iterdir()
    assert hits == 0 and kept == len(list(folder.glob("*-cache"))) > 0 and said == ""
    assert folder.stat().st_mode & 0o777 == 0o700
    again, hits, kept_again, said = compiled(XDG_CACHE_HOME=str(tmp_path))
    assert (again, hits, kept_again, said) == (told, kept, 0, "")
    names = [file.name.partition("-")[0] for file in folder.glob("*-cache")]
    assert "jit_drawn" in names and "jit_calling" not in names


def test_the_user_decides_where_and_whether(tmp_path):
    own, ours = tmp_path / "own", tmp_path / "ours"
    compiled(XDG_CACHE_HOME=str(ours), JAX_COMPILATION_CACHE_DIR=str(own))
    assert own.is_dir() and not ours.exists()
    _, hits, kept, _ = compiled(XDG_CACHE_HOME=str(ours), WALKIES_CACHE="0")
    assert (hits, kept) == (0, 0) and not ours.exists()


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "walkies").write_text("a file in the way")
    _, hits, kept, said = compiled(XDG_CACHE_HOME=str(tmp_path))
    assert (hits, kept, said) == (0, 0, "")


def test_the_folder_is_for_one_processor_and_number_of_threads(monkeypatch, tmp_path):
    """Control: a clock that runs at another speed is no other processor."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(cpu, "CPUINFO", path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NPROC", "2")

    def folder(cpuinfo: str):
        path.write_text(cpuinfo)
        return cache.folder()

    here = folder(CPUINFO)
    assert here.parent == tmp_path / "walkies"
    assert folder(CPUINFO.replace("2100", "3000")) == here
    assert folder(CPUINFO.replace(" avx512f", "")) != here
    monkeypatch.setenv("NPROC", "3")
    assert folder(CPUINFO) != here
    path.unlink()
    assert cache.folder() != here, "elsewhere than on Linux: one per machine"


def test_a_relative_cache_home_is_ignored(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.folder().parent == tmp_path / ".cache" / "walkies"


def test_a_folder_of_somebody_else_is_not_used(monkeypatch, tmp_path):
    """What lies there is run. Control: one's own is."""
    assert cache._usable(tmp_path)
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert not cache._usable(tmp_path)


def test_what_was_used_longest_ago_goes_first(tmp_path):
    folders = [tmp_path / f"xla-{name}" for name in "ab"]
    files = [folder / f"{i}-cache" for i, folder in enumerate((*folders, folders[1]))]
    for age, file in zip((1, 3, 2), files, strict=True):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(bytes(10))
        os.utime(file, (1e9 - age, 1e9 - age))
    cache.prune(folders[0], 30)
    assert all(file.exists() for file in files)
    cache.prune(folders[0], 15)
    assert [file.exists() for file in files] == [True, False, False]


def test_another_value_of_the_switch_is_refused(monkeypatch):
    monkeypatch.setenv(cache.SWITCH, "maybe")
    with pytest.raises(UserError, match="WALKIES_CACHE is 'maybe'; expected 0 or 1"):
        cache.switched_on()
    for value, on in cache.SETTINGS.items():
        monkeypatch.setenv(cache.SWITCH, value)
        assert cache.switched_on() is on
