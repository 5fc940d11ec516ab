"""The conditions that collections are loaded or released, and import jobs completed; all conditions by name."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_vectordb.rest import collections, errors, import_jobs, partitions
from airflow_vectordb.rest.collections import LoadState
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.import_jobs import ImportJob
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import duration, in_words
from airflow_vectordb.waiting.base import Condition, Done, Memory, Pending, Poll, Progress
from airflow_vectordb.waiting.indexes import IndexesBuilt

#: Seconds after which what is not released is taken to be loaded again, by another client.
LONGEST_RELEASE = 300.0
#: Seconds after which a load is taken to have ended early: Milvus reports what it was asked to load as loading.
LONGEST_UNLOADED = 300.0
#: Files whose progress is reported by name; a job may have 1,024.
MAX_FILES_REPORTED = 8


@dataclass(frozen=True)
class CollectionLoaded:
    """
    A collection, or some of its partitions, is loaded, so that it can be searched.

    :param partitions: names of partitions; empty: the whole collection
    :param wait_if_missing: whether to wait for a collection or partition that does not exist yet, or that nobody loads;
        otherwise that is an error: its load was requested
    """

    collection: str
    partitions: tuple[str, ...] = ()
    wait_if_missing: bool = False

    def poll(self, memory: Memory) -> Poll:
        """
        Get the load state.

        :raises CollectionNotFoundError: when the collection is gone
        :raises PartitionNotFoundError: when one of the partitions is gone
        :raises WaitTimeoutError: if it has long not been loading: another client has released it, or the load failed
        """
        try:
            return (yield from self._poll(memory))
        except (errors.CollectionNotFoundError, errors.PartitionNotFoundError) as error:
            if not self.wait_if_missing:
                raise
            missing = isinstance(error, errors.CollectionNotFoundError)
            state = "not there yet" if missing else sanitize_text(error.message, 300)
            return Pending((Progress(self.collection, state),))

    def _poll(self, memory: Memory) -> Poll:
        # Since when it is seen not to be loading; an outage restarts the count.
        unloaded_since, memory.state = memory.state, None
        found: LoadState = yield collections.load_state(self.collection, self.partitions)
        if found.state == "LoadStateNotExist":
            raise errors.CollectionNotFoundError(f"collection {self.collection!r} does not exist")
        state = ""
        if _is_loaded(found) and not self.partitions:
            # A collection is reported as loaded, 100%, as soon as one of its partitions is.
            names = yield from self._partition_names()
            if len(names) > 1:
                found = yield collections.load_state(self.collection, names)
            if found.state == "LoadStateNotLoad":  # the message contains one of them, usually its id
                state = "some of its partitions are not loaded"
        if _is_loaded(found):
            return _done(self.collection, self.partitions, found.state)
        if self.partitions and found.state == "LoadStateNotLoad":
            # Servers also report this of partitions that do not exist.
            existing = yield from self._partition_names()
            if existing and (missing := [name for name in self.partitions if name not in existing]):
                verb = "does" if len(missing) == 1 else "do"
                raise errors.PartitionNotFoundError(
                    f"{_named(self.collection, missing)} {verb} not exist; there is {', '.join(existing)}"
                )
        if found.state == "LoadStateNotLoad":
            now = memory.clock()
            memory.state = unloaded_since or now
            if not self.wait_if_missing and now - memory.state >= LONGEST_UNLOADED:
                raise errors.WaitTimeoutError(
                    f"not loading for {duration(LONGEST_UNLOADED)}; waited for: {self}",
                    cause="the load has ended early: another client released it, or Milvus gave up",
                    hint="Load it again.",
                )
        state = state or in_words(sanitize_text(found.state, 100))
        if found.message:
            state += f" ({sanitize_text(found.message, 200)})"
        return Pending((Progress(self.collection, state, found.progress, 100, "%"),))

    def _partition_names(self) -> Generator[Call[Any], Any, list[str]]:
        """List the partitions; none if the user lacks the privilege: then the reported state alone decides."""
        try:
            names: list[str] = yield partitions.list_(self.collection)
        except errors.PermissionDeniedError:
            return []
        return names

    def __str__(self) -> str:
        return f"{_named(self.collection, self.partitions)} to be loaded"


@dataclass(frozen=True)
class CollectionReleased:
    """
    A collection, or some of its partitions, is released, so that its indexes can be dropped.

    :param partitions: names of partitions; empty: the whole collection
    """

    collection: str
    partitions: tuple[str, ...] = ()

    def poll(self, memory: Memory) -> Poll:
        """
        Get the load state of each partition separately.

        For several together, the server reports only whether all of them are loaded.

        :raises CollectionNotFoundError: when the collection is gone
        :raises WaitTimeoutError: if it has long been loaded: another client has loaded it again
        """
        # Since when it is seen not to be released; an outage restarts the count.
        loaded_since, memory.state = memory.state, None
        each: list[tuple[str, ...]] = [(name,) for name in self.partitions]
        for names in each or [()]:
            found: LoadState = yield collections.load_state(self.collection, names)
            if found.state in ("LoadStateNotLoad", "LoadStateNotExist"):
                continue
            now = memory.clock()
            memory.state = loaded_since or now
            if now - memory.state >= LONGEST_RELEASE:
                raise errors.WaitTimeoutError(
                    f"not released within {duration(LONGEST_RELEASE)}; waited for: {self}",
                    cause="it was released, but is loaded again: another client loads it",
                    hint="A retry releases it again.",
                )
            return Pending((Progress(self.collection, sanitize_text(found.state, 100)),))
        return _done(self.collection, self.partitions, "LoadStateNotLoad")

    def __str__(self) -> str:
        return f"{_named(self.collection, self.partitions)} to be released"


@dataclass(frozen=True)
class ImportCompleted:
    """
    An import job is completed, so that its rows can be read.

    :param collection: empty: not known
    """

    collection: str
    job_id: str

    def poll(self, memory: Memory) -> Poll:
        """
        Describe the job.

        :raises ImportFailedError: if it failed, with the server's reason, or does not exist
        """
        try:
            job = yield from _describe(self.job_id)
        except errors.ImportFailedError as error:
            hint = "Milvus forgets a job hours after its end: count the rows."
            raise error.with_context(hint=hint) from error.__cause__
        if job.state == "Failed":
            reasons = [job.reason, *(file.reason for file in job.files)]
            reason = next((sanitize_text(one, 2000) for one in reasons if one), "the server gives no reason")
            raise errors.ImportFailedError(reason)
        if job.state == "Completed":
            name = job.collection or self.collection
            counts = {"rows": job.imported_rows, "files": len(job.files)}
            return Done({"collection_name": name, "job_id": self.job_id, **counts})
        state = Progress(str(self), sanitize_text(job.state, 100), job.progress, 100, "%")
        return Pending((state, *_progress_of_files(job)))

    def __str__(self) -> str:
        return f"import job {self.job_id}"


@dataclass(frozen=True)
class ImportFound:
    """
    It is known whether an import job with certain files was created since some moment.

    A server lists jobs without their files, and does not report the files of a job that it has not started; so the wait
    continues until it does. It may also create a job after the client has given up: so the wait continues until no such
    job can appear any more.

    :param files: groups of paths, as they were given to the job
    :param before: ids of the jobs that existed at that moment
    :param until: seconds since the epoch: until then, a job may still appear
    """

    collection: str
    files: tuple[tuple[str, ...], ...]
    before: tuple[str, ...]
    until: float = 0.0

    def poll(self, memory: Memory) -> Poll:
        """List the collection's jobs, and describe the new ones."""
        listed: list[ImportJob] = yield import_jobs.list_(self.collection)
        result: dict[str, str | None] = {"job_id": None, "state": None}
        unknown = []
        for job_id in sorted({job.job_id for job in listed} - set(self.before)):
            job = yield from _describe(job_id)
            if job.has_files(self.files):
                result = {"job_id": job.job_id, "state": job.state}
                if job.state != "Failed":
                    return Done(result)
            elif not job.files and job.state != "Failed":
                unknown.append(Progress(f"import job {job_id}", "its files are not known yet"))
        if unknown:
            return Pending(tuple(unknown))
        if result["job_id"] is None and memory.clock() < self.until:
            return Pending((Progress(str(self), "none so far; one that was asked for may still appear"),))
        return Done(result)

    def __str__(self) -> str:
        return f"the files of new import jobs of collection {self.collection!r}"


