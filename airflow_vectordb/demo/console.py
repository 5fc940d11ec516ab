"""Lines of progress for a person at a terminal, or in a log."""

from __future__ import annotations

import os
import sys
import time


class Console:
    """Prints lines, and goes on silently when nobody can read them any more (a closed terminal, ``| head``)."""

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
            # The reader is gone. What runs must still be ended in good order, so this is no reason to fail; but
            # the interpreter must not try to write the rest of it when it exits.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
