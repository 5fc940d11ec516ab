"""Import jobs: files in, rows out, all of them or none."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_vectordb.local import LocalMilvus, LocalMilvusError
from airflow_vectordb.rest import Client, MilvusConfig, import_jobs
from tests.support.import_jobs import ended, imported, rows_of
from tests.support.local_api import SCHEMA, Api, Json

# A field of each type that files can hold.
TYPED: Json = {
    "enableDynamicField": True,
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "s", "dataType": "SparseFloatVector"},
        {"fieldName": "flag", "dataType": "Bool"},
        {"fieldName": "small", "dataType": "Int8"},
        {"fieldName": "real", "dataType": "Double"},
        {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": {"max_length": 50}},
        {"fieldName": "document", "dataType": "JSON"},
        {
            "fieldName": "list",
            "dataType": "Array",
            "elementDataType": "Int64",
            "elementTypeParams": {"max_capacity": 4},
        },
        {"fieldName": "maybe", "dataType": "Int64", "nullable": True},
    ],
}
ROWS: list[Json] = [
    {
        "id": 2**40 + i,
        "v": [i + 0.5, 1.0],
        "s": {"3": 0.5, "7": 1.5},
        "flag": i % 2 == 0,
        "small": -i,
        "real": 0.1 * i,
        "text": f'größe, "{i}"\n',
        "document": {"a": [i, None]},
        "list": [i, 2**50],
        "maybe": None if i % 2 else i,
        "extra": {"b": i},
    }
    for i in range(5)
]


def write_json(folder: Path, rows: list[Json]) -> list[str]:
    (folder / "rows.json").write_text(json.dumps({"rows": rows}))
    return ["rows.json"]


def write_list(folder: Path, rows: list[Json]) -> list[str]:
    (folder / "deep/er").mkdir(parents=True, exist_ok=True)
    (folder / "deep/er/list.json").write_text(json.dumps(rows))
    return ["deep/er/list.json"]


def folded(row: Json) -> Json:
    """With the dynamic values in one column, and lists and maps as text, as Milvus's writers have them."""
    made = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in row.items()}
    made["$meta"] = json.dumps({"extra": row["extra"]})
    del made["extra"]
    return made


def write_parquet(folder: Path, rows: list[Json]) -> list[str]:
    pq.write_table(pa.Table.from_pylist([folded(row) for row in rows]), folder / "rows.parquet")
    return ["rows.parquet"]


def write_csv(folder: Path, rows: list[Json]) -> list[str]:
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(folded(rows[0]))
        for row in rows:
            values = folded(row).values()
            writer.writerow([json.dumps(one) if isinstance(one, list | bool) else one for one in values])
    return ["rows.csv"]


@pytest.fixture
def typed(api: Api, name: str) -> str:
    indexes = [{"fieldName": "v", "metricType": "L2"}, {"fieldName": "s"}]
    api.ok("collections/create", collectionName=name, schema=TYPED, indexParams=indexes)
    return name


@pytest.mark.parametrize("write", [write_json, write_list, write_parquet, write_csv])
def test_rows_of_a_file_are_those_that_an_insert_gives(
    api: Api, server: LocalMilvus, typed: str, write: Callable[[Path, list[Json]], list[str]]
) -> None:
    api.ok("entities/insert", collectionName=typed, data=ROWS)
    wanted = rows_of(api, typed)
    api.ok("collections/truncate", collectionName=typed)
    told = imported(api, typed, write(server.files, ROWS))
    assert told["state"] == "Completed", told
    assert rows_of(api, typed) == wanted
    # They are sealed.
    assert api.ok("collections/get_stats", collectionName=typed) == {"rowCount": 5}
    hits = api.ok("entities/search", collectionName=typed, annsField="v", data=[[3.5, 1]], limit=1)
    assert hits == [{"id": 2**40 + 3, "distance": 0}]


