"""What operators and sensors share: checks of arguments, the connection, Airflow's exceptions, resuming."""

from __future__ import annotations

import hashlib
import json
import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow import sdk

from airflow_vectordb import hooks, rest, triggers, waiting
from airflow_vectordb._compat import AirflowException, TaskDeferralTimeout, lineage_collector
from airflow_vectordb.assets import asset_uri
from airflow_vectordb.links import MilvusConsoleLink
from airflow_vectordb.validation import check_arguments, check_names, raise_if_invalid, seconds_of

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator as _Task
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError
    from airflow_vectordb.retry_state import RetryState
else:
    _Task = object  # mixed into operators and sensors, which are Airflow's tasks

#: Seconds; the limit of a wait without ``timeout`` and ``execution_timeout``: a day.
DEFAULT_WAIT_TIMEOUT = 24 * 3600.0
#: Seconds after the deadline at which Airflow itself ends a deferred task, if no triggerer does.
DEFER_TIMEOUT_MARGIN = 120.0


@dataclass
class ResumeState:
    """
    The progress of a task; JSON-ready, since it is kept across deferrals.

    :param began: seconds since the epoch: when Airflow called ``execute``
    :param deadline: of all waits together, as a ``waiting.Deadline``; None: no wait has begun yet
    :param results: what the waits that ended returned, by name
    :param subject: digest of what the task worked on when it was deferred; None: it has not been
    """

    began: float = field(default_factory=lambda: time.time())
    deadline: dict[str, Any] | None = None
    results: dict[str, Any] = field(default_factory=dict)
    subject: str | None = None

    # The deadline by `time.monotonic` of the process that set it. Not a field: it is meaningless in other processes.
    _ends = math.inf

    def deadline_for(self, task: MilvusTaskMixin) -> waiting.Deadline:
        """
        Return the one deadline of all waits; the first of them sets it.

        That is ``timeout`` from now on, or ``execution_timeout`` from the beginning of the task on, whichever is
        earlier; without either, in 24 h.
        """
        now = time.time()
        if self.deadline is None:
            limits = []
            if task.timeout is not None:
                seconds = seconds_of(task.timeout)
                limits.append(waiting.Deadline(now + seconds, "timeout", seconds))
            if task.execution_timeout is not None:
                seconds = seconds_of(task.execution_timeout)
                # In a worker, Airflow ends the task at that moment without mentioning the index: end a little earlier.
                margin = 0.0 if task.deferrable else min(1.0, 0.05 * seconds)
                limits.append(waiting.Deadline(self.began + seconds - margin, "execution_timeout", seconds))
            unlimited = "neither timeout nor execution_timeout is set"
            default = waiting.Deadline(now + DEFAULT_WAIT_TIMEOUT, unlimited, DEFAULT_WAIT_TIMEOUT)
            self.deadline = asdict(min(limits, key=lambda limit: limit.at, default=default))
            self._ends = time.monotonic() + self.deadline["at"] - now
        deadline = waiting.Deadline(**self.deadline)
        latest = now + self._ends - time.monotonic()
        # Otherwise, the system's clock was set back since then.
        return deadline if latest >= deadline.at - 1.0 else replace(deadline, at=latest)


