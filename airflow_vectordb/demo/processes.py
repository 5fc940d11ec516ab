"""The processes of a run: started, watched, and ended however the run ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from airflow_vectordb.demo.console import Console
from airflow_vectordb.demo.home import Home
from airflow_vectordb.local.supervisor import start_supervised, stop_supervised

#: Seconds for a process to end by itself. Some of Airflow's take ten, and can be killed safely: their state is in the
#: database.
GRACE = 3.5
#: Seconds for a component to start, on a slow or busy machine.
PATIENCE = 180.0


class Stopped(BaseException):
    """A signal asked for the end. Not an Exception, so that no handling of ordinary errors keeps it from ending."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """The exit status for a program ended by a signal: 130 for Ctrl-C."""
        return 128 + self.number


class ChildEndedError(RuntimeError):
    """A process that should keep running has ended, or one that should succeed has failed."""

    def __init__(self, child: Child, status: int) -> None:
        super().__init__(f"{child.name} ended with exit status {status}")
        self.child = child


class StopSignals:
    """Turns the first SIGINT, SIGTERM or SIGHUP into :class:`Stopped`.

    A terminal that closes sends SIGHUP to the first process of its session and leaves it to that one to pass it on, as
    a shell does and make does not. So the terminal itself is watched too.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._raised = False
        self._latest = float("-inf")
        self._held: list[Callable[[], object]] = []
        self._before: dict[int, Any] = {}
        self._terminal: int | None = None

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Respect nohup, which ignores SIGHUP.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        if signal.SIGHUP in self._before:
            # A copy, since standard output may be redirected when it is closed.
            self._terminal = next((os.dup(number) for number in (0, 2, 1) if os.isatty(number)), None)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    def check_terminal(self) -> None:
        """Handle a closed terminal like SIGHUP."""
        if self._terminal is not None and self._first is None:
            poll = select.poll()
            poll.register(self._terminal, 0)  # only events that are always reported: a hang-up
            if poll.poll(0):
                self._receive(signal.SIGHUP, None)

    @contextmanager
    def held(self, instead: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Within this, a signal calls ``instead``; if it was the first, it is raised at the end."""
        self._held.append(instead)
        try:
            yield
        finally:
            self._held.pop()
        self._raise()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._first = self._first or number
        now = time.monotonic()
        # A closing terminal sends SIGHUP twice, via the shell and directly: that is not a second request.
        repeated, self._latest = now - self._latest <= 1.0, now
        if self._held and not repeated:
            self._held[-1]()
        self._raise()

    def _raise(self) -> None:
        if self._first is not None and not self._raised and not self._held:
            self._raised = True
            raise Stopped(self._first)


@dataclass(frozen=True, eq=False)
class Child:
    """A process that was started. ``last``: to be ended after the others, because they use it."""

    name: str
    keeper: subprocess.Popen[bytes]
    log: Path
    last: bool


class Processes:
    """The processes of one run. Leaving the ``with`` block ends them and all that they started.

    :param signals: end the run; a further one while processes are being ended kills them immediately.
    :param home: where they work; it stays locked as long as one of them may be running.
    """

    def __init__(self, signals: StopSignals, home: Home, console: Console) -> None:
        self.home = home
        self.children: list[Child] = []
        self._signals = signals
        self._console = console

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Stopped):
            self._console.step("stopping: ending all processes (Ctrl-C: immediately)")
        # The first signal may arrive before stop() blocks it. It raises only once, so the second call completes.
        try:
            self.stop()
        finally:
            self.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path | None = None,
        directory: Path | None = None,
        last: bool = False,
    ) -> Child:
        """Start a process.

        :param command: program and arguments; no secrets: every user of the machine can read them.
        :param env: its whole environment.
        :param log: its output is appended to this file; None: one in the home, by its name.
        :param directory: its working directory; None: one in the home.
        """
        log = log or self.home.logs / f"{name.replace(' ', '-')}.log"
        with self._signals.held(), log.open("ab") as output:
            keeper = start_supervised(
                command,
                grace=GRACE,
                env=dict(env),
                cwd=directory or self.home.user,
                stdout=output,
                stderr=output,
                pass_fds=(self.home.lock,),
            )
            child = Child(name, keeper, log, last)
            self.children.append(child)
        return child

    def finish(self, child: Child, timeout: float = PATIENCE) -> None:
        """Wait until a process has completed.

        :raises ChildEndedError: it failed, or another one did meanwhile.
        :raises TimeoutError: it was still running after that time.
        """
        self.wait_for(lambda: child.keeper.poll() is not None, child.name, child.log, timeout=timeout, ending=child)
        self.children.remove(child)
        stop_supervised(child.keeper)
        if child.keeper.returncode:
            raise ChildEndedError(child, child.keeper.returncode)

    def wait_for(
        self,
        ready: Callable[[], object],
        what: str,
        log: Path,
        *,
        timeout: float = PATIENCE,
        ending: Child | None = None,
    ) -> None:
        """Wait until something is ready, and check meanwhile that all processes are still running.

        :param ending: a process that may end.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} was not ready after {timeout:.0f} s; its log: {log}")
            self.pause(0.1, ending=ending)

    def pause(self, seconds: float, *, ending: Child | None = None) -> None:
        """Sleep a little, and check that all processes are still running.

        :raises ChildEndedError: one has ended, and it was not ``ending``.
        :raises Stopped: the terminal has been closed.
        """
        time.sleep(seconds)
        self._signals.check_terminal()
        for child in self.children:
            if child is not ending and (status := child.keeper.poll()) is not None:
                raise ChildEndedError(child, status)

    def stop(self) -> None:
        """Stop all processes and their descendants."""
        with self._signals.held(instead=self._kill):
            for last in (False, True):
                stop_supervised(*(child.keeper for child in self.children if child.last is last))
            self.children.clear()

    def _kill(self) -> None:
        for child in self.children:
            child.keeper.terminate()  # already being stopped, so kill it


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a text file, each indented, for a message."""
    found = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
    return "\n".join(f"    {line}" for line in found) or "    (nothing)"
