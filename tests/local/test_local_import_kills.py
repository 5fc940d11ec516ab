"""kill -9 during import jobs: no row of a job is there twice, and they are there together or not at all."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError

from airflow_vectordb.local import LocalMilvus
from tests.support.import_jobs import ended, rows_of
from tests.support.local_api import Api

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("IMPORT_KILLS", "6"))


def gone(pattern: Path) -> bool:
    """Whether what was kept for writing is removed, which is done when the job is seen to be completed already."""
    deadline = time.monotonic() + 60
    while there := list(pattern.parent.glob(pattern.name)):
        if time.monotonic() > deadline:
            return not there
        time.sleep(0.02)
    return True


def test_a_kill_leaves_no_row_twice_and_none_out(tmp_path: Path, connect: Callable[[LocalMilvus], Api]) -> None:
    """Jobs go on after it: made ids too are there once, and rows of a job together or not at all."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    size = 400
    jobs: dict[str, int] = {}
    open_tags: list[int] = []
    failures: list[AssertionError] = []

    def churn(api: Api, start: int, stepped: threading.Event) -> None:
        tag = start
        try:
            while True:
                tag += 1
                rows = [{"vector": [tag, i], "tag": tag, "n": i} for i in range(size)]
                (running_files / f"{tag}.json").write_text(json.dumps(rows))
                open_tags.append(tag)
                job = api.ok("jobs/import/create", collectionName="c", files=[[f"{tag}.json"]])["jobId"]
                jobs[job] = tag
                stepped.set()
                if chance.random() < 0.5:
                    assert ended(api, job)["state"] == "Completed"
        except HTTPError:
            pass
        except AssertionError as error:
            failures.append(error)

    with LocalMilvus(tmp_path) as running:
        running_files = running.files
        connect(running).ok("collections/create", collectionName="c", dimension=2, autoID=True)
        for kill in range(KILLS):
            stepped = threading.Event()
            churning = threading.Thread(target=churn, args=(connect(running), kill * 1000, stepped))
            churning.start()
            assert stepped.wait(30), failures
            time.sleep(chance.uniform(0, 0.4))
            running.kill()
            churning.join()
            where = f"seed {seed}, kill {kill}"
            assert not failures, where
            running.start()
            api = connect(running)
            for job in jobs:
                assert ended(api, job)["state"] == "Completed", where
            # Jobs whose number was not told may have been made.
            for record in api.ok("jobs/import/list", collectionName="c")["records"]:
                told = ended(api, record["jobId"])
                tag = int(told["details"][0]["fileName"].removesuffix(".json"))
                assert (tag in open_tags, told["state"]) == (True, "Completed"), where
                jobs[record["jobId"]] = tag
            counted = {}
            for tag in set(open_tags):
                rows = api.ok(
                    "entities/query", collectionName="c", filter=f"tag == {tag}", outputFields=["n"], limit=16384
                )
                counted[tag] = sorted(row["n"] for row in rows)
            done = list(jobs.values())
            assert len(done) == len(set(done)), where
            assert counted == {tag: [*range(size)] if tag in done else [] for tag in open_tags}, where
            api.ok("collections/drop", collectionName="c")
            api.ok("collections/create", collectionName="c", dimension=2, autoID=True)
            assert api.ok("jobs/import/list", collectionName="c")["records"] == [], where
            open_tags.clear()
            jobs.clear()
            for path in running_files.iterdir():
                path.unlink()
            assert gone(tmp_path / "imports/*"), where


def test_rows_that_were_kept_for_writing_are_written_by_the_next_start(
    tmp_path: Path, connect: Callable[[LocalMilvus], Api]
) -> None:
    """Even when the file is gone by then; and what was written after the job is not written over."""
    rows = [{"vector": [i, 1], "n": i} for i in range(30000)]
    with LocalMilvus(tmp_path) as running:
        api = connect(running)
        api.ok("collections/create", collectionName="c", dimension=2, autoID=True)
        (running.files / "big.json").write_text(json.dumps(rows))
        job = api.ok("jobs/import/create", collectionName="c", files=[["big.json"]])["jobId"]
        stage = tmp_path / "imports" / job
        deadline = time.monotonic() + 60
        # Caught in the act, not by luck.
        while not stage.exists():
            assert time.monotonic() < deadline
        running.kill()
        (tmp_path / "files/big.json").unlink()
        assert stage.exists()
        running.start()
        api = connect(running)
        told = ended(api, job)
        if told["state"] == "Failed":
            # The catalog had not been told yet that the rows are kept: nothing of them is there.
            assert "no such file" in told["reason"]
            assert rows_of(api, "c") == []
        else:
            (row,) = api.ok("entities/query", collectionName="c", outputFields=["count(*)"])
            assert (told["importedRows"], row["count(*)"]) == (30000, 30000)
            api.ok("entities/delete", collectionName="c", filter="n >= 0")
            running.kill()
            running.start()
            (row,) = connect(running).ok("entities/query", collectionName="c", outputFields=["count(*)"])
            assert row["count(*)"] == 0
        assert gone(stage)
