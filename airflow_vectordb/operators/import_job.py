"""The operator that lets Milvus import files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb import operators, rest, waiting
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.ingest.options import PART_BYTES, OnBadRow
from airflow_vectordb.mixins import digest
from airflow_vectordb.operators.base import WaitingOperator
from airflow_vectordb.operators.ingest import RowsFunction
from airflow_vectordb.rest.spelling import check_choice, check_range
from airflow_vectordb.validation import check_names

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError
    from airflow_vectordb.retry_state import RetryState

#: Groups of files that one job of Milvus may have.
FILES_OF_A_JOB = 1024
#: Seconds after a request has timed out during which Milvus may still create its job.
LATE_CREATION = 60.0


class ImportOperator(WaitingOperator):
    """
    Import files into a collection: the server reads them from its own object storage, without the worker.

    A retry finds the job and continues to wait, so that no job is started twice: where the answer to a request for a
    job was lost, another one is requested only when the first can no longer appear, a minute after its time-out. If one
    appears even later, the task fails, and names both. `Create Import Jobs
    <https://milvus.io/api-reference/restful/v2.5.x/v2/Import%20(v2)/Create.md>`__

    With ``stage_to``, it first writes rows, as IngestOperator reads them, into Parquet files in the server's bucket:
    checked against the schema, in constant memory, resumable after each part.

    Rows are only added: those with the same primary key exist twice.

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.WaitingOperator`.

    :param collection_name: the collection (or an alias). Templated.
    :param files: one or more paths in the server's bucket: each one a Parquet, JSON or CSV file, or a list of the NumPy
        files of all fields. An empty list imports nothing. Templated.
    :param rows: instead of files, with ``stage_to``: rows, as IngestOperator takes them. Templated.
    :param source: instead of files, with ``stage_to``: paths or globs, as IngestOperator takes them. Templated.
    :param source_conn_id: Airflow connection for the source; None: the storage's library finds credentials itself
        (environment variables, an instance's role). Templated.
    :param stage_to: folder for the parts, in the server's bucket, as a URL of Airflow's ``ObjectStoragePath``, for
        example ``s3://milvus-bucket/staging``. Each task instance creates its own folder there. Templated.
    :param stage_conn_id: Airflow connection for ``stage_to``; None: as for the source. Templated.
    :param files_prefix: the path of ``stage_to`` as the server sees it; None: the path within the bucket. Templated.
    :param keep_staged: whether the parts stay after the import
    :param part_bytes: approximate size of a part; default 256 MiB
    :param field_mapping: name in the source -> name of the field; None drops the column. Templated.
    :param on_bad_row: what to do with a row that does not fit the schema: ``fail`` the task, or ``skip`` the row
    :param max_bad_rows: rows that may be skipped; None: any number
    :param bad_rows_path: file for skipped rows, as JSON lines with ``source``, ``row``, ``field``, ``reason``; of
        a mapped task with ``{{ ti.map_index }}`` in its name. Templated.
    :param allow_missing: whether a file that does not exist, or a glob that matches nothing, has no rows
    :param partition_name: the partition that rows go to; None: the default one, or by the partition key. Templated.
    :param options: of the import, as the server takes them: ``{"timeout": "300s"}``, ``{"sep": ";"}``, … Templated.
    :param wait_for_completion: whether to wait until the rows are imported; otherwise ImportSensor can, and staged
        parts stay
    :return: ``{"collection_name", "job_id", "rows", "files"}``; ``files`` is their number. Without
        ``wait_for_completion`` there is no ``rows``; with ``stage_to`` there is also ``skipped``, the number of skipped
        rows. With more than 1,024 files there are several jobs, and ``job_id`` is the last one's. The ``extra`` of
        events of outlet assets has the same under ``import``
    """

    template_fields: Sequence[str] = (
        "milvus_conn_id",
        "database",
        "collection_name",
        "files",
        "rows",
        "source",
        "source_conn_id",
        "stage_to",
        "stage_conn_id",
        "files_prefix",
        "field_mapping",
        "bad_rows_path",
        "partition_name",
        "options",
    )

    def __init__(
        self,
        *,
        collection_name: str,
        files: str | Sequence[str | Sequence[str]] | None = None,
        rows: Any = None,
        source: Any = None,
        source_conn_id: str | None = None,
        stage_to: Any = None,
        stage_conn_id: str | None = None,
        files_prefix: str | None = None,
        keep_staged: bool = False,
        part_bytes: int = PART_BYTES,
        field_mapping: Mapping[str, str | None] | None = None,
        on_bad_row: OnBadRow = "fail",
        max_bad_rows: int | None = None,
        bad_rows_path: str | None = None,
        allow_missing: bool = False,
        partition_name: str | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.files = files
        self.rows = RowsFunction(rows) if callable(rows) else rows
        self.source = source
        self.source_conn_id = source_conn_id
        self.stage_to = stage_to
        self.stage_conn_id = stage_conn_id
        self.files_prefix = files_prefix
        self.keep_staged = keep_staged
        self.part_bytes = part_bytes
        self.field_mapping = field_mapping
        self.on_bad_row = on_bad_row
        self.max_bad_rows = max_bad_rows
        self.bad_rows_path = bad_rows_path
        self.allow_missing = allow_missing
        self.partition_name = partition_name
        self.options = options
        self.raise_if_invalid(*self._problems_of_arguments())

    def _problems_of_arguments(self) -> list[str]:
        given = vars(self)
        problems = []
        if sum(one is None for one in (self.files, self.rows, self.source)) != 2:
            problems.append("pass one of files, rows and source")
        elif self.files is not None:
            problems += _check_files(self.files, rendered=False)
            of_staging = (
                *("stage_to", "stage_conn_id", "files_prefix", "keep_staged", "allow_missing"),
                *("field_mapping", "max_bad_rows", "bad_rows_path"),
            )
            problems += [f"{name} is for rows and source, which are staged" for name in of_staging if given[name]]
        elif self.stage_to is None:
            problems.append("rows and source need stage_to, a folder in the server's bucket")
        elif self.on_bad_row == "fail" and (self.max_bad_rows is not None or self.bad_rows_path is not None):
            problems.append('max_bad_rows and bad_rows_path require on_bad_row="skip"')
        if isinstance(self.rows, Iterator):
            problems.append("rows is an iterator, which only one try could read: pass the function that creates it")
        problems += check_choice("on_bad_row", self.on_bad_row, OnBadRow)
        return problems + check_range("part_bytes", self.part_bytes, 1)

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Stage the rows, start the job unless it exists, and wait for it."""
        kept = self.retry_state(context, "import", state)
        earlier = (kept.get() or {}).get("result")
        if earlier is not None:
            self.log.info("An earlier try has imported the files, but Airflow did not get its result")
            self.emit_asset_events(hook, context, {"import": earlier})
            return dict(earlier)
        if self.files is None:
            if "staged" not in state.results:
                rows = self.rows.call(context) if isinstance(self.rows, RowsFunction) else self.rows
                state.results["staged"] = operators._stage.write_parts(self, hook, kept, rows)
            groups = operators._stage.paths_for_server(self, state.results["staged"])
        else:
            groups = tuple(_as_groups(self.files) or ())
        result = self._import(hook, state, kept, groups)
        if self.files is None:
            self._finish_staging(result, state.results["staged"])
        kept.finish(result)
        if "rows" in result:
            text = "%s: %s rows imported, files: %d"
            self.log.info(text, self.collection_name, f"{result['rows']:,}", len(groups))
        self.emit_asset_events(hook, context, {"import": result})
        return result

    def _finish_staging(self, result: dict[str, Any], staged: Mapping[str, Any]) -> None:
        result["skipped"] = staged["skipped"]
        if result.get("rows", staged["rows"]) != staged["rows"]:
            self.log.warning("%d rows were staged, but the server reports %d imported", staged["rows"], result["rows"])
        if "rows" in result and not self.keep_staged:
            operators._stage.remove_parts(self, staged)

    def on_failure(self, hook: MilvusHook, context: Context, state: ResumeState, error: MilvusError) -> MilvusError:
        """Forget a job that failed: a task that is cleared starts another one, with the parts that are staged."""
        if isinstance(error, rest.errors.ImportFailedError):
            kept = self.retry_state(context, "import", state)
            fact = kept.get() or {}
            done = sum(name.startswith("imported ") for name in state.results)
            left = {"jobs": fact.get("jobs", [])[:done], "staged": fact.get("staged")}
            if any(left.values()):
                kept.set({**fact, "before": None, **left})
            else:
                kept.delete()
        return error

    def rendered_problems(self) -> list[str]:
        """Also check the files."""
        files = [] if self.files is None else _check_files(self.files, rendered=True)
        return [*super().rendered_problems(), *files]

    def _import(
        self, hook: MilvusHook, state: ResumeState, kept: RetryState, groups: tuple[tuple[str, ...], ...]
    ) -> dict[str, Any]:
        result = {"collection_name": self.collection_name, "job_id": None, "rows": 0, "files": len(groups)}
        for number, start in enumerate(range(0, len(groups), FILES_OF_A_JOB)):
            files = groups[start : start + FILES_OF_A_JOB]
            job_id = self._job(hook, state, kept, number, files)
            result["job_id"] = job_id
            if self.wait_for_completion:
                condition = waiting.ImportCompleted(self.collection_name, job_id)
                result["rows"] += wait_for(self, hook, state, f"imported {number}", condition)["rows"]
            self._raise_if_twice(hook, state, kept, number, files)
        if not self.wait_for_completion:
            del result["rows"]
        return result

    def _job(
        self, hook: MilvusHook, state: ResumeState, kept: RetryState, number: int, files: tuple[tuple[str, ...], ...]
    ) -> str:
        """Return the id of the job, and store it for a retry."""
        name = f"job {number}"
        if name in state.results:
            return str(state.results[name])
        fact = {"jobs": [], "before": None, "in_doubt": {}, **(kept.get() or {})}
        if number == 0:
            collection = hook.send(rest.collections.describe(self.collection_name)).identity
            subject = digest(collection, self.files, self.partition_name)
            if fact.get("subject", subject) != subject:
                self.log.warning("%s: an earlier try imported other files, or elsewhere", self.collection_name)
                fact |= {"jobs": [], "before": None, "in_doubt": {}}
            fact["subject"] = subject
        jobs: list[str] = fact["jobs"]
        if number < len(jobs):
            state.results[name] = jobs[number]
            return jobs[number]
        job_id: str | None = None
        unstarted = fact
        if fact["before"] is not None:
            # An earlier try may have started it without receiving its id.
            until = min(fact.get("asked", 0.0), time.time()) + hook.config.timeout + LATE_CREATION
            condition = waiting.ImportFound(self.collection_name, files, tuple(fact["before"]), until=until)
            job_id = wait_for(self, hook, state, f"found {number}", condition)["job_id"]
            fact = {**fact, "in_doubt": {**fact["in_doubt"], str(number): fact["before"]}}
        else:
            listed = hook.send(rest.import_jobs.list_(self.collection_name))
            fact = {**fact, "before": [job.job_id for job in listed]}
        if job_id is None:
            kept.set({**fact, "asked": time.time()})
            try:
                job_id = hook.send(
                    rest.import_jobs.create(
                        self.collection_name, files, partition=self.partition_name, options=self.options
                    )
                )
            except rest.errors.MilvusError as error:
                unreadable = isinstance(error, rest.errors.NotMilvusError)  # the job may have been created
                if error.not_executed or not (error.transient or unreadable):
                    kept.set(unstarted)  # this request created no job
                raise
            self.log.info("%s: started import job %s, files: %d", self.collection_name, job_id, len(files))
        else:
            self.log.info("%s: found import job %s of an earlier try", self.collection_name, job_id)
        kept.set({**fact, "jobs": [*jobs, job_id], "before": None})
        state.results[name] = job_id
        return job_id

    def _raise_if_twice(
        self, hook: MilvusHook, state: ResumeState, kept: RetryState, number: int, files: tuple[tuple[str, ...], ...]
    ) -> None:
        """Look for a job that an earlier try asked for, and that appeared after this one had been started."""
        fact = kept.get() or {}
        before = fact.get("in_doubt", {}).get(str(number))
        if before is None:
            return
        job_id = state.results[f"job {number}"]
        condition = waiting.ImportFound(self.collection_name, files, (*before, job_id))
        other = wait_for(self, hook, state, f"other {number}", condition)
        if other["job_id"] is None or other["state"] == "Failed":
            return
        # It is said once: a task that is cleared, when its rows are put right, is done.
        kept.set({**fact, "in_doubt": {}})
        raise rest.errors.MilvusError(
            f"an earlier try asked for job {other['job_id']}, which appeared after this try had started {job_id}",
            cause=f"import jobs {other['job_id']} and {job_id} have the same files",
            hint="Their rows exist twice. Delete those of one, then clear the task: it imports nothing more.",
        )


def _as_groups(files: Any) -> list[tuple[str, ...]] | None:
    """Return groups of paths; None for a value that is neither a path nor a list."""
    given = [files] if isinstance(files, str) else files
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        return None
    return [tuple(one) if isinstance(one, list | tuple) else (one,) for one in given]


def _check_files(files: Any, *, rendered: bool) -> list[str]:
    """Check the argument; when the DAG is parsed, values that are known later pass."""
    if not rendered and hasattr(files, "resolve"):  # a task's output
        return []
    groups = _as_groups(files)
    if groups is None:
        return [f"files must be a path or a list of paths, not {rest.spelling.show(files)}"]
    if not groups and not rendered:
        return ["files is empty"]
    paths = {
        f"files[{number}]" + (f"[{position}]" if len(group) > 1 else ""): path
        for number, group in enumerate(groups)
        for position, path in enumerate(group)
    }
    problems = [f"files[{number}] is an empty group" for number, group in enumerate(groups) if not group]
    return problems + check_names(**paths, rendered=rendered)


__all__ = ["ImportOperator"]
