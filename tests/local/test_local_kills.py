"""kill -9 at random moments, under writes: nothing that was acknowledged is lost, and what was deleted stays so.

Each writer has things that nobody else writes (rows, indexes, collections, aliases), knows what the server told it that
they are, and which one change is open because the kill came before the answer.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from airflow_vectordb.local import LocalMilvus, LocalMilvusError
from tests.support.local_api import SCHEMA, Api, Json

pytestmark = pytest.mark.slow

KILLS = 20
# Of the starts after a kill, so many are ended too while the server still sets its data right.
BROKEN_STARTS = 4
DENSE = {"HNSW": {"M": (2, 64), "efConstruction": (8, 256)}, "IVF_FLAT": {"nlist": (1, 64)}, "FLAT": {}}


class Killed(Exception):
    """The server is gone."""


class Writer:
    """Writes until the server is gone, and knows what must be there then.

    ``known`` has a value for each thing that is there, as acknowledged; ``open`` the values (None: gone) that things
    get by the call that was not answered.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.known: dict[Any, Any] = {}
        self.open: dict[Any, Any] = {}
        self.acknowledged = 0
        self.failure: Exception | None = None

    def prepare(self, api: Api) -> None:
        """Make what the writer needs, once."""

    def step(self, api: Api) -> None:
        """Change something."""
        raise NotImplementedError

    def seen(self, api: Api) -> dict[Any, Any]:
        """What is there."""
        raise NotImplementedError

    def change(self, api: Api, path: str, body: Json, changes: dict[Any, Any]) -> None:
        self.open = changes
        try:
            response = api.post(path, body)
        except HTTPError:
            raise Killed from None
        answer = response.json()
        assert answer["code"] == 0, f"{path} {answer}"
        self.known = {key: value for key, value in {**self.known, **changes}.items() if value is not None}
        self.open = {}
        self.acknowledged += 1

    def run(self, api: Api) -> None:
        try:
            while True:
                self.step(api)
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - told by the test, in its own thread
            self.failure = error

    def check(self, api: Api) -> int:
        """Compare, and take what is there for the truth about what was open. Returns the number of things."""
        seen = self.seen(api)
        wrong = {
            key: {"known": self.known.get(key), "open": self.open.get(key, "no"), "seen": seen.get(key)}
            for key in {*seen, *self.known}
            if seen.get(key) != self.known.get(key) and not (key in self.open and seen.get(key) == self.open[key])
        }
        assert not wrong, f"{type(self).__name__}: {len(wrong)} things differ, such as {list(wrong.items())[:5]}"
        self.known, self.open = seen, {}
        return len(seen)


