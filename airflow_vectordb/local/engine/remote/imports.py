"""Import jobs of a Milvus. Until 2.3 they are calls over gRPC; since then Milvus takes them over its own REST API."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.messages import common_pb2
from airflow_vectordb.local.engine.model import ImportFile, ImportInfo
from airflow_vectordb.local.engine.remote.backend import Part
from airflow_vectordb.local.engine.requests import pairs, unpaired
from airflow_vectordb.local.errors import ApiError, import_not_found, not_there

_BY_REST_SINCE = (2, 4)
_NO_SUCH_KEY = 1000
_OPTIONS = frozenset({"bucket", "backup", "start_ts", "end_ts", "sep", "nullkey"})
# Of common.proto, to those of the REST API; a job whose rows are not indexed yet is not done.
_STATES = {
    "ImportPending": "Pending",
    "ImportFailed": "Failed",
    "ImportFailedAndCleaned": "Failed",
    "ImportCompleted": "Completed",
}


class Imports(Part):
    """The import jobs of the Milvus, which reads the files from its own storage."""

    def create(
        self, database: str, collection: str, partition: str, files: list[list[str]], options: dict[str, str]
    ) -> str:
        name = self._require_imports()
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise not_there(f"{', '.join(unknown)} among the options of an import: {name} has no such thing")
        if len(files) != 1:
            raise not_there(
                f"an import of several groups of files: {name} makes a job of each, so give them one by one"
            )
        (group,) = files
        # Of a collection that does not exist the import itself says so after a minute of trying.
        self._backend.described(database, collection)
        answer = self._backend.call(
            "Import",
            db_name=database,
            collection_name=collection,
            partition_name=partition,
            files=group,
            options=pairs(options),
        )
        (task,) = answer.tasks
        return str(task)

    def describe(self, job: str) -> ImportInfo:
        self._require_imports()
        unknown = import_not_found(job)
        if not job.isdecimal() or int(job) >= 2**63:
            raise unknown
        try:
            return _read(self._backend.call("GetImportState", task=int(job)))
        except ApiError as error:
            # What its own store says of a key that does not exist.
            raise unknown if error.code == _NO_SUCH_KEY else error from None

    def jobs(self, database: str, collection: str) -> list[ImportInfo]:
        self._require_imports()
        answer = self._backend.call_in(database, "ListImportTasks", collection_name=collection)
        return [_read(task) for task in answer.tasks]

    def _require_imports(self) -> str:
        """Return the name of the Milvus, unless it imports over its own REST API only."""
        name, version = self._backend.version()
        if version >= _BY_REST_SINCE:
            raise not_there(f"an import: {name} takes imports over its own REST API only, if at all")
        return name


def _read(answer: Any) -> ImportInfo:
    about = unpaired(answer.infos)
    state = _STATES.get(common_pb2.ImportState.Name(answer.state), "Importing")
    done, reason = state == "Completed", about.get("failed_reason", "")
    progress = 100 if done else int(about.get("progress_percent") or 0)
    names = [name for name in about.get("files", "").split(",") if name]
    return ImportInfo(
        str(answer.id),
        about.get("collection", ""),
        state,
        progress,
        imported=answer.row_count if done else 0,
        total=answer.row_count,
        reason=reason,
        files=[
            ImportFile(
                name,
                state=state,
                progress=progress,
                imported=answer.row_count if done else 0,
                total=answer.row_count,
                reason=reason,
            )
            for name in names
        ],
    )
