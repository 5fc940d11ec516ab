"""How a request is read: before anything else is looked at, and alike on every path."""

from __future__ import annotations

from tests.support.facts import Fact, Json

_HAS = "collections/has"
_C: Json = {"collectionName": "c"}
_ABSENT = {"has": False}


def _has(body: bytes, code: int = 0, says: str = "") -> Fact:
    return Fact(_HAS, body, code, says=says)


def _needs(struct: str, *fields: str) -> str:
    return "missing required parameters, error: " + "\n".join(
        f"Key: '{struct}.{name}' Error:Field validation for '{name}' failed on the 'required' tag" for name in fields
    )


def _takes(what: str, field: str, kind: str) -> str:
    return f"json: cannot unmarshal {what} into Go struct field {field} of type {kind}"


FACTS: dict[str, list[Fact]] = {
    "the body": [
        *(
            _has(body, 1801, "can only accept json format request, the request body should be nil, however {} is valid")
            for body in (b"", b"  \n")
        ),
        *(
            _has(body, 1801, f"json: cannot unmarshal {what} into Go value of type httpserver.CollectionNameReq")
            for body, what in (
                (b"[]", "array"),
                (b'"x"', "string"),
                (b"12", "number"),
                (b"1.5", "number"),
                (b"true", "bool"),
            )
        ),
        *(_has(body, 1801, "unexpected EOF") for body in (b'{"collectionName":"c"', b'{"collectionName":"c')),
        *(
            _has(body, 1801, "can only accept json format request, error: invalid character")
            for body in (
                b"{'collectionName':'c'}",
                b'{"collectionName":"c",}',
                b'{"collectionName":"c"/*x*/}',
                b'{"collectionName":"c","x":NaN}',
                b'{"collectionName":"c","x":01}',
                b'{"collectionName":"c\x01"}',
                b'\xef\xbb\xbf{"collectionName":"c"}',
                b"\x1f\x8b\x08",
                b"collectionName=c",
            )
        ),
        # After the first value anything may follow.
        _has(b'{"collectionName":"c"} x'),
        _has(b'{"collectionName":"c"}{"collectionName":1}'),
        _has('{"collectionName":"c","x":"ü"}, \ud800'.encode("utf-8", "surrogatepass")),
        _has(b"null", 1802, _needs("CollectionNameReq", "CollectionName")),
        _has(b"null x", 1802),
        Fact("databases/list", b"null"),
        # Keys in any case, the last one counts; others are passed over.
        _has(b'{"COLLECTIONname":"c"}'),
        _has(b'{"collectionName":"c","COLLECTIONNAME":"a-b"}', 1100),
        _has(b'{"COLLECTIONNAME":"a-b","collectionName":"c"}'),
        _has(b'{"collectionName":"a-b","collectionName":"c"}'),
        _has(b'{"collectionName":"c","COLLECTIONNAME":null}'),
        _has(b'{"collectionName":"c","foo":{"bar":[1,null]}}'),
        # What is no Unicode is replaced, and no letter then.
        _has(b'{"collectionName":"c\xff"}', 1100, "Invalid collection name: c\ufffd."),
        _has(b'{"collectionName":"c\\ud800"}', 1100, "Invalid collection name: c\ufffd."),
        _has(b'{"x":"\\\\ud800 \\ud83d\\ude00 \\udc00","collectionName":"c"}'),
        _has(b'{"collectionName":"c","x":"' + b"a" * (65 << 20) + b'"}'),
    ],
    "headers": [
        *(Fact(_HAS, _C, headers={"Content-Type": kind}) for kind in ("text/plain", "application/xml", "", None)),
        Fact(_HAS, _C, headers={"Accept": "text/xml"}),
        Fact(_HAS, _C, 800, headers={"DB-Name": "nowhere"}, says="database not found[database=nowhere]"),
        Fact(_HAS, {**_C, "dbName": "default"}, headers={"DB-Name": "nowhere"}),
        *(Fact(_HAS, {**_C, "dbName": none}, 800, headers={"DB-Name": "nowhere"}) for none in ("", None)),
        *(
            Fact(_HAS, _C, 10001, headers={"Request-Timeout": time}, status=408, says="request timeout")
            for time in ("0", "-1", "-99999999999")
        ),
        *(
            Fact(_HAS, _C, data=_ABSENT, headers={"Request-Timeout": time})
            for time in ("3", "+3", "1.5", "soon", "", "1_0", "99999999999", "9" * 30)
        ),
    ],
    "paths and methods": [
        *(
            Fact(path, _C, None, status=404, says="404 page not found")
            for path in ("collections/nope", "nope/list", "/collections/has", "collections/HAS", "", "nope/list/")
        ),
        *(Fact(path, {}, 10, says="not implemented") for path in ("quotacenter/describe", "segments/describe")),
        Fact("segments/describe", {}, None, status=404, method="GET"),
        *(Fact(_HAS, _C, None, status=404, method=method) for method in ("GET", "PUT", "DELETE", "HEAD", "PATCH")),
        Fact(_HAS, method="OPTIONS", code=None, status=204),
        Fact("nope/list", method="OPTIONS", code=None, status=204),
        Fact(f"{_HAS}/", _C, None, status=307),
        Fact(f"{_HAS}?collectionName=c", {}, 1802),
    ],
    "what is required": [
        *(Fact(_HAS, {"collectionName": none}, 1802) for none in ("", None)),
        Fact("collections/flush", {}, 1802, says=_needs("FlushReq", "CollectionName")),
        Fact("aliases/alter", {}, 1802, says=_needs("AliasCollectionReq", "CollectionName", "AliasName")),
        Fact("partitions/load", {}, 1802, says=_needs("PartitionsReq", "CollectionName", "PartitionNames")),
        Fact("databases/describe", {}, 1802, says=_needs("DatabaseReqRequiredName", "DbName")),
        Fact("databases/alter", {}, 1802, says=_needs("DatabaseReqWithProperties", "DbName")),
        Fact("collections/drop_properties", {}, 1802, says=_needs("DropCollectionPropertiesReq", "CollectionName")),
        Fact("jobs/import/describe", {}, 1802, says=_needs("JobIDReq", "JobID")),
        Fact("jobs/import/create", {}, 1802, says=_needs("ImportReq", "CollectionName", "Files")),
        Fact("entities/get", {**_C, "id": None}, 1802, says=_needs("CollectionIDReq", "ID")),
        Fact("entities/delete", {**_C, "ids": [1]}, 1802, says=_needs("CollectionFilterReq", "Filter")),
        Fact("entities/query", {}, 1802, says=_needs("QueryReqV2", "CollectionName")),
        Fact("entities/search", _C, 1802, says=_needs("SearchReqV2", "Data")),
        Fact("entities/upsert", {"data": [{}]}, 1802, says=_needs("CollectionDataReq", "CollectionName")),
        Fact("indexes/create", _C, 1802, says=_needs("IndexParamReq", "IndexParams")),
        # Lists and objects may be empty; what is wrong then is another matter.
        Fact("indexes/create", {**_C, "indexParams": []}, data={}),
        Fact("partitions/load", {**_C, "partitionNames": []}, 100),
        Fact("jobs/import/create", {**_C, "files": []}, 100),
        Fact("entities/insert", {**_C, "data": []}, 100),
    ],
    "types": [
        Fact(_HAS, {**_C, "dbName": 1}, 1801, says=_takes("number", "CollectionNameReq.dbName", "string")),
        Fact(_HAS, {"collectionName": ["c"]}, 1801, says=_takes("array", "CollectionNameReq.collectionName", "string")),
        Fact(_HAS, {"collectionName": True}, 1801, says=_takes("bool", "CollectionNameReq.collectionName", "string")),
        Fact(
            "collections/get_load_state",
            {**_C, "partitionNames": "p"},
            1801,
            says=_takes("string", "CollectionNameReq.partitionNames", "[]string"),
        ),
        Fact(
            "collections/get_load_state",
            {**_C, "partitionNames": [1]},
            1801,
            says=_takes("number", "CollectionNameReq.partitionNames", "string"),
        ),
        Fact(
            "collections/compact",
            {**_C, "isClustering": 5},
            1801,
            says=_takes("number", "CompactReq.isClustering", "bool"),
        ),
        Fact("collections/compact", {**_C, "isClustering": "true"}, 1801),
        Fact(
            "collections/get_compaction_state",
            {"jobID": 1.5},
            1801,
            says=_takes("number 1.5", "GetCompactionStateReq.jobID", "int64"),
        ),
        Fact("entities/query", {**_C, "limit": 2.5}, 1801, says=_takes("number 2.5", "QueryReqV2.limit", "int32")),
        Fact(
            "entities/query", {**_C, "limit": 2**31}, 1801, says=_takes(f"number {2**31}", "QueryReqV2.limit", "int32")
        ),
        Fact("entities/query", {**_C, "limit": "5"}, 1801, says=_takes("string", "QueryReqV2.limit", "int32")),
        Fact(
            "databases/create",
            {"dbName": "x", "properties": []},
            1801,
            says=_takes("array", "DatabaseReqWithProperties.properties", "map[string]interface {}"),
        ),
        Fact(
            "jobs/import/create",
            {**_C, "files": ["a.json"]},
            1801,
            says=_takes("string", "ImportReq.files", "[]string"),
        ),
        Fact(
            "jobs/import/create",
            {**_C, "files": "a.json"},
            1801,
            says=_takes("string", "ImportReq.files", "[][]string"),
        ),
        Fact(
            "jobs/import/create",
            {**_C, "files": [["a.json"]], "options": {"timeout": 300}},
            1801,
            says=_takes("number", "ImportReq.options", "string"),
        ),
        *(Fact("collections/create", {**_C, "dimension": value}, 1801) for value in ("4", 4.5, 4.0, True, [4])),
        *(Fact("collections/create", {**_C, "dimension": 4, "autoID": value}, 1801) for value in ("true", 1, 0)),
        Fact("collections/has", _C, data=_ABSENT),
        # These have no database, whatever it is.
        Fact("jobs/import/describe", {"dbName": 5, "jobId": "123"}, 2100, over="lite"),
        Fact("jobs/import/describe", {"jobId": "x"}, 2100, says="parse job id failed"),
        Fact("collections/get_compaction_state", {"dbName": [], "jobID": 1}, over="lite"),
        Fact("databases/list", {"dbName": 5}),
    ],
}