class Rows(Writer):
    """Rows with keys of its own, in a collection that others write too; each has a version."""

    def __init__(self, chance: random.Random, collection: str, lane: int) -> None:
        super().__init__(chance)
        self.collection = collection
        self.lane = lane
        self.keys = itertools.count(lane * 1_000_000)
        self.versions = itertools.count(1)

    def prepare(self, api: Api) -> None:
        api.ok("collections/create", collectionName=self.collection, dimension=2, metricType="L2")

    def step(self, api: Api) -> None:
        kind = self.chance.choices(["insert", "upsert", "delete", "flush"], [5, 4, 3 + len(self.known) // 200, 1])[0]
        body: Json = {"collectionName": self.collection}
        if kind == "flush":
            return self.change(api, "collections/flush", body, {})
        if kind == "delete" and self.known:
            gone = self.chance.sample(sorted(self.known), min(len(self.known), self.chance.randint(1, 60)))
            body["filter"] = f"id in {gone}"
            return self.change(api, "entities/delete", body, dict.fromkeys(gone))
        if kind == "upsert" and self.known:
            keys = self.chance.sample(sorted(self.known), min(len(self.known), 15))
        else:
            kind = "insert"
            keys = list(itertools.islice(self.keys, self.chance.randint(1, 30)))
        version = next(self.versions)
        body["data"] = [{"id": key, "vector": [version, key], "lane": self.lane, "version": version} for key in keys]
        return self.change(api, f"entities/{kind}", body, dict.fromkeys(keys, version))

    def seen(self, api: Api) -> dict[Any, Any]:
        query: Json = {"collectionName": self.collection, "filter": f"lane == {self.lane}", "limit": 16384}
        found = api.ok("entities/query", **query, outputFields=["vector", "version"])
        # The whole row is of one version.
        return {row["id"]: row["version"] if row["vector"][0] == row["version"] else row for row in found}


class Made(Writer):
    """Rows whose keys the server makes: none is made twice, as the second would replace the first."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.tags = itertools.count()

    def prepare(self, api: Api) -> None:
        api.ok("collections/create", collectionName="made", dimension=2, autoID=True)

    def step(self, api: Api) -> None:
        tags = list(itertools.islice(self.tags, self.chance.randint(1, 8)))
        data = [{"vector": [1, tag], "tag": tag} for tag in tags]
        self.change(api, "entities/insert", {"collectionName": "made", "data": data}, dict.fromkeys(tags, 1))

    def seen(self, api: Api) -> dict[Any, Any]:
        found = api.ok("entities/query", collectionName="made", outputFields=["tag"], limit=16384)
        return {tag: sum(1 for _ in rows) for tag, rows in itertools.groupby(sorted(row["tag"] for row in found))}


class Indexes(Writer):
    """Indexes of a collection with rows, and whether it is loaded."""

    FIELDS = ("v", "s", "rank")

    def prepare(self, api: Api) -> None:
        api.ok("collections/create", collectionName="indexed", schema=SCHEMA)
        rows = [{"id": i, "v": [i, 1, 0, 0], "s": {str(i): 1}, "label": "", "rank": i} for i in range(60)]
        api.ok("entities/insert", collectionName="indexed", data=rows)
        api.ok("collections/flush", collectionName="indexed")

    def step(self, api: Api) -> None:
        body: Json = {"collectionName": "indexed"}
        field = self.chance.choice(self.FIELDS)
        if self.known.get("loaded"):
            return self.change(api, "collections/release", body, {"loaded": None})
        if {"v", "s"} <= self.known.keys() and self.chance.random() < 0.3:
            return self.change(api, "collections/load", body, {"loaded": True})
        if field in self.known:
            return self.change(api, "indexes/drop", {**body, "indexName": self.known[field][0]}, {field: None})
        name = f"{field}_{self.chance.randrange(1000)}"
        kind, metric, params = {"s": ("SPARSE_INVERTED_INDEX", "IP", {})}.get(field, ("INVERTED", "", {}))
        if field == "v":
            kind, metric = self.chance.choice(sorted(DENSE)), self.chance.choice(["L2", "IP", "COSINE"])
            params = {key: self.chance.randint(*bounds) for key, bounds in DENSE[kind].items()}
        index = {"fieldName": field, "indexName": name, "indexType": kind, "metricType": metric, "params": params}
        wanted = (name, kind, metric, params)
        return self.change(api, "indexes/create", {**body, "indexParams": [index]}, {field: wanted})

    def seen(self, api: Api) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for name in api.ok("indexes/list", collectionName="indexed"):
            (index,) = api.ok("indexes/describe", collectionName="indexed", indexName=name)
            params = {pair["key"]: pair["value"] for pair in index["indexParams"]}
            build = json.loads(params.get("params", "{}"))
            found[index["fieldName"]] = (name, index["indexType"], index["metricType"], build)
            assert index["indexState"] == "Finished"
        if api.ok("collections/get_load_state", collectionName="indexed")["loadState"] == "LoadStateLoaded":
            # Not only said to be so.
            hits = api.ok("entities/search", collectionName="indexed", annsField="v", data=[[1, 1, 0, 0]], limit=3)
            assert len(hits) == 3
            found["loaded"] = True
        return found


class Collections(Writer):
    """Collections that come, change their names and go."""

    NAMES = ("x0", "x1", "x2", "x3")

    def step(self, api: Api) -> None:
        name, other = self.chance.sample(self.NAMES, 2)
        if name in self.known and other not in self.known and self.chance.random() < 0.5:
            body = {"collectionName": name, "newCollectionName": other}
            return self.change(api, "collections/rename", body, {name: None, other: self.known[name]})
        if name in self.known:
            return self.change(api, "collections/drop", {"collectionName": name}, {name: None})
        what = f"{self.chance.randrange(10**9)} größte"
        shards, level = self.chance.randint(1, 4), self.chance.choice(["Strong", "Eventually", "Bounded"])
        params = {"shardsNum": shards, "consistencyLevel": level}
        body = {"collectionName": name, "schema": SCHEMA, "description": what, "params": params}
        return self.change(api, "collections/create", body, {name: (what, shards, level)})

    def seen(self, api: Api) -> dict[Any, Any]:
        found = {}
        for name in set(api.ok("collections/list")) & set(self.NAMES):
            told = api.ok("collections/describe", collectionName=name)
            found[name] = (told["description"], told["shardsNum"], told["consistencyLevel"])
        if self.open:
            # A new name is there and the old one is gone, or neither: the collection is never twice or nowhere.
            before = {key: self.known[key] for key in self.open if key in self.known}
            after = {key: value for key, value in self.open.items() if value is not None}
            assert {key: value for key, value in found.items() if key in self.open} in (before, after)
        return found


class Aliases(Writer):
    """Aliases that come, move and go."""

    TARGETS = ("behind0", "behind1")

    def prepare(self, api: Api) -> None:
        for target in self.TARGETS:
            api.ok("collections/create", collectionName=target, schema=SCHEMA)

    def step(self, api: Api) -> None:
        alias, target = f"alias{self.chance.randrange(4)}", self.chance.choice(self.TARGETS)
        if alias not in self.known:
            kind = "create"
        elif self.chance.random() < 0.3:
            return self.change(api, "aliases/drop", {"aliasName": alias}, {alias: None})
        else:
            kind = "alter"
        return self.change(api, f"aliases/{kind}", {"aliasName": alias, "collectionName": target}, {alias: target})

    def seen(self, api: Api) -> dict[Any, Any]:
        names = api.ok("aliases/list")
        return {name: api.ok("aliases/describe", aliasName=name)["collectionName"] for name in names}


def _break_a_start(data: Path, seconds: float) -> None:
    """Have a server start on the data, and end before it is up unless it is quick."""
    try:
        LocalMilvus(data, start_timeout=seconds).start().kill()
    except LocalMilvusError as error:
        assert "not ready" in str(error)  # any other reason is a failure


def test_nothing_that_was_acknowledged_is_lost_to_twenty_kills(
    tmp_path: Path, connect: Callable[[LocalMilvus], Api], capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("KILLS_SEED") or random.randrange(2**32))
    chance = random.Random(seed)

    def own() -> random.Random:
        return random.Random(chance.randrange(2**32))

    rows = [Rows(own(), "a", 1), Rows(own(), "a", 2), Rows(own(), "b", 3)]
    writers: list[Writer] = [*rows, Made(own()), Indexes(own()), Collections(own()), Aliases(own())]
    broken = set(chance.sample(range(KILLS), BROKEN_STARTS))
    checked = 0
    running = LocalMilvus(tmp_path).start()
    try:
        for writer in writers:
            writer.prepare(connect(running))
        for kill in range(KILLS):
            threads = [threading.Thread(target=writer.run, args=(connect(running),)) for writer in writers]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.02, 0.6))
            running.kill()
            for thread in threads:
                thread.join()
            where = f"kill {kill + 1}, KILLS_SEED={seed}"
            assert [writer.failure for writer in writers if writer.failure] == [], where
            if kill in broken:
                _break_a_start(tmp_path, chance.uniform(0.4, 1.4))
            running.start()
            try:
                checked += sum(writer.check(connect(running)) for writer in writers)
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from error
    finally:
        running.stop()
    counts = ", ".join(f"{type(writer).__name__} {writer.acknowledged}" for writer in writers)
    with capsys.disabled():
        print(f"\nKILLS_SEED={seed}: {KILLS} kills; acknowledged: {counts}; {checked} things compared ")
    assert all(writer.acknowledged for writer in writers)


@pytest.mark.parametrize("left", ["wal_*", "wal_data_*", "wal_delta_*", "wal_*1.arrow"])
def test_a_log_that_outlived_its_checkpoint_is_not_replayed(
    tmp_path: Path, connect: Callable[[LocalMilvus], Api], left: str
) -> None:
    """A flush commits first, and removes the logs one by one then; killed in between, some of them are left."""

    def write(path: str, **body: Any) -> None:
        connect(running).ok(f"entities/{path}", collectionName="c", **body)

    def seen() -> list[tuple[int, int]]:
        api = connect(running)
        (row,) = api.ok("entities/query", collectionName="c", outputFields=["count(*)"])
        found = api.ok("entities/query", collectionName="c", limit=10, outputFields=["version"])
        hits = api.ok("entities/search", collectionName="c", data=[[1, 1]], limit=10)
        assert (row["count(*)"], len(hits)) == (len(found), len(found))
        return [(row["id"], row["version"]) for row in found]

    logs = tmp_path / "data/engine/collections/c/wal"
    with LocalMilvus(tmp_path / "data") as running:
        connect(running).ok("collections/create", collectionName="c", dimension=2)
        write("insert", data=[{"id": i, "vector": [i, 1], "version": 1} for i in (1, 2, 3)])
        running.kill()
        running.start()
        write("delete", filter="id in [2]")
        write("upsert", data=[{"id": 1, "vector": [1, 1], "version": 2}])
        shutil.copytree(logs, tmp_path / "copy")
        connect(running).ok("collections/flush", collectionName="c")
        running.kill()
        assert list(logs.glob("wal_*")) == []
        there = list((tmp_path / "copy").glob(left))
        assert there
        for path in there:
            shutil.copy(path, logs)
        running.start()
        assert seen() == [(1, 2), (3, 1)]
        # What is deleted is gone, and what is written again is there, whatever is in which file.
        write("delete", filter="id in [3]")
        write("upsert", data=[{"id": 2, "vector": [2, 1], "version": 3}])
        for _ in range(2):
            assert seen() == [(1, 2), (2, 3)]
            running.kill()
            running.start()


@pytest.mark.parametrize("kind", ["FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "INVERTED"])
def test_an_index_whose_file_a_kill_cut_short_is_built_again(
    tmp_path: Path, connect: Callable[[LocalMilvus], Api], kind: str
) -> None:
    """The engine writes them in place, and does not start a collection with a broken one."""
    field = "rank" if kind == "INVERTED" else "v"
    with LocalMilvus(tmp_path) as running:
        api = connect(running)
        index = [{"fieldName": "v"}, {"fieldName": "s"}]
        if kind != "INVERTED":
            index[0] |= {"indexType": kind, "metricType": "L2"}
        else:
            index.append({"fieldName": "rank", "indexType": kind})
        api.ok("collections/create", collectionName="c", schema=SCHEMA)
        rows = [{"id": i, "v": [i, 1, 0, 0], "s": {"1": 1}, "label": "", "rank": i} for i in range(300)]
        api.ok("entities/insert", collectionName="c", data=rows)
        api.ok("collections/flush", collectionName="c")
        api.ok("indexes/create", collectionName="c", indexParams=index)
        for loaded in (True, False):
            if loaded:
                api.ok("collections/load", collectionName="c")
            else:
                api.ok("collections/release", collectionName="c")
            running.kill()
            (path,) = (tmp_path / "engine/collections/c/partitions").glob(f"*/indexes/*.{field}.*")
            with path.open("rb+") as file:
                file.truncate(0 if loaded else path.stat().st_size // 2)
            running.start()
            api = connect(running)
            api.ok("collections/load", collectionName="c")
            assert "building the indexes again" in running.log()
            search: Json = {"collectionName": "c", "annsField": "v", "data": [[7, 1, 0, 0]], "limit": 1}
            assert [hit["id"] for hit in api.ok("entities/search", **search, filter="rank == 7")] == [7]
