"""Progress lines for a terminal or a log."""

from __future__ import annotations

import os
import sys
import time

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
