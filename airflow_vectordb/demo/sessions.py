"""Ends all processes of a session, grandchildren included; also when whoever started them was killed.

Airflow's components fork workers, those fork supervisors, and those fork tasks, some into process groups of their own.
What all of them keep is the session that the component was started in, so that is what they are found by.

Run as a program this file is the guard: it is told on its standard input which sessions there are, and when that input
ends, however that came about, it ends what is left of them. It needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path

__all__ = ["end_sessions", "session_members"]

LOOK_EVERY = 0.05  # seconds
PROC = Path("/proc")  # not everywhere; else `ps` is asked


def _processes() -> list[tuple[int, bool]]:
    """The id of every process, and whether it is only waiting to be noticed as dead."""
    if (PROC / "self" / "stat").exists():
        found = []
        for entry in os.listdir(PROC):
            if entry.isdigit():
                try:
                    stat = (PROC / entry / "stat").read_bytes()
                except OSError:  # it ended while we were looking
                    continue
                # pid (name, which may hold anything) state …
                found.append((int(entry), stat.rpartition(b")")[2].split()[0] in (b"Z", b"X")))
        return found
    listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True)  # noqa: S607
    pairs = [line.split() for line in listed.stdout.splitlines()]
    return [(int(pid), state.startswith("Z")) for pid, state in pairs]


def session_members(sessions: Collection[int]) -> list[int]:
    """The processes that run in some sessions, without those that have ended and only await their parent.

    :param sessions: ids of sessions, each the process id of its first process.
    """
    return [pid for pid, dead in _processes() if not dead and _session(pid) in sessions]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):  # gone since, or another user's
        return None


def _signal_each(pids: Collection[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_sessions(
    sessions: Collection[int],
    *,
    grace: float = 8.0,
    hurry: Callable[[], bool] = lambda: False,
    reap: Callable[[], object] = lambda: None,
) -> list[int]:
    """End every process of some sessions: ask the first of each, then ask all, then force them.

    :param sessions: ids of sessions.
    :param grace: seconds that the first process of a session gets after SIGTERM, to end its own children in good order;
        then the rest is asked, and a third of that time later what is left is killed.
    :param hurry: asked again and again; once true, everything is killed at once.
    :param reap: called again and again; collects the exit status of the caller's own children.
    :returns: processes that are still there five seconds after they were killed; normally none.
    """

    def wait(seconds: float, *, first_only: bool) -> list[int]:
        deadline = time.monotonic() + seconds
        while True:
            reap()
            left = session_members(sessions)
            awaited = [pid for pid in left if pid in sessions] if first_only else left
            if not awaited or hurry() or time.monotonic() >= deadline:
                return left
            time.sleep(LOOK_EVERY)

    left = session_members(sessions)
    if left and not hurry():
        _signal_each([pid for pid in left if pid in sessions], signal.SIGTERM)
        left = wait(grace, first_only=True)
    if left and not hurry():
        _signal_each(left, signal.SIGTERM)
        left = wait(grace / 3, first_only=False)
    deadline = time.monotonic() + 5.0
    while left and time.monotonic() < deadline:
        # Again and again: what we list may fork before it is killed.
        _signal_each(left, signal.SIGKILL)
        time.sleep(LOOK_EVERY)
        reap()
        left = session_members(sessions)
    return left


def _guard() -> int:
    """Read "+ID" and "-ID" lines until the input ends, then end the sessions that were not taken back."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        session = int(line[1:])
        if line.startswith("+"):
            sessions.add(session)
        else:
            sessions.discard(session)
    return 1 if end_sessions(sessions, grace=3.0) else 0


if __name__ == "__main__":
    sys.exit(_guard())
