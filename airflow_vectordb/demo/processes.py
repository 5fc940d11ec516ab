"""Start, watch and end the processes of a run; print progress lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_vectordb.demo.home import Home
from airflow_vectordb.local.supervisor import start_supervised, stop_supervised

#: Seconds for a process to end by itself. Some of Airflow's take ten, and can be killed safely: their state is in the
#: database.
GRACE = 3.5
#: Seconds for a component to start, on a slow or busy machine.
PATIENCE = 180.0
_started = time.monotonic()


def step(text: str) -> None:
    """Print a line with the time since the start before it."""
    show(f"{time.monotonic() - _started:6.1f} s  {text}")


def show(text: str) -> None:
    """Print a text as it is; continue silently when the output is closed (a closed terminal, ``| head``)."""
    try:
        print(text, flush=True)
    except OSError:
        # Processes must still be ended properly, so do not fail; but keep the interpreter from writing the rest when
        # it exits.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Stopped(KeyboardInterrupt):
    """A signal asked for the end, as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        #: As shells report it: 130 for Ctrl-C.
        self.exit_status = 128 + number


class ChildEndedError(ChildProcessError):
    """A process that should keep running has ended, or one that should succeed has failed."""

    def __init__(self, child: Child) -> None:
        lines = child.log.read_text(errors="replace").splitlines()[-20:] or ["(nothing)"]
        tail = "\n".join(f"    {line}" for line in lines)
        status = child.keeper.returncode
        super().__init__(f"{child.name} ended with exit status {status}. The end of its log, {child.log}:\n{tail}")
        self.child = child


@dataclass(frozen=True, eq=False)
class Child:
    """A process that was started."""

    name: str
    keeper: subprocess.Popen[bytes]
    log: Path


class Processes:
    """The processes of one run. Leaving the ``with`` block ends them and all that they started.

    Within the block, SIGINT, SIGTERM and SIGHUP are noted; the next :meth:`pause` raises :class:`Stopped`, once. A
    further SIGINT kills what is still running; a further SIGHUP does not, since a closing terminal may send several.

    A terminal that closes sends SIGHUP to the first process of its session and leaves it to that one to pass it on, as
    a shell does and make does not. So the terminal itself is watched too.

    :param home: where they work; it stays locked as long as one of them may be running.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.children: list[Child] = []
        self._before: dict[int, Any] = {}
        self._terminal: int | None = None
        self._signal: int | None = None
        self._raised = False

    def __enter__(self) -> Processes:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Respect nohup, which ignores SIGHUP.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._receive)
        if signal.SIGHUP in self._before:
            self._terminal = next((number for number in (0, 2, 1) if os.isatty(number)), None)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Stopped):
            step("stopping: ending all processes (Ctrl-C: immediately)")
        self.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._check_signal()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        directory: Path | None = None,
    ) -> Child:
        """Start a process; its output is appended to a log of its name.

        :param command: program and arguments; no secrets: every user of the machine can read them.
        :param env: its whole environment.
        :param directory: its working directory; None: one in the home.
        """
        log = self.home.logs / f"{name.replace(' ', '-')}.log"
        with log.open("ab") as output:
            keeper = start_supervised(
                command,
                grace=GRACE,
                env=dict(env),
                cwd=directory or self.home.user,
                stdout=output,
                stderr=output,
                pass_fds=(self.home.lock,),
            )
        child = Child(name, keeper, log)
        self.children.append(child)
        return child

    def finish(self, child: Child, timeout: float = PATIENCE) -> None:
        """Wait until a process has completed.

        :raises ChildEndedError: it failed, or another one did meanwhile.
        :raises TimeoutError: it was still running after that time.
        """
        try:
            self.wait_for(lambda: False, child.name, child.log, timeout=timeout)
        except ChildEndedError as ended:
            if ended.child is not child or child.keeper.returncode:
                raise
        self.children.remove(child)
        stop_supervised(child.keeper)

    def wait_for(self, ready: Callable[[], object], what: str, log: Path, *, timeout: float = PATIENCE) -> None:
        """Wait until something is ready, and check meanwhile that all processes are still running."""
        deadline = time.monotonic() + timeout
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} was not ready after {timeout:.0f} s; its log: {log}")
            self.pause(0.2)

    def pause(self, seconds: float) -> None:
        """Sleep a little, and check that all processes are still running.

        :raises ChildEndedError: one has ended.
        :raises Stopped: a signal came, or the terminal has been closed.
        """
        time.sleep(seconds)
        if self._terminal is not None and not os.isatty(self._terminal):
            self._receive(signal.SIGHUP)
        self._check_signal()
        for child in self.children:
            if child.keeper.poll() is not None:
                raise ChildEndedError(child)

    def stop(self) -> None:
        """Stop all processes and their descendants: at last the first one, which the others may use."""
        for part in (self.children[1:], self.children[:1]):
            stop_supervised(*(child.keeper for child in part))
        self.children.clear()

    def _receive(self, number: int, _: object = None) -> None:
        # Not raised here, where a process that is just being started would be forgotten.
        if self._signal is None:
            self._signal = number
        elif number == signal.SIGINT:
            for child in self.children:
                child.keeper.terminate()  # already being stopped, so kill it

    def _check_signal(self) -> None:
        if self._signal is not None and not self._raised:
            self._raised = True
            raise Stopped(self._signal)
