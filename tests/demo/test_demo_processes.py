"""Starting, watching and ending the processes of a run; with small programs in place of Airflow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_vectordb.demo.home import Home
from airflow_vectordb.demo.processes import Child, ChildEndedError, Processes, Stopped
from airflow_vectordb.local.supervisor import session_members

PROGRAM = """if True:
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: ({on_sigterm}))
    print("ready", flush=True)
    {after}
"""
Start = Callable[..., Child]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "run", fresh=True) as made:
        yield made


@pytest.fixture
def processes(home: Home) -> Iterator[Processes]:
    with Processes(home) as made:
        yield made


@pytest.fixture
def start(processes: Processes) -> Start:
    """Start a program that prints a line when it is ready."""

    def run(name: str = "program", on_sigterm: str = "sys.exit()", after: str = "time.sleep(600)") -> Child:
        code = PROGRAM.format(on_sigterm=on_sigterm, after=after)
        child = processes.start(name, [sys.executable, "-c", code], env=os.environ)
        processes.wait_for(lambda: "ready" in child.log.read_text(), name, child.log)
        return child

    return run


class TestEnding:
    def test_the_first_which_others_use_ends_last(self, processes: Processes, start: Start, home: Home) -> None:
        note = "open('ended', 'a').write({!r}), os._exit(0)"
        start("server", note.format("server "))
        start("client", note.format("client "))
        processes.stop()
        assert (home.user / "ended").read_text() == "client server "
        assert processes.children == []

    def test_an_error_in_the_block_ends_them(self, home: Home) -> None:
        with pytest.raises(ValueError, match="something"), Processes(home) as processes:
            child = processes.start("program", ["sleep", "600"], env=os.environ)
            raise ValueError("something")
        assert session_members(child.keeper.pid) == []

    def test_the_home_stays_locked_as_long_as_one_runs(self, start: Start, home: Home) -> None:
        child = start()
        assert home.path / "made-by-airflow-vectordb" in {
            Path(f"/proc/{child.keeper.pid}/fd/{name}").resolve() for name in os.listdir(f"/proc/{child.keeper.pid}/fd")
        }


class TestWatching:
    def test_an_end_that_nobody_asked_for(self, processes: Processes, start: Start, home: Home) -> None:
        child = start(after="\n    while not os.path.exists('go'): time.sleep(0.01)\n    sys.exit('the reason')")
        (home.user / "go").touch()
        with pytest.raises(ChildEndedError, match="exit status 1") as caught:
            for _ in range(3000):  # a minute
                processes.pause(0.02)
        assert caught.value.child is child
        assert str(caught.value).endswith("the reason")

    def test_a_job_that_is_done(self, processes: Processes) -> None:
        processes.finish(processes.start("job", [sys.executable, "-c", ""], env=os.environ))
        assert processes.children == []

    def test_a_job_that_fails(self, processes: Processes) -> None:
        job = processes.start("job", [sys.executable, "-c", "raise SystemExit(7)"], env=os.environ)
        with pytest.raises(ChildEndedError, match="job ended with exit status 7"):
            processes.finish(job)

    def test_a_job_that_takes_too_long(self, processes: Processes, start: Start) -> None:
        child = start()
        with pytest.raises(TimeoutError, match="was not ready after 0 s"):
            processes.finish(child, 0.1)

    def test_output_and_directory(self, processes: Processes, home: Home) -> None:
        code = "import os, sys; print(os.getcwd()); print('logged', file=sys.stderr)"
        job = processes.start("a job", [sys.executable, "-c", code], env={"PYTHONUNBUFFERED": "1"})
        processes.finish(job)
        assert (home.logs / "a-job.log").read_text() == f"{home.user}\nlogged\n"


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_ends_all_at_the_next_pause(self, home: Home, number: signal.Signals) -> None:
        with pytest.raises(Stopped) as caught, Processes(home) as processes:
            child = processes.start("program", ["sleep", "600"], env=os.environ)
            signal.raise_signal(number)
            processes.pause(0.0)
        assert caught.value.exit_status == 128 + number
        assert session_members(child.keeper.pid) == []

    def test_one_that_comes_after_the_last_pause(self, home: Home) -> None:
        with pytest.raises(Stopped), Processes(home) as processes:
            child = processes.start("program", ["sleep", "600"], env=os.environ)
            signal.raise_signal(signal.SIGINT)
        assert session_members(child.keeper.pid) == []

    def test_raises_only_once(self, processes: Processes) -> None:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped):
            processes.pause(0.0)
        signal.raise_signal(signal.SIGINT)
        processes.pause(0.0)

    def test_handlers_are_put_back(self, home: Home) -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        with Processes(home):
            assert signal.getsignal(signal.SIGINT) != before[0]
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before

    def test_nohup_is_respected(self, home: Home) -> None:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with Processes(home) as processes:
                signal.raise_signal(signal.SIGHUP)
                processes.pause(0.0)
        finally:
            signal.signal(signal.SIGHUP, before)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
    def test_a_second_one_kills_unless_a_closing_terminal_sent_both(
        self, processes: Processes, start: Start, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
    ) -> None:
        closing = number == signal.SIGHUP
        monkeypatch.setattr("airflow_vectordb.demo.processes.GRACE", 1.0 if closing else 600.0)
        child = start(on_sigterm="print('asked', flush=True)")
        with pytest.raises(Stopped):
            signal.raise_signal(number)
            processes.pause(0.0)

        def hurry() -> None:
            deadline = time.monotonic() + 300
            while "asked" not in child.log.read_text() and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), number)

        impatience = threading.Thread(target=hurry)
        impatience.start()
        began = time.monotonic()
        processes.stop()
        assert not closing or time.monotonic() - began >= 1.0
        impatience.join()
        assert "asked" in child.log.read_text()
        assert session_members(child.keeper.pid) == []


@pytest.mark.parametrize(("nohup", "status"), [(False, 128 + signal.SIGHUP), (True, 0)])
def test_a_terminal_that_closes_without_a_signal(tmp_path: Path, nohup: bool, status: int) -> None:
    runner = f"""
        import signal, sys
        from pathlib import Path
        from airflow_vectordb.demo.home import Home
        from airflow_vectordb.demo.processes import Processes, Stopped
        if {nohup}:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with Home(Path("run"), fresh=True) as home, Processes(home) as processes:
                print("ready", flush=True)
                for _ in range(20 if {nohup} else 6000):
                    processes.pause(0.01)
        except Stopped as stopped:
            sys.exit(stopped.exit_status)
    """
    ours, theirs = os.openpty()
    # In a session without this terminal, so that the system has nobody to tell.
    run = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(runner)],
        cwd=tmp_path,
        stdin=theirs,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(theirs)
    assert run.stdout is not None
    with run.stdout:
        assert run.stdout.readline() == b"ready\n"
        os.close(ours)
        run.stdout.read()
    assert run.wait() == status
