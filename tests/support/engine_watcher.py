"""Somebody who asks the engine itself, all the time, how far an index is: what waits are compared with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Event, Thread
from types import TracebackType

from pymilvus import MilvusClient

from tests.support.milvus_server import MilvusServer

#: Seconds between two questions.
EVERY = 0.05


@dataclass(frozen=True)
class Sample:
    """
    What the engine said.

    :param asked: when (``time.monotonic``) it was asked
    :param answered: when it had answered
    :param pending: rows that it has yet to index
    :param state: its word for it
    """

    asked: float
    answered: float
    pending: int
    state: str


@dataclass
class Watcher:
    """
    Asks about an index in a thread of its own, over a gRPC connection of its own, in a ``with`` block.

    :param milvus: the engine
    :param collection: name of the collection, which is there
    :param index: name of the index, which may come later
    :param rows: the rows of the collection, all flushed: until the engine has counted them, it has not begun
    """

    milvus: MilvusServer
    collection: str
    index: str
    rows: int
    samples: list[Sample] = field(default_factory=list)
    _ended: Event = field(default_factory=Event)
    _error: BaseException | None = None
    _thread: Thread | None = None

    def __enter__(self) -> Watcher:
        self._thread = Thread(target=self._watch, name="watcher")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        self._ended.set()
        self._thread.join(60)
        if kind is None and self._error is not None:
            raise self._error

    def _watch(self) -> None:
        client = MilvusClient(self.milvus.uri, token=self.milvus.token)
        try:
            while not self._ended.wait(EVERY):
                asked = time.monotonic()
                # Longer than any freeze: what it says after one is said late, not lost.
                found = client.describe_index(self.collection, self.index, timeout=60)
                if found is not None and found["total_rows"] == self.rows:
                    pending = int(found["pending_index_rows"])
                    self.samples.append(Sample(asked, time.monotonic(), pending, found["state"]))
        except BaseException as error:  # noqa: BLE001 - raised again where the block ends
            self._error = error
        finally:
            client.close()

    def until(self, condition: Callable[[Sample], bool], timeout: float = 180.0) -> Sample:
        """Return the first answer from now on that meets a condition."""
        seen, deadline = len(self.samples), time.monotonic() + timeout
        while time.monotonic() < deadline and self._error is None:
            for sample in self.samples[seen:]:
                if condition(sample):
                    return sample
                seen += 1
            time.sleep(EVERY / 2)
        last = self.samples[-1] if self.samples else "nothing"
        raise AssertionError(f"not within {timeout:g} s; the engine's last word: {last}") from self._error

    @property
    def first(self) -> Sample:
        """Its first answer about the index."""
        return self.samples[0]

    @property
    def last_pending(self) -> Sample:
        """The last answer with something pending. Nothing was over when that was asked."""
        return [sample for sample in self.samples if sample.pending][-1]

    @property
    def built(self) -> Sample:
        """The first answer with nothing pending."""
        return next(sample for sample in self.samples if not sample.pending)

    @property
    def states(self) -> list[str]:
        """The states, in the order in which they came."""
        found: list[str] = []
        for sample in self.samples:
            if not found or found[-1] != sample.state:
                found.append(sample.state)
        return found

    @property
    def backwards(self) -> int:
        """How often more was pending than just before."""
        return sum(later.pending > earlier.pending for earlier, later in pairwise(self.samples))


__all__ = ["EVERY", "Sample", "Watcher"]
