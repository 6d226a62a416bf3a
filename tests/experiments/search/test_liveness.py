"""Whether a worker is alive: its own machine knows, another one waits for signs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from ngbench.experiments.search.liveness import STALE_SECONDS, is_alive, this_worker


def test_this_process_is_alive_however_long_it_said_nothing() -> None:
    assert is_alive(this_worker(), 0.0)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_a_killed_process_is_dead_even_before_its_parent_took_notice() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    worker = {**this_worker(), "pid": process.pid, "started": psutil.Process(process.pid).create_time()}
    assert is_alive(worker, 0.0)
    # The next process with its number is another one.
    assert not is_alive({**worker, "started": worker["started"] - 100}, 0.0)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(worker, 0.0)
    process.wait()
    assert not is_alive(worker, 0.0)


def test_a_worker_elsewhere_is_judged_by_its_last_sign() -> None:
    worker = {**this_worker(), "host": "elsewhere", "pid": 1}
    assert is_alive(worker, 1000.0, now=1000.0 + STALE_SECONDS - 1)
    assert not is_alive(worker, 1000.0, now=1000.0 + STALE_SECONDS + 1)
    # Clocks differ a little; a sign that is not given yet would be waited for without end.
    assert is_alive(worker, 1000.0, now=1000.0 - STALE_SECONDS + 1)
    assert not is_alive(worker, 1.7e308, now=1000.0)
