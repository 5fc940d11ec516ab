"""How a Milvus's collections and partitions are loaded."""

from __future__ import annotations

from airflow_vectordb.local.engine.messages import common_pb2
from airflow_vectordb.local.engine.model import LoadInfo
from airflow_vectordb.local.engine.remote.backend import Part
from airflow_vectordb.local.errors import ApiError, no_load_state

# That a partition does not exist or is not loaded, or that the collection has been released since.
_NO_PROGRESS = (101, 200, 201)


class Loading(Part):
    def load(self, database: str, collection: str) -> None:
        self._backend.call_in(database, "LoadCollection", collection_name=collection)

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None:
        self._backend.call_in(database, "LoadPartitions", collection_name=collection, partition_names=names)

    def refresh(self, database: str, collection: str) -> None:
        self._backend.call_in(database, "LoadCollection", collection_name=collection, refresh=True)

    def release(self, database: str, collection: str) -> None:
        self._backend.call_in(database, "ReleaseCollection", collection_name=collection)

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None:
        self._backend.call_in(database, "ReleasePartitions", collection_name=collection, partition_names=names)

    def state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        # Milvus's REST API asks for the state of the collection first, whatever partitions are asked for.
        state = self.collection_state(database, collection)
        if state == "LoadStateNotLoad":
            return LoadInfo(state)
        try:
            answer = self._backend.call(
                "GetLoadingProgress", db_name=database, collection_name=collection, partition_names=partitions
            )
        except ApiError as error:
            if error.code not in _NO_PROGRESS:
                raise
            return LoadInfo("LoadStateLoading", -1, f"{error.message}.")
        progress = int(answer.progress)
        return LoadInfo("LoadStateLoaded" if progress >= 100 else "LoadStateLoading", progress)

    def collection_state(self, database: str, collection: str) -> str:
        try:
            state = self._backend.call("GetLoadState", db_name=database, collection_name=collection).state
        except ApiError as error:
            if error.code != 800:
                raise
            state = common_pb2.LoadStateNotExist
        if state == common_pb2.LoadStateNotExist:
            raise no_load_state(collection)
        return str(common_pb2.LoadState.Name(state))
