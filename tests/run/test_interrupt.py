"""The first signal is a request, the second acts as usual, and an ignored one stays ignored."""

import os
import signal
import threading

import pytest

from walkies.run.interrupt import exit_status, stop_on_signal


def send(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_is_a_request(name):
    before = signal.getsignal(getattr(signal, name))
    with stop_on_signal() as stopped_by:
        assert stopped_by() is None
        send(name)
        assert stopped_by() == name
    assert signal.getsignal(getattr(signal, name)) is before


def test_the_second_acts_as_usual():
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as stopped_by:
        send("SIGTERM")
        send("SIGINT")
        pytest.fail(f"still running after {stopped_by()}")


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signal() as stopped_by:
            send("SIGHUP")
            assert stopped_by() is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_cannot_set_handlers_and_go_on():
    seen = []

    def work():
        with stop_on_signal() as stopped_by:
            seen.append(stopped_by())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None]


def test_the_exit_status_is_the_shells():
    assert exit_status("SIGTERM") == 143 and exit_status("SIGHUP") == 129
