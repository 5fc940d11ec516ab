"""The operator that lets Milvus import files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, waiting
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.operators.base import WaitingOperator
from airflow_vectordb.retry_state import RetryState
from airflow_vectordb.validation import check_literal, validate_rendered

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError

#: Groups of files that Milvus takes in one job.
FILES_OF_A_JOB = 1024


class ImportOperator(WaitingOperator):
    """
    Import files into a collection: the server reads them from its own object storage, and no row passes the worker.

    The id of the job is kept before it is waited for. So a retry finds the job and waits on, and no job is started
    twice. A try that ended between the request and its answer has no id; the next one looks among the jobs that
    started since for one with the same files. `Create Import Jobs
    <https://milvus.io/api-reference/restful/v2.5.x/v2/Import%20(v2)/Create.md>`__

    Import does not look for rows that are there already: rows with the same primary key are there twice, until
    compaction, and a query may return either.

    :param collection_name: the collection (or an alias). Templated.
    :param files: a path in the server's bucket, or several: each one Parquet, JSON or CSV file, or a list of the NumPy
        files of all fields. No files are no rows. Templated.
    :param partition_name: the partition that rows go to; None: the default one, or by the partition key. Templated.
    :param options: of the import, as the server takes them: ``{"timeout": "300s"}``, ``{"sep": ";"}``, … Templated.
    :param database: the database; None: the connection's (its schema field). Templated.
    :param milvus_conn_id: id of an Airflow connection of type ``milvus``. Templated.
    :param wait_for_completion: whether to wait until the rows are there; otherwise ImportSensor can
    :param deferrable: whether to wait in the triggerer; None: Airflow's ``operators.default_deferrable``
    :param poll_interval: the longest pause between two polls, in seconds or as a timedelta; default 30
    :param timeout: for the wait, in seconds or as a timedelta; None: only ``execution_timeout``, or without it 24 h.
        The import goes on in the server after it, and a retry finds it
    :return: ``{"collection_name", "job_id", "rows", "files"}``; ``files`` is how many there were. Without
        ``wait_for_completion`` there is no ``rows``. Where several jobs were needed (one takes 1,024 files), ``job_id``
        is the last one's. The same goes into the ``extra`` of the events of outlet assets, under ``import``
    :raises AirflowFailException: for permanent errors: an import that failed, with the server's reason; no such
        collection, wrong credentials, …
    :raises AirflowException: for transient errors: no answer, a limiter, a timeout, …
    :raises ValueError: when the DAG is parsed, for an argument that can never be right
    """

    template_fields: Sequence[str] = (
        "milvus_conn_id",
        "database",
        "collection_name",
        "files",
        "partition_name",
        "options",
    )

    def __init__(
        self,
        *,
        collection_name: str,
        files: str | Sequence[str | Sequence[str]] | None = None,
        partition_name: str | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.files = files
        self.partition_name = partition_name
        self.options = options
        self._kept: dict[str, Any] = {}
        problems = check_literal(collection_name=collection_name)
        if partition_name is not None:
            problems += check_literal(partition_name=partition_name)
        self.raise_if_invalid(*problems, *_check_files(files))

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Start the job unless there is one, and wait for it."""
        kept = RetryState(context, "import", self._kept)
        groups = self._groups()
        with self.error_context(hook, self.describe_target()):
            result = self._import(hook, state, kept, groups)
        kept.delete()
        if "rows" in result:
            self.log.info(
                "%s: %s rows imported from %d files", self.collection_name, f"{result['rows']:,}", len(groups)
            )
        self.emit_asset_events(hook, context, {"import": result})
        return result

    def on_failure(self, hook: MilvusHook, context: Context, state: ResumeState, error: MilvusError) -> MilvusError:
        """Forget a job that failed: a task that is cleared starts another one."""
        if isinstance(error, rest.errors.ImportFailedError):
            RetryState(context, "import", self._kept).delete()
        return error

    def _groups(self) -> tuple[tuple[str, ...], ...]:
        problems = validate_rendered(collection_name=self.collection_name)
        if self.partition_name is not None:
            problems += validate_rendered(partition_name=self.partition_name)
        options: Any = self.options
        if not isinstance(options, Mapping | None):
            problems.append(f"options is {rest.spelling.show(options)}, and must be a mapping")
        groups = _as_groups(self.files)
        problems += ["files is None: did its template render to nothing?"] if groups is None else _wrong_paths(groups)
        if problems:
            raise rest.errors.InvalidParametersError(problems)
        return tuple(groups or ())

    def _import(
        self, hook: MilvusHook, state: ResumeState, kept: RetryState, groups: tuple[tuple[str, ...], ...]
    ) -> dict[str, Any]:
        result = {"collection_name": self.collection_name, "job_id": None, "rows": 0, "files": len(groups)}
        for number, start in enumerate(range(0, len(groups), FILES_OF_A_JOB)):
            job_id = self._job(hook, state, kept, number, groups[start : start + FILES_OF_A_JOB])
            result["job_id"] = job_id
            if self.wait_for_completion:
                condition = waiting.ImportCompleted(self.collection_name, job_id)
                result["rows"] += wait_for(self, hook, state, f"imported {number}", condition)["rows"]
        if not self.wait_for_completion:
            del result["rows"]
        return result

    def _job(
        self, hook: MilvusHook, state: ResumeState, kept: RetryState, number: int, files: tuple[tuple[str, ...], ...]
    ) -> str:
        """Return the id of the job, which is kept."""
        fact = {"jobs": [], "before": None, **(kept.get() or {})}
        jobs: list[str] = fact["jobs"]
        if number < len(jobs):
            return jobs[number]
        job_id: str | None = None
        if fact["before"] is not None:
            # An earlier try may have started it, and did not learn its id.
            condition = waiting.ImportFound(self.collection_name, files, tuple(fact["before"]))
            job_id = wait_for(self, hook, state, f"found {number}", condition)["job_id"]
        else:
            listed = hook.send(rest.import_jobs.list_(self.collection_name))
            kept.set({**fact, "before": [job.job_id for job in listed]})
        if job_id is None:
            try:
                job_id = hook.send(
                    rest.import_jobs.create(
                        self.collection_name, files, partition=self.partition_name, options=self.options
                    )
                )
            except rest.errors.MilvusError as error:
                if error.not_executed or not error.transient:
                    kept.set({**fact, "before": None})  # there is no job
                raise
            self.log.info("%s: import job %s of %d files is started", self.collection_name, job_id, len(files))
        else:
            self.log.info("%s: import job %s of an earlier try is found", self.collection_name, job_id)
        kept.set({**fact, "jobs": [*jobs, job_id], "before": None})
        return job_id