class MilvusTaskMixin(_Task):
    """
    Mixed into Airflow's operators and sensors.

    **How waiting works:** a subclass does its work in :meth:`run_task`, from top to bottom, and calls
    :func:`airflow_vectordb.deferral.wait_for` where it has to wait. In a worker, that returns when the wait is over.
    With ``deferrable``, the task leaves its worker there; when the trigger's event arrives, :meth:`run_task` is called
    again, and must find out from its :class:`~airflow_vectordb.deferral.ResumeState` and from the server what is
    already done. A retry after a kill does the same.
    """

    operator_extra_links: Any = (MilvusConsoleLink(),)
    ui_color = "#dff1ff"

    milvus_conn_id: str
    database: str | None
    collection_name: str = ""
    # Those of tasks that wait; a time-out is seconds, a timedelta, or None.
    deferrable: bool
    poll_interval: timedelta | float
    timeout: Any
    #: Arguments that are the name of something, and the name of something to be created.
    name_fields: Sequence[str] = ("collection_name",)
    new_name_fields: Sequence[str] = ()
    #: URL of the collection in the console; None: the connection has not been read.
    milvus_console: str | None = None
    #: Problems with arguments that had to be replaced before Airflow's own classes received them.
    _problems: Sequence[str] = ()
    #: Templated arguments that were passed: none may render to None, and no name to an empty string.
    _given: Sequence[str] = ()

    def raise_if_invalid(self, *problems: str) -> None:
        """
        Check the arguments when the DAG is parsed; each class that is used calls it at the end of its ``__init__``.

        :raises ValueError: with everything that is wrong
        """
        values = vars(self)
        given = {name: values[name] for name in self.template_fields if values.get(name) is not None}
        self._given = [name for name, value in given.items() if not isinstance(value, str) or value]
        raise_if_invalid(self.task_id, *self._problems, *problems, *self.problems_at_parse(values))

    @classmethod
    def problems_at_parse(cls, given: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with arguments, by name; a mapped task has only some. Subclasses add what they know."""
        return check_arguments(given, cls.name_fields, cls.new_name_fields, rendered=False)

    @classmethod
    def partial(cls, **given: Any) -> Any:
        """
        Begin a mapped task, and check its arguments: Airflow creates the instances only when it runs.

        :raises ValueError: for invalid arguments among those that can be checked without the others
        """
        # None is the default of `deferrable` and `database`, which instances replace.
        known = {name: value for name, value in given.items() if value is not None}
        # Whether to send what looks misspelt may stand in default_args, or be mapped.
        problems = cls.problems_at_parse({"allow_unknown": True, **known})
        if "bad_rows_path" in known and not rest.spelling.is_later(known["bad_rows_path"]):
            problems.append(
                "bad_rows_path: each mapped task would replace the file: put {{ ti.map_index }} in its name"
            )
        raise_if_invalid(str(given.get("task_id")), *problems)
        return super().partial(**given)

    def validate_rendered(self) -> None:
        """
        Check what templates rendered to.

        :raises InvalidParametersError: with everything that is wrong
        """
        if problems := self.rendered_problems():
            raise rest.errors.InvalidParametersError(problems)

    def rendered_problems(self) -> list[str]:
        """Return what is wrong with what templates rendered to. Subclasses add what they alone know."""
        values = vars(self)
        needed = {"milvus_conn_id", *self.name_fields, *self.new_name_fields}
        # Without them, it is all or whatever exists, or the connection's database: no template means that.
        lost = {name: values.get(name) for name in self._given if name not in needed}
        lost = {name: value for name, value in lost.items() if value is None or (name, value) == ("database", "")}
        return [
            *check_arguments(values, self.name_fields, self.new_name_fields, rendered=True),
            *check_names(**lost, rendered=True),
        ]

    def retry_state(self, context: Context, key: str, state: ResumeState) -> RetryState:
        """Return what this task remembers for its next try."""
        from airflow_vectordb.retry_state import RetryState  # only a running task needs it

        return RetryState(context, key, state.results)

    @abstractmethod
    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> Any:
        """Do what the task is for, and return its result; a MilvusError becomes Airflow's."""

    def on_failure(self, hook: MilvusHook, context: Context, state: ResumeState, error: MilvusError) -> MilvusError:
        """
        Clean up after an error of :meth:`run_task`. Subclasses that change something on the way override it.

        :return: the error to raise: the same one, or a copy that describes the outcome
        """
        return error

    def execute_complete(
        self, context: Context, event: Any = None, state: dict[str, Any] | None = None, wait_name: str = ""
    ) -> Any:
        """Continue when a deferred wait has ended; Airflow calls it with the trigger's event."""
        resume_kwargs = event.get("resume_kwargs") if isinstance(event, dict) and not wait_name else None
        try:
            if resume_kwargs:
                state, wait_name = resume_kwargs["state"], resume_kwargs["wait_name"]
            resumed = ResumeState(**(state or {}))
        except (KeyError, TypeError) as error:
            text = f"it was deferred by another version of airflow-vectordb ({error}); a retry starts over"
            raise AirflowException(f"task {self.task_id}: {text}") from error
        return self._run(context, resumed, wait_name, event, resumed=True)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Continue after a deferral; Airflow calls it.

        :raises TaskDeferralTimeout: when nothing ended the wait, with the likely cause (sensors: AirflowSensorTimeout)
        """
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowException as error:
            if not any(isinstance(cause, TaskDeferralTimeout) for cause in _causes(error)):
                raise
            text = (
                "no triggerer ended the wait in time: is one running (`airflow triggerer`), with this provider? "
                f"It waited for {self.describe_target()}, {DEFER_TIMEOUT_MARGIN:.0f} s more than the timeout; the "
                "server continues by itself."
            )
            raise type(error)(f"task {self.task_id}: {text}") from error

    def _run(
        self, context: Context, state: ResumeState, wait_name: str = "", event: Any = None, *, resumed: bool = False
    ) -> Any:
        with self.open_hook(patient=resumed) as hook:
            hook.server_confirmed = resumed
            try:
                if resumed and self._is_other(state.subject, hook):
                    text = "arguments, or the connection's server, changed while this task was deferred"
                    if "restarted" in state.results:
                        raise AirflowException(f"task {self.task_id}: {text}, twice: does a template contain the time?")
                    self.log.warning("%s: starting over", text.capitalize())
                    state = ResumeState(state.began, state.deadline, {"restarted": True})
                elif resumed:
                    result = self._result(event)
                    if wait_name:  # otherwise the task finds out for itself
                        state.results[wait_name] = result
                return self.run_task(hook, context, state)
            except rest.errors.MilvusError as error:
                raise self.on_failure(hook, context, state, error) from error.__cause__

    def subject(self, hook: MilvusHook) -> str:
        """Return a digest of the server and the templated arguments: Airflow renders them again when a task resumes."""
        names = [name for name in self.template_fields if name != "bad_rows_path"]  # written before a task waits
        return digest(hook.config.url, hook.config.database, *(getattr(self, name) for name in names))

    def _is_other(self, subject: str | None, hook: MilvusHook) -> bool:
        try:
            return subject not in (None, self.subject(hook))
        except (AirflowException, rest.errors.MilvusError):  # what is done counts without the connection
            return False

    def _result(self, event: Any) -> Any:
        try:
            return triggers.milvus.result_from_event(event)
        except rest.errors.MilvusError:
            raise
        except ValueError as error:
            # Possibly from a triggerer of another version: transient, but continuing would be too early.
            raise AirflowException(f"task {self.task_id}: {error}") from error

    def describe_target(self) -> str:
        """Describe the task's target for messages, for example ``collection 'docs'``."""
        return f"collection {self.collection_name!r}"

    @contextmanager
    def open_hook(self, *, patient: bool = False) -> Iterator[MilvusHook]:
        """
        Open a hook for a ``with`` block, whose errors become Airflow's (and stay Milvus's, see ``exceptions.py``).

        Errors that have no location yet get the task's target.

        :param patient: whether an earlier part of this task has read the connection: see :class:`MilvusHook`
        :raises AirflowFailException: for a permanent error
        :raises AirflowException: for a transient one
        """
        try:
            self.validate_rendered()
            with hooks.milvus.MilvusHook(self.milvus_conn_id, self.database or None, patient=patient) as hook:
                try:
                    yield hook
                except rest.errors.MilvusError as error:
                    raise self.locate(hook, error) from error.__cause__
                finally:
                    with suppress(Exception):  # Airflow asks for the link when the task is over
                        self.milvus_console = hook.console_link(self.collection_name or None)
        except rest.errors.MilvusError as error:
            raise self.airflow_error(error) from error.__cause__

    def locate(self, hook: MilvusHook, error: MilvusError) -> MilvusError:
        """Add the task's target to an error without a location, and the connection's id if it may have caused it."""
        errors = rest.errors
        # The error matters more than its location: it must not be hidden by a connection that cannot be read.
        with suppress(AirflowException, errors.MilvusError):
            target = f"{self.describe_target()} (database {hook.config.database or rest.DEFAULT_DATABASE!r})"
            where = error.where or errors.Where("", target, hook.config.url)
            refused = (errors.AuthenticationError, errors.PermissionDeniedError)
            if isinstance(error, (*refused, errors.NoAnswerError, errors.NotMilvusError)):
                where = replace(where, connection=self.milvus_conn_id)
            # The reason of a failed build also comes from the server.
            return error.with_context(where=where, redact=hook.config.redact)
        return error

    def airflow_error(self, error: MilvusError, exception: type[AirflowException] | None = None) -> MilvusError:
        """Return what the task raises for an error: one that is Airflow's, too."""
        from airflow_vectordb.exceptions import as_airflow_exception  # only needed by running tasks

        return as_airflow_exception(error, exception, self.task_id)

    def emit_asset_events(
        self, hook: MilvusHook, context: Context, extra: dict[str, Any], collection: str | None = None
    ) -> None:
        """
        Report to Airflow what this task did to a collection: through outlet assets, and through hook lineage.

        The event of an outlet ``Asset`` gets ``extra``; an outlet ``AssetAlias`` gets an event for the collection's own
        asset, with ``extra``. Lineage collectors (OpenLineage) get the collection without any outlet, too. The work is
        done: errors here do not fail the task.

        :param collection: its name, or an alias; None: the task's
        """
        try:
            uri = asset_uri(hook.config.url, None, hook.config.database, collection or self.collection_name)
            events: Any = (context or {}).get("outlet_events")  # unit tests of DAGs pass none
            for outlet in (self.outlets or ()) if events is not None else ():
                if isinstance(outlet, sdk.AssetAlias):
                    events[outlet].add(sdk.Asset(uri), extra=extra)
                elif isinstance(outlet, sdk.Asset):
                    events[outlet].extra.update(extra)
            lineage_collector().add_output_asset(context=hook, uri=uri)
        except Exception as error:  # noqa: BLE001
            self.log.warning("The work is done, but assets and lineage could not be reported to Airflow: %s", error)


def digest(*values: Any) -> str:
    """Return a short text that differs if the values do, as far as they are JSON."""

    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, Sequence) else type(value).__name__

    return hashlib.sha256(json.dumps(values, default=plain, skipkeys=True).encode()).hexdigest()[:16]


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
