"""Processes that end with everything that they started; small programs stand for servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from airflow_vectordb.local.supervisor import kill_supervised, session_members, start_supervised, stop_supervised

SLEEP = "import time; time.sleep(600)"
IGNORE = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
# Starts a child in a process group of its own, as Airflow's supervisors do.
PARENT = """
    import os, subprocess, sys, time
    {before}
    child = subprocess.Popen([sys.executable, "-c", {child!r}], preexec_fn=os.setpgrp)
    print(os.getpid(), child.pid, flush=True)
    {after}
"""

Start = Callable[..., tuple["subprocess.Popen[bytes]", "list[psutil.Process]"]]


def program(child: str = SLEEP, before: str = "", after: str = "time.sleep(600)") -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(PARENT.format(child=child, before=before, after=after))]


def running(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program; return its keeper, and itself with its child."""
    keepers = []

    def run(*arguments: str, **options: object) -> tuple[subprocess.Popen[bytes], list[psutil.Process]]:
        keeper = start_supervised(program(*arguments), stdout=subprocess.PIPE, **options)
        keepers.append(keeper)
        assert keeper.stdout is not None
        return keeper, [psutil.Process(int(pid)) for pid in keeper.stdout.readline().split()]

    yield run
    stop_supervised(*(keeper for keeper in keepers if keeper.poll() is None))


def test_children_end_too(start: Start) -> None:
    keeper, started = start()
    assert set(session_members(keeper.pid)) == {psutil.Process(keeper.pid), *started}
    stop_supervised(keeper)
    assert running(started) == []
    assert keeper.returncode == -signal.SIGTERM


def test_orphans_end_with_the_process(start: Start) -> None:
    blocked = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})"
    keeper, started = start(SLEEP, blocked, "signal.sigwait({signal.SIGUSR1}); sys.exit(7)")
    started[0].send_signal(signal.SIGUSR1)
    assert keeper.wait(30) == 7
    assert running(started) == []
    stop_supervised(keeper)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_that_ends_the_process_is_reported(start: Start, number: signal.Signals) -> None:
    keeper, (process, child) = start()
    process.send_signal(number)
    assert keeper.wait(30) == -number
    assert running([child]) == []
    stop_supervised(keeper)


def test_what_ignores_sigterm_is_killed(start: Start) -> None:
    keeper, started = start(IGNORE + SLEEP, IGNORE, grace=0.3)
    stop_supervised(keeper)
    assert running(started) == []


def test_a_stopped_process_is_killed(start: Start) -> None:
    keeper, started = start(grace=0.3)
    started[0].suspend()
    stop_supervised(keeper)
    assert running(started) == []


def test_a_second_request_kills_immediately(start: Start) -> None:
    keeper, started = start(IGNORE + SLEEP, IGNORE, grace=600.0)
    assert keeper.stdin is not None
    keeper.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        keeper.wait(0.5)
    stop_supervised(keeper)
    assert running(started) == []


def test_a_crash(start: Start) -> None:
    keeper, started = start(SLEEP, "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))", grace=600.0)
    kill_supervised(keeper)
    assert running(started) == []
    assert keeper.returncode == -signal.SIGKILL


def test_a_keeper_that_is_killed(start: Start) -> None:
    keeper, started = start()
    keeper.kill()
    stop_supervised(keeper)
    psutil.wait_procs(started, timeout=30)
    assert running(started) == []


def test_others_are_left_alone(start: Start) -> None:
    other, started = start()
    keeper, _ = start()
    stop_supervised(keeper)
    assert running(started) == started
    stop_supervised(other)


def test_stopped_before_it_has_started(tmp_path: Path) -> None:
    directory = tmp_path / "own"
    directory.mkdir()
    keeper = start_supervised(program(), remove=directory, stdout=subprocess.DEVNULL)
    stop_supervised(keeper)
    assert session_members(keeper.pid) == []
    assert not directory.exists()


def test_it_ends_although_a_fork_holds_the_pipe(start: Start) -> None:
    keeper, started = start()
    assert keeper.stdin is not None
    holder = subprocess.Popen([sys.executable, "-c", SLEEP], pass_fds=(keeper.stdin.fileno(),))
    try:
        stop_supervised(keeper)
        assert running(started) == []
    finally:
        holder.kill()
        holder.wait()


def test_everything_ends_when_the_starter_is_killed(tmp_path: Path) -> None:
    directory = tmp_path / "own"
    directory.mkdir()
    starter = f"""
        import os, signal
        from airflow_vectordb.local.supervisor import start_supervised
        keeper = start_supervised({program(IGNORE + SLEEP)!r}, grace=0.3, remove={os.fspath(directory)!r})
        print(keeper.pid, flush=True)
        signal.pause()
    """
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(starter)], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout:
        session = int(run.stdout.readline())
        started = [psutil.Process(int(pid)) for pid in run.stdout.readline().split()]
        assert set(session_members(session)) == {psutil.Process(session), *started}
        run.kill()
        run.wait()
        # The keeper has the same standard output, so that ends when it does.
        run.stdout.read()
    assert running(started) == []
    assert not directory.exists()


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        keeper = start_supervised([str(tmp_path / "none")], stderr=log)
    assert keeper.wait(30) == 1
    assert "FileNotFoundError" in (tmp_path / "log").read_text()
    stop_supervised(keeper)
