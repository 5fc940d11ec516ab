"""Progress lines for a terminal or a log."""

from __future__ import annotations

import os
import sys
import time


class Console:
    """Prints lines, and continues silently when the output is closed (a closed terminal, ``| head``)."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def step(self, text: str) -> None:
        """Print a line with the time since the start before it."""
        self.show(f"{time.monotonic() - self._started:6.1f} s  {text}")

    def show(self, text: str = "") -> None:
        """Print a text as it is."""
        try:
            print(text, flush=True)
        except OSError:
            # The output is closed. Processes must still be ended properly, so do not fail; but keep the interpreter
            # from writing the rest when it exits.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