def test_numpy_files_have_a_field_each(api: Api, server: LocalMilvus, name: str) -> None:
    fields = [SCHEMA["fields"][0], SCHEMA["fields"][1], SCHEMA["fields"][3], SCHEMA["fields"][4]]
    index = [{"fieldName": "v"}]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=index)
    columns: dict[str, Any] = {
        "id": np.arange(3),
        "v": np.eye(3, 4, dtype=np.float32),
        "label": np.array(["a", "", "größe"]),
        "rank": np.array([5, -6, 7], dtype=np.int32),
    }
    (server.files / "npy").mkdir(exist_ok=True)
    for field, values in columns.items():
        np.save(server.files / f"npy/{field}.npy", values)
    group = [f"npy/{field}.npy" for field in columns]
    assert imported(api, name, group)["state"] == "Completed"
    assert [(row["id"], row["label"], row["rank"]) for row in rows_of(api, name)] == [
        (0, "a", 5),
        (1, "", -6),
        (2, "größe", 7),
    ]
    np.save(server.files / "npy/rank.npy", np.arange(4))
    told = imported(api, name, group)
    assert (told["state"], "same number of rows" in told["reason"]) == ("Failed", True)
    np.save(server.files / "npy/rank.npy", np.array([{"a": 1}] * 3, dtype=object))
    assert imported(api, name, group)["state"] == "Failed"
    assert len(rows_of(api, name)) == 3


def test_a_csv_file_may_have_another_separator_and_word_for_null(api: Api, server: LocalMilvus, typed: str) -> None:
    lines = [list(folded(ROWS[0])), ["1", "[1, 2]", '{"1": 1}', "true", "0", "0", "NULL", "{}", "[]", "NULL", "{}"]]
    (server.files / "odd.csv").write_text("\n".join("|".join(line) for line in lines))
    told = imported(api, typed, ["odd.csv"], options={"sep": "|", "nullkey": "NULL"})
    assert told["state"] == "Completed", told
    (row,) = rows_of(api, typed)
    assert (row["text"], row["maybe"]) == ("NULL", None)
    for separator in ("", "||", "\n"):
        assert imported(api, typed, ["odd.csv"], options={"sep": separator})["state"] == "Failed"


def test_a_job_is_told_of_as_milvus_does(api: Api, server: LocalMilvus, typed: str) -> None:
    first, second = write_json(server.files, ROWS[:3]), write_list(server.files, ROWS[3:])
    job = api.ok("jobs/import/create", collectionName=typed, files=[first, second])["jobId"]
    assert isinstance(job, str)
    told = ended(api, job)
    assert api.ok("jobs/import/get_progress", jobId=job) == told
    sizes = [(server.files / name).stat().st_size for name in (*first, *second)]
    when = told["completeTime"]
    assert time.strptime(when, "%Y-%m-%dT%H:%M:%SZ")
    done = {"state": "Completed", "progress": 100, "completeTime": when}
    assert told == {
        **done,
        "jobId": job,
        "collectionName": typed,
        "importedRows": 5,
        "totalRows": 5,
        "fileSize": sum(sizes),
        "details": [
            {**done, "fileName": name, "fileSize": size, "importedRows": count, "totalRows": count}
            for name, size, count in zip((*first, *second), sizes, (3, 2), strict=True)
        ],
    }
    listed = {"jobId": job, "collectionName": typed, "state": "Completed", "progress": 100}
    assert api.ok("jobs/import/list", collectionName=typed) == {"records": [listed]}
    assert listed in api.ok("jobs/import/list")["records"]
    with Client(MilvusConfig(server.uri, token=server.token)) as client:
        seen = client.send(import_jobs.describe(job))
        assert (seen.state, seen.imported_rows, seen.collection) == ("Completed", 5, typed)
        assert [one.job_id for one in client.send(import_jobs.list_(typed))] == [job]
    api.ok("databases/create", dbName="side")
    assert api.ok("jobs/import/list", dbName="side") == {"records": []}
    api.ok("databases/drop", dbName="side")


