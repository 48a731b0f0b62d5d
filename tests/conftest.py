"""What holds for every test."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

# What tests compile is not kept in the user's cache folder, nor read from there.
os.environ.setdefault("WALKIES_CACHE", "0")

# The workers of a parallel run share the cores: in each of them a pool of as many threads as the machine has would only
# wait for the others. And nearly all of a test's time is compilation: code that is not optimized compiles a quarter
# faster and computes the same. XLA reads both when it starts, also in every process that a test starts. A run without
# workers, and the tests in a browser, optimize as users do.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("NPROC", "1")
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_cpu_use_onednn=true --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
    )
else:
    # From the first test on, or processes that a later test starts would compile otherwise than this one has.
    from walkies.accel.cpu import XLA_FLAGS

    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)

# Tables take the form that the terminal has room for. In tests none has a width unless the test gives it one, however
# wide the terminal is in which the suite was started; processes that a test starts inherit it.
os.environ.pop("COLUMNS", None)

# What runs in the background of a shell, or behind nohup, ignores these signals, and so does all that it starts. Tests
# send them.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)


@pytest.fixture
def start():
    """`subprocess.Popen` for a test: what still runs when the test ends, or fails, is killed."""
    running = []

    def popen(*arguments, **options):
        running.append(subprocess.Popen(*arguments, **options))
        return running[-1]

    yield popen
    for process in running:
        process.kill()
        process.communicate()
