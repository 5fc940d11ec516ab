"""Starting, watching and ending processes; with small programs in place of Airflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_vectordb.demo import sessions
from airflow_vectordb.demo.processes import Child, ChildEndedError, Processes, Stopped, StopSignals, tail

# Starts a child of its own in a process group of its own, as Airflow's supervisors do, and waits.
PARENT = """
    import os, signal, subprocess, sys, time
    {before}
    child = subprocess.Popen([sys.executable, "-c", {child!r}], process_group=0) if sys.version_info >= (3, 11) else \
        subprocess.Popen([sys.executable, "-c", {child!r}], preexec_fn=os.setpgrp)
    print(child.pid, flush=True)
    {after}
"""
SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def program(child: str = SLEEP, before: str = "", after: str = "time.sleep(600)") -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(PARENT.format(child=child, before=before, after=after))]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    with StopSignals() as made:
        yield made


@pytest.fixture
def processes(signals: StopSignals) -> Iterator[Processes]:
    with Processes(signals) as made:
        yield made


@pytest.fixture
def start(processes: Processes, tmp_path: Path) -> Callable[..., tuple[Child, int]]:
    """Start a program that prints the id of its child; return both."""

    def run(*arguments: str, **options: float) -> tuple[Child, int]:
        log = tmp_path / f"{len(processes.children)}.log"
        command = program(*arguments)
        child = processes.start("program", command, env=os.environ, log=log, directory=tmp_path, **options)
        assert eventually(lambda: "\n" in log.read_text())
        return child, int(log.read_text().split()[0])

    return run


Start = Callable[..., tuple[Child, int]]


class TestEnding:
    def test_grandchildren_end_too(self, processes: Processes, start: Start) -> None:
        child, grandchild = start()
        assert set(sessions.session_members([child.process.pid])) == {child.process.pid, grandchild}
        processes.end()
        assert not alive(child.process.pid)
        assert not alive(grandchild)
        assert processes.children == []

    def test_orphans_end_too(self, processes: Processes, start: Start) -> None:
        child, orphan = start(SLEEP, "", "")
        assert eventually(lambda: child.process.poll() is not None)
        assert alive(orphan)
        processes.end()
        assert not alive(orphan)

    def test_what_ignores_a_request_is_killed(self, processes: Processes, start: Start) -> None:
        ignoring = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
        child, grandchild = start(STUBBORN, ignoring, grace=0.3)
        processes.end()
        assert not alive(child.process.pid)
        assert not alive(grandchild)

    def test_what_others_use_ends_last(self, processes: Processes, start: Start, tmp_path: Path) -> None:
        note = "signal.signal(signal.SIGTERM, lambda *_: (open('ended', 'a').write({!r}), os._exit(0)))"
        start(SLEEP, note.format("server "), last=True)
        start(SLEEP, note.format("client "))
        processes.end()
        assert (tmp_path / "ended").read_text() == "client server "

    def test_others_are_left_alone(self, processes: Processes, start: Start) -> None:
        bystander = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
        try:
            start()
            processes.end()
            assert bystander.poll() is None
        finally:
            bystander.kill()
            bystander.wait()

    def test_an_error_in_the_block_ends_them(self, signals: StopSignals, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="something"), Processes(signals) as processes:
            child = processes.start("program", program(), env=os.environ, log=tmp_path / "log", directory=tmp_path)
            raise ValueError("something")
        assert sessions.session_members([child.process.pid]) == []


class TestWatching:
    def test_an_end_that_nobody_asked_for(self, processes: Processes, start: Start) -> None:
        child, _ = start(SLEEP, "", "sys.exit('the reason')")
        with pytest.raises(ChildEndedError, match="exit status 1") as caught:
            while True:
                processes.pause(0.02)
        assert caught.value.child is child
        assert tail(child.log).endswith("the reason")

    def test_a_job_that_is_done(self, processes: Processes, tmp_path: Path) -> None:
        job = processes.start(
            "job", [sys.executable, "-c", ""], env=os.environ, log=tmp_path / "log", directory=tmp_path
        )
        processes.finish(job, 30.0)
        assert processes.children == []

    def test_a_job_that_fails(self, processes: Processes, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "raise SystemExit(7)"]
        job = processes.start("job", command, env=os.environ, log=tmp_path / "log", directory=tmp_path)
        with pytest.raises(ChildEndedError, match="job ended with exit status 7"):
            processes.finish(job, 30.0)

    def test_a_job_that_takes_too_long(self, processes: Processes, start: Start) -> None:
        child, _ = start()
        with pytest.raises(TimeoutError, match="still at work after 0 s"):
            processes.finish(child, 0.1)

    def test_output(self, processes: Processes, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "import sys; print('told'); print('logged', file=sys.stderr)"]
        for errors_only, expected in ((False, "told\nlogged\n"), (True, "logged\n")):
            log = tmp_path / f"{errors_only}.log"
            env = {"PYTHONUNBUFFERED": "1"}
            job = processes.start("job", command, env=env, log=log, directory=tmp_path, errors_only=errors_only)
            processes.finish(job, 30.0)
            assert log.read_text() == expected


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_raises(self, number: signal.Signals) -> None:
        with StopSignals(), pytest.raises(Stopped) as caught:
            os.kill(os.getpid(), number)
            time.sleep(5)
        assert caught.value.exit_status == 128 + number

    def test_waits_while_held(self) -> None:
        reached = False
        with StopSignals() as signals, pytest.raises(Stopped):
            with signals.held():
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.05)
                reached = True
            pytest.fail("the signal was lost")
        assert reached

    def test_raises_only_once(self) -> None:
        with StopSignals() as signals:
            with pytest.raises(Stopped):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            assert signals.received == 1  # within a second: the same closing terminal

    def test_handlers_are_put_back(self) -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        with StopSignals():
            assert signal.getsignal(signal.SIGINT) != before[0]
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before

    def test_nohup_is_heeded(self) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with StopSignals() as signals:
                os.kill(os.getpid(), signal.SIGHUP)
                time.sleep(0.05)
                assert signals.received == 0
        finally:
            signal.signal(signal.SIGHUP, before)

    def test_a_second_one_kills_at_once(self, processes: Processes, start: Start, signals: StopSignals) -> None:
        ignoring = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
        child, _ = start(STUBBORN, ignoring, grace=120.0)
        impatience = subprocess.Popen(
            [sys.executable, "-c", f"import os, time; time.sleep(1); os.kill({os.getpid()}, 2)"]
        )
        started = time.monotonic()
        with pytest.raises(Stopped):
            processes.end()
        impatience.wait()
        assert time.monotonic() - started < 60
        assert not alive(child.process.pid)


@pytest.mark.parametrize(("nohup", "status"), [(False, 128 + signal.SIGHUP), (True, 0)])
def test_a_terminal_that_closes_without_a_signal(nohup: bool, status: int) -> None:
    runner = f"""
        import signal, sys, time
        from airflow_vectordb.demo.processes import Processes, Stopped, StopSignals
        if {nohup}:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with StopSignals() as signals, Processes(signals) as processes:
                print("ready", flush=True)
                for _ in range(20 if {nohup} else 6000):
                    processes.pause(0.01)
        except Stopped as stopped:
            sys.exit(stopped.exit_status)
    """
    ours, theirs = os.openpty()
    # In a session without this terminal, so that the system has nobody to tell.
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(runner)], stdin=theirs, stdout=subprocess.PIPE, start_new_session=True
    )
    os.close(theirs)
    assert run.stdout is not None
    with run.stdout:
        assert run.stdout.readline() == b"ready\n"
        os.close(ours)
        run.stdout.read()
    assert run.wait() == status


def test_what_a_killed_run_leaves_is_ended(tmp_path: Path) -> None:
    runner = f"""
        import os, sys, time
        from pathlib import Path
        from airflow_vectordb.demo.processes import Processes, StopSignals
        with StopSignals() as signals, Processes(signals) as processes:
            child = processes.start("program", {program()!r}, env=os.environ, log=Path("log"), directory=Path("."))
            print(child.process.pid, flush=True)
            time.sleep(600)
    """
    # Its guard has the same standard output, so reading that to its end is waiting for the guard too.
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(runner)], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    with run.stdout:
        session = int(run.stdout.readline())
        assert eventually(lambda: len(sessions.session_members([session])) == 2)
        run.kill()
        run.wait()
        run.stdout.read()
    assert sessions.session_members([session]) == []


def test_processes_are_found_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = f"{os.getpid()} S\n{os.getppid()} Z+\n"
    (tmp_path / "ps").write_text(f"#!/bin/sh\nprintf '{listed}'\n")
    (tmp_path / "ps").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sessions, "PROC", tmp_path / "nowhere")
    assert sessions.session_members([os.getsid(0)]) == [os.getpid()]