def test_what_cannot_be_imported_leaves_no_row(api: Api, server: LocalMilvus, typed: str) -> None:
    (server.files / "link.json").unlink(missing_ok=True)
    (server.files / "pipe.json").unlink(missing_ok=True)
    os.mkfifo(server.files / "pipe.json")
    good = write_list(server.files, ROWS)
    contents: dict[str, tuple[str, str]] = {
        "cut.json": ('{"rows": [{"id": 1', "cut.json"),
        "text.json": ('"rows"', "rows"),
        "nothing.json": ("{}", "rows"),
        "numbers.json": ("[1, 2]", "rows"),
        "deep.json": ("[" * 5000 + "]" * 5000, "deep.json"),
        "bare.json": ('[{"id": 1}]', "field v"),
        "wide.json": (json.dumps([{**ROWS[0], "v": [1, 2, 3]}]), "dimension"),
        "long.json": (json.dumps([{**ROWS[0], "text": "x" * 51}]), "max length"),
        "empty.csv": ("", "first line"),
        "short.csv": ("id,v\n1\n", "line 2"),
        "twice.csv": ("id,id\n1,2\n", "each once"),
        "no.parquet": ("PAR1", "no.parquet"),
    }
    for file, (text, _) in contents.items():
        (server.files / file).write_text(text)
    words = {file: word for file, (_, word) in contents.items()} | {"gone.json": "no such file", "pipe.json": "no such"}
    for file, word in words.items():
        told = imported(api, typed, good, [file])
        assert (told["state"], told["progress"], told["importedRows"]) == ("Failed", 0, 0), told
        assert word in told["reason"], told
        assert len(told["reason"]) < 500
        listed = [
            job for job in api.ok("jobs/import/list", collectionName=typed)["records"] if job["state"] == "Failed"
        ]
        assert listed[-1]["reason"] == told["reason"]
    assert rows_of(api, typed) == []
    # Those after it get their turn.
    assert imported(api, typed, good)["state"] == "Completed"


def test_what_is_refused_at_once(api: Api, server: LocalMilvus, typed: str, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("[]")
    for link, target in (("out.json", tmp_path / "secret.json"), ("outside", tmp_path), ("circle.json", "circle.json")):
        (server.files / link).unlink(missing_ok=True)
        (server.files / link).symlink_to(target)
    cases: list[tuple[Json, int, str]] = [
        *(
            ({"files": [[name]]}, 1100, "own folder")
            for name in (
                "../catalog.json",
                "a/../../b.json",
                "a/../b.json",
                "/etc/x.json",
                str(tmp_path / "secret.json"),
                "out.json",
                "outside/secret.json",
                "a\0.json",
            )
        ),
        ({"files": [["a.txt"]]}, 2100, "unexpected file type"),
        ({"files": [["json"]]}, 2100, "unexpected file type"),
        ({"files": [["a.json", "b.json"]]}, 2100, "only one file"),
        ({"files": [["a.npy", "b.json"]]}, 2100, "inconsistency"),
        ({"files": [["a.json"]] * 1025}, 2100, "1024"),
        ({"partitionName": "nosuch"}, 200, "nosuch"),
        ({"options": {"backup": "true"}}, 10, "this local server"),
        ({"options": {"timeout": "soon"}}, 2100, "soon"),
    ]
    for change, expected, words in cases:
        code, message = api.fails("jobs/import/create", **{"collectionName": typed, "files": [["a.json"]], **change})
        assert (code, words in message) == (expected, True), (change, code, message)
    assert api.ok("jobs/import/list", collectionName=typed) == {"records": []}
    assert api.fails("jobs/import/describe", jobId="nosuch")[0] == 2100
    for link in ("out.json", "outside", "circle.json"):
        (server.files / link).unlink()


def test_ids_are_made_and_partitions_chosen(api: Api, server: LocalMilvus, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2, autoID=True)
    api.ok("partitions/create", collectionName=name, partitionName="p")
    (server.files / "auto.json").write_text(json.dumps([{"vector": [i, 1], "n": i} for i in range(50)]))
    assert imported(api, name, ["auto.json"], partitionName="p")["state"] == "Completed"
    assert imported(api, name, ["auto.json"], options={"timeout": "1h30m"})["state"] == "Completed"
    assert api.ok("partitions/get_stats", collectionName=name, partitionName="p") == {"rowCount": 50}
    assert sorted(row["n"] for row in rows_of(api, name)) == sorted([*range(50)] * 2)
    (server.files / "given.json").write_text('[{"id": 1, "vector": [1, 1]}]')
    told = imported(api, name, ["given.json"])
    assert (told["state"], "autoid" in told["reason"]) == ("Failed", True)
    told = imported(api, name, ["auto.json"], options={"timeout": "0s"})
    assert (told["state"], "timeout" in told["reason"]) == ("Failed", True)
    assert len(rows_of(api, name)) == 100


def test_the_folder_is_known_while_it_runs(server: LocalMilvus) -> None:
    assert server.files.is_dir()
    assert server.files.parent.stat().st_mode & 0o077 == 0
    with pytest.raises(LocalMilvusError, match="not running"):
        _ = LocalMilvus().files
