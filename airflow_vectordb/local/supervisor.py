"""Processes that end together with all their descendants, even if the process that started them is killed.

Each has a keeper: this file, run as a program. The keeper leads a new session and starts the process in it. It ends the
whole session when the process has ended, and when its standard input, a pipe from its parent, says so or is closed. All
descendants stay in the session: Airflow's components fork workers, those fork supervisors, and those fork tasks, some
into separate process groups, and some outlive their parents.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil

_POLL_INTERVAL = 0.05  # seconds


def start_supervised(
    command: Sequence[str], *, grace: float = 8.0, remove: str | os.PathLike[str] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Start a process, in a session where a terminal's Ctrl-C does not reach it.

    The process has no standard input and inherits ``pass_fds``.

    :param command: program and arguments. No secrets: every user of the machine can read them.
    :param grace: seconds between SIGTERM and SIGKILL when it is stopped.
    :param remove: a directory that is removed when everything has ended.
    :param options: further arguments of :class:`subprocess.Popen`.
    :return: the keeper, which ends with the exit status of the process.
    """
    keeper = [sys.executable, "-I", __file__, str(grace), os.fspath(remove or ""), *command]
    return subprocess.Popen(keeper, stdin=subprocess.PIPE, start_new_session=True, **options)  # noqa: S603


def stop_supervised(*keepers: subprocess.Popen[bytes]) -> None:
    """End processes with their descendants: SIGTERM, and SIGKILL after the grace period.

    :param keepers: from :func:`start_supervised`. One that is being stopped already is told to kill immediately.
    """
    for keeper in keepers:
        assert keeper.stdin is not None
        if keeper.stdin.closed:
            keeper.terminate()
            continue
        # Write, since closing is not enough if a fork of this process holds the pipe open. Not a signal: the keeper may
        # not handle signals yet.
        with contextlib.suppress(BrokenPipeError):
            os.write(keeper.stdin.fileno(), b"stop")
        keeper.stdin.close()
    for keeper in keepers:
        if keeper.wait() == -signal.SIGKILL:
            # The keeper may have been killed.
            _signal_others(keeper.pid, signal.SIGKILL)
        if keeper.stdout is not None:
            keeper.stdout.close()


def kill_supervised(keeper: subprocess.Popen[bytes]) -> None:
    """End a process with its descendants as in a crash: SIGKILL."""
    _signal_others(keeper.pid, signal.SIGKILL)
    stop_supervised(keeper)


def session_members(session: int) -> list[psutil.Process]:
    """Return the processes of a session that are still running.

    :param session: its id: the process id of its keeper.
    """
    import psutil  # loaded only when something ends, to keep the start fast

    found = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) == session and (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            continue
    return found


def _signal_others(session: int, number: int) -> None:
    import psutil

    for process in session_members(session):
        if process.pid != session:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _end_others(grace: float, hurry: Callable[[], bool]) -> None:
    """End all of this session but this process, which leads it."""
    session = os.getpid()
    _signal_others(session, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while len(session_members(session)) > 1:
        if hurry() or time.monotonic() >= deadline:
            # Repeated: a process may fork before it is killed.
            _signal_others(session, signal.SIGKILL)
        time.sleep(_POLL_INTERVAL)


def _keep(grace: float, remove: str, command: Sequence[str]) -> int:
    """Run as the keeper.

    :return: the exit status of the process; negative: the signal that ended it.
    """
    requests: list[int] = []
    wakeup, wakeup_end = os.pipe()
    os.set_blocking(wakeup_end, False)
    signal.set_wakeup_fd(wakeup_end)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: requests.append(number))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603
    stdin = sys.stdin.fileno()
    while process.poll() is None and not requests:
        readable, _, _ = select.select([stdin, wakeup], [], [])
        if wakeup in readable:
            os.read(wakeup, 1024)
        if stdin in readable:
            break
    before = len(requests)
    _end_others(grace, hurry=lambda: len(requests) > before)
    if remove:
        shutil.rmtree(remove, ignore_errors=True)
    return process.wait()


def _main() -> None:
    status = _keep(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
    if status < 0:
        if -status != signal.SIGKILL:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    _main()
