"""Starting processes, watching them and ending them, whatever happens meanwhile."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from airflow_vectordb.demo import sessions

__all__ = ["Child", "ChildEndedError", "Processes", "StopSignals", "Stopped", "tail"]


class Stopped(BaseException):
    """A signal asked for the end. Not an Exception, so that no handling of ordinary errors keeps it from ending.

    :param number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a shell expects of a program that a signal ended: 130 for Ctrl-C."""
        return 128 + self.number


class ChildEndedError(RuntimeError):
    """A process that was to stay has ended, or one that was to succeed has failed.

    :param child: the process.
    :param status: its exit status; negative: the signal that ended it.
    """

    def __init__(self, child: Child, status: int) -> None:
        super().__init__(f"{child.name} ended with exit status {status}")
        self.child = child
        self.status = status


class StopSignals:
    """Turns SIGINT, SIGTERM and SIGHUP into one :class:`Stopped`, never in the middle of starting a process.

    Only the first signal raises. Those that follow are counted: who presses Ctrl-C again wants it to go faster.

    A terminal that closes sends SIGHUP to the first process of its session and leaves it to that one to pass it on, as
    a shell does and make does not. So the terminal itself is watched too.
    """

    def __init__(self) -> None:
        self.received = 0
        self._held = 0
        self._first: int | None = None
        self._latest = float("-inf")
        self._raised = False
        self._before: dict[int, Any] = {}
        self._terminal: int | None = None

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup has SIGHUP ignored, and means it.
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._receive)
        if signal.SIGHUP in self._before:
            # A copy: standard output may be pointed elsewhere when nobody can read it any more.
            self._terminal = next((os.dup(number) for number in (0, 2, 1) if os.isatty(number)), None)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None

    def look_at_terminal(self) -> None:
        """Do as at SIGHUP if the terminal that we were started from has been closed."""
        if self._terminal is not None and self._first is None:
            poll = select.poll()
            poll.register(self._terminal, 0)  # only what is reported unasked: a hang-up
            if poll.poll(0):
                self._receive(signal.SIGHUP, None)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = number
        # A closing terminal sends SIGHUP by way of the shell and by itself: that is nobody's impatience.
        if now - self._latest > 1.0:
            self.received += 1
        self._latest = now
        if not self._held:
            self._raise()

    def _raise(self) -> None:
        if self._first is not None and not self._raised:
            self._raised = True
            raise Stopped(self._first)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within this, a signal waits; it is raised at the end."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if not self._held:
            self._raise()


@dataclass(frozen=True, eq=False)
class Child:
    """A process that was started, the first of a session of its own.

    :param name: what people call it.
    :param log: the file that its output goes to.
    :param grace: seconds that it gets to end by itself.
    :param last: to be ended after the others, because they use it.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    grace: float
    last: bool


class Processes:
    """The processes of one run. Leaving the ``with`` block ends them and all that they started.

    :param signals: while processes are started or ended its signals wait.
    :param keep_open: file descriptors that the guard is to keep open until it too has ended, such as a lock's.
    :param on_stop: called when a signal ends the run, before anything is ended.
    """

    def __init__(
        self, signals: StopSignals, keep_open: Sequence[int] = (), on_stop: Callable[[], None] = lambda: None
    ) -> None:
        self.signals = signals
        self._on_stop = on_stop
        self.children: list[Child] = []
        self._keep_open = tuple(keep_open)
        self._guard: subprocess.Popen[str] | None = None

    def __enter__(self) -> Processes:
        with self.signals.held():
            self._guard = subprocess.Popen(  # noqa: S603 - a file of ours
                [sys.executable, "-I", sessions.__file__],
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
                pass_fds=self._keep_open,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Stopped):
            self._on_stop()
        # A first signal may arrive before end() holds it off. It raises only once: the second call is left in peace.
        try:
            self.end()
        finally:
            self.end()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path,
        directory: Path,
        errors_only: bool = False,
        grace: float = 8.0,
        last: bool = False,
    ) -> Child:
        """Start a process in a session of its own, where a terminal's Ctrl-C does not reach it.

        :param name: what people call it.
        :param command: program and arguments; no secrets: everybody on the machine can read them.
        :param env: its whole environment.
        :param log: its output is appended to this file.
        :param errors_only: only its standard error is; what it tells people on standard output is dropped.
        :param directory: its working directory.
        :param grace: seconds that it gets to end by itself when it is asked to.
        :param last: end it after the others, because they use it.
        """
        with self.signals.held(), log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - commands of ours
                command,
                env=dict(env),
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if errors_only else output,
                stderr=output,
                start_new_session=True,
            )
            child = Child(name, process, log, grace, last)
            self.children.append(child)
            self._tell_guard(f"+{process.pid}")
        return child

    def finish(self, child: Child, timeout: float) -> None:
        """Wait until a process that has one job to do has done it.

        :param child: the process.
        :param timeout: seconds.
        :raises ChildEndedError: it failed, or another one did meanwhile.
        :raises TimeoutError: it was still at work after that time.
        """
        deadline = time.monotonic() + timeout
        while (status := child.process.poll()) is None:
            self.pause(0.05, but=child)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{child.name} was still at work after {timeout:.0f} s; its log: {child.log}")
        with self.signals.held():
            self._end([child])
        if status != 0:
            raise ChildEndedError(child, status)

    def pause(self, seconds: float, *, but: Child | None = None) -> None:
        """Sleep a little, and see that all processes are still there.

        :param seconds: how long.
        :param but: this one may end.
        :raises ChildEndedError: one of the others has ended.
        :raises Stopped: the terminal has been closed.
        """
        time.sleep(seconds)
        self.signals.look_at_terminal()
        for child in self.children:
            if child is not but and (status := child.process.poll()) is not None:
                raise ChildEndedError(child, status)

    def end(self) -> None:
        """End all processes and their descendants: politely, and by force when that takes too long or a signal repeats.

        :raises RuntimeError: processes are left that could not be killed.
        """
        with self.signals.held():
            before = self.signals.received
            for last in (False, True):
                children = [child for child in self.children if child.last is last]
                self._end(children, lambda: self.signals.received > before)
            if self._guard is not None:
                guard, self._guard = self._guard, None
                guard.communicate()

    def _end(self, children: Sequence[Child], hurry: Callable[[], bool] = lambda: False) -> None:
        left = sessions.end_sessions(
            [child.process.pid for child in children],
            grace=max((child.grace for child in children), default=0.0),
            hurry=hurry,
            reap=lambda: [child.process.poll() for child in children],
        )
        if left:
            raise RuntimeError(f"These processes could not be ended: {', '.join(map(str, left))}")
        for child in children:
            child.process.wait()
            self.children.remove(child)
            self._tell_guard(f"-{child.process.pid}")

    def _tell_guard(self, line: str) -> None:
        if self._guard is None or self._guard.stdin is None:
            raise RuntimeError("processes are started only inside the with block")
        try:
            self._guard.stdin.write(line + "\n")
            self._guard.stdin.flush()
        except BrokenPipeError:
            # Somebody killed the guard. It matters only if we are killed too, so this must not keep us from going on.
            return


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a text file, each indented, for a message; a word about it if there are none.

    :param path: the file.
    :param lines: how many at most.
    """
    found = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
    return "\n".join(f"    {line}" for line in found) or "    (nothing)"
