"""Import jobs, which read files out of an object storage, and Milvus Lite has none."""

from __future__ import annotations

from airflow_vectordb.local.engine.lite.parts import Parts
from airflow_vectordb.local.engine.model import ImportInfo
from airflow_vectordb.local.errors import ApiError, not_here

__all__ = ["Imports"]


class Imports(Parts):
    """No import can be started; so there is none to be found."""

    def create_import(
        self, database: str, collection: str, partition: str, files: list[list[str]], options: dict[str, str]
    ) -> str:
        record = self._catalog.collection(database, collection)
        self._check_partitions(record, [partition] if partition else [])
        raise not_here("an import job, for want of an object storage to read files from (use entities/insert)")

    def import_job(self, database: str, job: str) -> ImportInfo:
        self._catalog.database(database)
        raise ApiError(2100, f"importing data failed: import job does not exist, jobID={job}")

    def import_jobs(self, database: str, collection: str) -> list[ImportInfo]:
        self._catalog.database(database)
        if collection:
            self._catalog.collection(database, collection)
        return []