def _as_groups(files: Any) -> list[tuple[str, ...]] | None:
    """Return groups of paths; None for what is neither a path nor a list."""
    given = [files] if isinstance(files, str) else files
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        return None
    return [tuple(one) if isinstance(one, list | tuple) else (one,) for one in given]


def _wrong_paths(groups: Sequence[Sequence[Any]]) -> list[str]:
    problems = [f"files[{number}] is an empty group" for number, group in enumerate(groups) if not group]
    return problems + validate_rendered(
        **{
            f"files[{number}]" + (f"[{position}]" if len(group) > 1 else ""): path
            for number, group in enumerate(groups)
            for position, path in enumerate(group)
        }
    )


def _check_files(files: Any) -> list[str]:
    """Check the argument when the DAG is parsed; what is rendered later passes."""
    if hasattr(files, "resolve"):  # a task's output
        return []
    groups = _as_groups(files)
    if groups is None:
        return [f"files must be a path or a list of paths, not {rest.spelling.show(files)}"]
    if not groups:
        return ["files is empty"]
    return _wrong_paths([["known later" if _is_known_later(path) else path for path in group] for group in groups])


def _is_known_later(path: Any) -> bool:
    return hasattr(path, "resolve") or (isinstance(path, str) and rest.spelling.has_template(path))


__all__ = ["ImportOperator"]