def _is_loaded(found: LoadState) -> bool:
    # The number alone is not enough: 100 is reported while the state is still Loading.
    return found.state == "LoadStateLoaded" and found.progress in (None, 100)


def _done(collection: str, partitions: Sequence[str], state: str) -> Done:
    return Done({"collection_name": collection, "partition_names": list(partitions), "load_state": state})


def _named(collection: str, partitions: Sequence[str]) -> str:
    if not partitions:
        return f"collection {collection!r}"
    return f"partition{'s' if len(partitions) > 1 else ''} {', '.join(map(repr, partitions))} of {collection!r}"


def _describe(job_id: str) -> Generator[Call[Any], Any, ImportJob]:
    try:
        job: ImportJob = yield import_jobs.describe(job_id)
    except errors.NoSuchEndpointError:  # Milvus 2.4.0
        job = yield import_jobs.get_progress(job_id)
    return job


def _progress_of_files(job: ImportJob) -> Iterator[Progress]:
    unfinished = [file for file in job.files if file.state != "Completed"]
    for file in unfinished[:MAX_FILES_REPORTED]:
        name, state = sanitize_text(file.name, 200), sanitize_text(file.state, 100)
        if file.total_rows and file.imported_rows:
            yield Progress(name, state, file.imported_rows, file.total_rows)
        else:
            yield Progress(name, state, file.progress, 100, "%")
    if job.files:
        yield Progress("files", "completed", len(job.files) - len(unfinished), len(job.files), "files")


#: All conditions, by the name that :func:`serialize` gives them.
CONDITIONS: dict[str, type[Condition]] = {
    cls.__name__: cls for cls in (IndexesBuilt, CollectionLoaded, CollectionReleased, ImportCompleted, ImportFound)
}


def serialize(condition: Condition) -> dict[str, Any]:
    """Return a condition as JSON-ready data."""
    return {"kind": type(condition).__name__, **json.loads(json.dumps(asdict(condition)))}


def deserialize(data: Mapping[str, Any]) -> Condition:
    """
    Return the condition that :func:`serialize` serialized.

    :raises ValueError: for a kind of condition, or fields of one, that are not known here
    """
    fields = {name: _as_tuples(value) for name, value in data.items()}
    kind = fields.pop("kind", None)
    if kind not in CONDITIONS:
        raise ValueError(f"unknown kind of wait {kind!r}; known: {', '.join(CONDITIONS)}")
    try:
        return CONDITIONS[kind](**fields)
    except TypeError as error:
        raise ValueError(f"not a wait of kind {kind}: {error}") from error


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(part) for part in value) if isinstance(value, list) else value


__all__ = ["CONDITIONS", "CollectionLoaded", "CollectionReleased", "ImportCompleted", "ImportFound"]
