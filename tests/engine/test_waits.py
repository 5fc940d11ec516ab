"""Waiting for builds that really take a while: every way of it ends in time, and never too early.

An independent watcher asks the engine itself, over gRPC, what is pending. Every way waits for the same build, so that
there are few of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.engine_api import HNSW, ROWS, Api, make_big_collection
from tests.support.engine_watcher import EVERY, Sample, Watcher
from tests.support.engine_ways import Waiting, started, ways
from tests.support.milvus_server import MilvusServer

#: Seconds from the last answer to the end of a task, through threads and JSON, while the engine uses all cores.
HANDING_OVER = 0.5
FREEZE = 10.0
INDEX = HNSW["indexName"]

Building = Callable[[str], AbstractContextManager["Build"]]


@dataclass
class Build:
    """
    A build of the index, all ways that wait for it, and what comes between.

    :param up: when (``time.monotonic``) all that had been down or frozen was there again
    """

    watcher: Watcher
    every: list[Waiting]
    up: float = 0.0
    notes: list[str] = field(default_factory=list)

    def at(self, pending: int) -> Sample:
        """Come back in the middle of the build: when no more than that is pending, and not nothing."""
        sample = self.watcher.until(lambda sample: sample.pending <= pending)
        assert sample.pending, "the build was over immediately: there was no middle of it"
        return sample

    def up_again(self) -> None:
        """Say that what was down is there again; it must have missed no more than the middle of the build."""
        self.up = time.monotonic()
        sample = self.watcher.until(lambda sample: sample.asked > self.up)
        assert sample.pending, "the build was over while it was down: it was not the middle of it"

    @property
    def seconds(self) -> float:
        asked = min(r.began for waiting in self.every for r in waiting.requests if r.path == "indexes/create")
        return self.watcher.built.answered - asked

    @property
    def budget(self) -> float:
        return max(1.0, 0.1 * self.seconds)

    def delay(self, waiting: Waiting) -> float:
        # It was over a little later than that, if anything: delays are rather too long than too short here.
        return waiting.ended - max(self.watcher.last_pending.asked, self.up)

    def figures(self, title: str) -> list[str]:
        watcher = self.watcher
        gap = max(b.answered - a.asked for a, b in zip(watcher.samples, watcher.samples[1:], strict=False))
        lines = [
            f"{title}: {self.seconds:.1f} s ({', '.join(watcher.states)}); budget {self.budget:.1f} s; "
            f"the engine was asked {len(watcher.samples)} times (longest gap {gap:.2f} s)",
            *self.notes,
        ]
        for waiting in self.every:
            last = waiting.looks[-1]
            failed = sum(bool(look.error) for look in waiting.looks)
            lines.append(
                f"  {waiting.name:20} {self.delay(waiting):+.2f} s (its last request {last.ended - last.began:.2f} s), "
                f"{len(waiting.looks)} looks ({failed} failed, at most {waiting.most_looks}), "
                f"{len(waiting.warnings)} warnings"
            )
        return lines

    def check(self, waiting: Waiting) -> None:
        """It ended in time, not too early, with what is so, and did not look more often than it may."""
        last = waiting.looks[-1]
        assert last.ended >= self.watcher.last_pending.asked, "something was pending when it ended"
        assert self.delay(waiting) <= self.budget + (last.ended - last.began) + HANDING_OVER
        (index,) = waiting.result
        counts = (index["state"], index["total_rows"], index["indexed_rows"], index["pending_rows"])
        assert counts == ("Finished", ROWS, ROWS, 0)
        assert (index["index_type"], index["params"]["M"]) == ("HNSW", 16)
        assert len(waiting.looks) <= waiting.most_looks
        assert waiting.deferrals == waiting.name.startswith("deferrable")


@pytest.fixture
def build(
    api: Api,
    milvus: MilvusServer,
    own_connection: None,
    monkeypatch: pytest.MonkeyPatch,
    figures: list[str],
    request: pytest.FixtureRequest,
) -> Building:
    """Let all ways wait for a new build in a collection; at the end of the block it is over, and all of them have been
    checked.
    """

    @contextmanager
    def building(collection: str) -> Iterator[Build]:
        api.ok("indexes/drop", collectionName=collection, indexName=INDEX)
        found = Build(Watcher(milvus, collection, INDEX, ROWS), ways(collection, HNSW))
        with found.watcher as watcher:
            with started(found.every, monkeypatch):
                yield found
                watcher.until(lambda sample: not sample.pending)
            time.sleep(5 * EVERY)
        figures.extend(found.figures(request.node.name))
        since = watcher.samples.index(watcher.built)
        assert not any(sample.pending for sample in watcher.samples[since:]), "the engine took back that it was done"
        for waiting in found.every:
            found.check(waiting)

    return building


def test_every_way_ends_when_the_engine_has_nothing_pending(build: Building, big: str) -> None:
    with build(big) as found:
        found.at(ROWS - 1)
    assert found.watcher.first.pending == ROWS
    assert found.watcher.states[-2:] == ["InProgress", "Finished"]
    assert not any(waiting.warnings for waiting in found.every)
    for waiting in found.every:
        errors = [request.error for request in waiting.requests if request.error]
        # Sensors may have come before the index.
        assert all("IndexNotFoundError" in error and "sensor" in waiting.name for error in errors), errors


def test_the_rest_server_is_killed_twice(build: Building, big: str, own_front: LocalMilvus) -> None:
    with build(big) as found:
        for pending in (ROWS - 1, ROWS // 2):
            found.at(pending)
            began = time.monotonic()
            own_front.kill()
            time.sleep(1)
            own_front.start()
            found.up_again()
            found.notes.append(f"  down for {found.up - began:.1f} s")
    for waiting in found.every:
        # Each has met the outages, and says so once, and not at each of its looks.
        assert any(look.error for look in waiting.looks)
        assert 1 <= len(waiting.warnings) <= 2
        assert all("still waiting for index 'v_hnsw'" in text for text in waiting.warnings)


def test_the_engine_is_frozen(build: Building, big: str, milvus: MilvusServer) -> None:
    with build(big) as found:
        found.at(ROWS - 1)
        with milvus.frozen():
            time.sleep(FREEZE)
        found.up_again()
    assert found.seconds > FREEZE
    for waiting in found.every:
        assert len(waiting.warnings) <= 2
        # Somebody did ask while nobody answered.
        assert max(look.ended - look.began for look in waiting.looks) > FREEZE / 2


def test_segments_are_merged_in_mid_build(
    build: Building, name: str, api: Api, milvus: MilvusServer, figures: list[str]
) -> None:
    """The engine says Finished then, for many seconds, while a merged segment is still to be indexed."""
    make_big_collection(api, name)  # of its own, since it leaves larger segments behind
    with build(name) as found:
        found.at(ROWS * 3 // 5)
        milvus.client.compact(found.watcher.collection)
    assert found.watcher.backwards, "nothing came to be pending again"
    lies = [sample for sample in found.watcher.samples if sample.pending and sample.state == "Finished"]
    assert lies, "the engine gave no chance to end too early"
    figures.append(
        f"  Finished with up to {max(s.pending for s in lies)} rows pending for {lies[-1].asked - lies[0].asked:.1f} s"
    )
    assert found.watcher.last_pending in lies
    for waiting in found.every:
        # Each of them has heard it say so.
        assert any(lies[0].answered < look.began < lies[-1].asked for look in waiting.looks)
        assert not waiting.warnings
