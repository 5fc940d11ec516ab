"""What operators and sensors share: the connection, Airflow's errors, and waiting, here or in the triggerer."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from airflow_vectordb._compat import AirflowException, TaskDeferralTimeout, is_dag_test
from airflow_vectordb.assets import emit_asset_events
from airflow_vectordb.health import missing_triggerer
from airflow_vectordb.validation import (
    DEFAULT_POLL_INTERVAL,
    check_common,
    check_seconds,
    raise_if_invalid,
    seconds_of,
    validate_target,
)

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError, Where
    from airflow_vectordb.waiting.conditions import Condition, Pending
    from airflow_vectordb.waiting.polling import Deadline

#: Seconds that a wait may take when neither ``timeout`` nor ``execution_timeout`` is set: a day.
DEFAULT_WAIT_TIMEOUT = 24 * 3600.0
#: What to do when nobody waits.
START_A_TRIGGERER = "Start one (`airflow triggerer`): without it nothing wakes this task before its time is over."
#: Seconds after the deadline at which Airflow itself ends a deferred task, should no triggerer be there to do it.
DEFER_TIMEOUT_MARGIN = 120.0


@dataclass
class ResumeState:
    """
    How far a task has got; JSON-ready, since it has to outlast deferrals.

    :param began: seconds since the epoch: when Airflow called ``execute``
    :param deadline: of all waits together, as ``polling.Deadline`` has it; None: no wait has begun yet
    :param results: what the waits that ended returned, by name
    """

    began: float = field(default_factory=lambda: time.time())
    deadline: dict[str, Any] | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        #: The deadline by ``time.monotonic``, in the process that set it; no field, since it means nothing elsewhere.
        self.ends = math.inf


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


class MilvusTaskMixin:
    """
    Mixed into Airflow's operators and sensors.

    **How waiting works:** a subclass does its work in :meth:`run_task`, from top to bottom, and calls :meth:`wait_for`
    where it has to wait. In a worker, that returns when the wait is over. With ``deferrable``, the task leaves its
    worker there; when the trigger's event arrives, :meth:`run_task` is called again, and must find by its
    :class:`ResumeState`, and by looking at the server, what is done already. A retry after a kill finds it in the same
    way.
    """

    milvus_conn_id: str
    database: str | None
    deferrable: bool = False
    poll_interval: timedelta | float = DEFAULT_POLL_INTERVAL
    _problems: Sequence[str] = ()
    _given: Sequence[str] = ()
    #: Where people look at the collection; None: the connection has not been read.
    milvus_console: str | None = None
    if TYPE_CHECKING:
        task_id: str
        execution_timeout: timedelta | None
        outlets: Any
        inlets: Any
        log: Any

    def raise_if_invalid(self, *problems: str) -> None:
        """
        Refuse arguments when the DAG is parsed: called by each class that is used, at the end of its ``__init__``.

        :param problems: what is wrong with those of its own
        :raises ValueError: with everything that is wrong
        """
        self._given = [name for name in cast("BaseOperator", self).template_fields if vars(self).get(name) is not None]
        raise_if_invalid(self.task_id, *self._problems, *problems, *check_common(vars(self)))

    @classmethod
    def partial(cls, **given: Any) -> Any:
        """
        Begin a mapped task; Airflow makes its instances when it runs, which is late to refuse what can never be right.

        :param given: arguments of all of its instances
        :raises ValueError: with what is wrong among those that all classes have
        """
        times = [*check_seconds("execution_timeout", given.get("execution_timeout"))]
        times += check_seconds("max_wait", given.get("max_wait"))
        # None is what `deferrable` and `database` are by default, and are no more in a task that is made.
        raise_if_invalid(
            str(given.get("task_id")), *times, *check_common({k: v for k, v in given.items() if v is not None})
        )
        return cast("Any", super()).partial(**given)

    @abstractmethod
    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> Any:
        """
        Do what the task is for.

        :param hook: open
        :param context: the task's context
        :param state: what is done already
        :return: the task's result
        :raises MilvusError: which becomes Airflow's
        """

    def on_failure(self, hook: MilvusHook, context: Context, state: ResumeState, error: MilvusError) -> MilvusError:
        """
        Clean up after an error. Nothing to do, unless a subclass knows better.

        :param hook: open
        :param context: the task's context
        :param state: what is done already
        :param error: what happened
        :return: the error to raise
        """
        return error

    def execute_complete(
        self, context: Context, event: Any = None, state: dict[str, Any] | None = None, wait_name: str = ""
    ) -> Any:
        """
        Go on when a deferred wait has ended.

        :param context: the task's context
        :param event: the trigger's
        :param state: what was done before
        :param wait_name: name of the wait
        """
        resume_kwargs = event.get("resume_kwargs") if isinstance(event, dict) and not wait_name else None
        if resume_kwargs:
            state, wait_name = resume_kwargs["state"], resume_kwargs["wait_name"]
        return self._run(context, ResumeState(**(state or {})), wait_name, event, resumed=True)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """
        Go on after a deferral; Airflow calls it.

        :param next_method: :meth:`execute_complete`, or Airflow's word for a wait that has not ended
        :param next_kwargs: its arguments
        :param context: the task's context
        :raises TaskDeferralTimeout: when nobody ended the wait, with the likely cause (sensors: AirflowSensorTimeout)
        """
        try:
            return cast("Any", super()).resume_execution(next_method, next_kwargs, context)
        except AirflowException as error:
            if not any(isinstance(cause, TaskDeferralTimeout) for cause in _causes(error)):
                raise
            text = (
                f"no triggerer ended the wait in time, {DEFER_TIMEOUT_MARGIN:.0f} s of grace included: is one running "
                f"(`airflow triggerer`), and does it have this provider? The wait was about {self.describe_target()}; "
                "the server goes on by itself."
            )
            raise type(error)(f"task {self.task_id}: {text}") from error

    def _run(
        self, context: Context, state: ResumeState, wait_name: str = "", event: Any = None, *, resumed: bool = False
    ) -> Any:
        from airflow_vectordb.rest.errors import MilvusError

        with self.open_hook(patient=resumed) as hook:
            try:
                if resumed:
                    outcome = self._outcome(hook, event)
                    if wait_name:  # otherwise the task looks for itself
                        state.results[wait_name] = outcome
                return self.run_task(hook, context, state)
            except MilvusError as error:
                raise self.on_failure(hook, context, state, error) from error.__cause__

    def _outcome(self, hook: MilvusHook, event: Any) -> Any:
        from airflow_vectordb.rest.errors import MilvusError
        from airflow_vectordb.triggers.milvus import result_from_event

        try:
            with self.error_context(hook, self.describe_target()):
                return result_from_event(event)
        except MilvusError:
            raise
        except ValueError as error:
            # May be a triggerer of another version; that passes, and to go on would be to go on too early.
            raise AirflowException(f"task {self.task_id}: {error}") from error

    def describe_target(self) -> str:
        """Say what the task is about, for messages: as ``collection 'docs'``."""
        return f"collection {getattr(self, 'collection_name', None)!r}"

    @contextmanager
    def open_hook(self, *, patient: bool = False) -> Iterator[MilvusHook]:
        """
        Open a hook for a ``with`` block, whose errors become Airflow's (and stay Milvus's, see ``exceptions.py``).

        :param patient: whether an earlier part of this task has read the connection: see :class:`MilvusHook`
        :raises AirflowFailException: for an error that does not pass by itself
        :raises AirflowException: for one that may pass
        """
        from airflow_vectordb.hooks.milvus import MilvusHook
        from airflow_vectordb.rest.errors import MilvusError

        try:
            validate_target(vars(self), self._given)
            with MilvusHook(self.milvus_conn_id, self.database or None, patient=patient) as hook:
                try:
                    yield hook
                finally:
                    with suppress(Exception):  # Airflow asks for the link when the task is over
                        self.milvus_console = hook.console_link(getattr(self, "collection_name", None))
        except MilvusError as error:
            raise self.airflow_error(error) from error.__cause__

    def airflow_error(self, error: MilvusError) -> MilvusError:
        """
        Return what the task raises for an error: one that is Airflow's, too.

        :param error: what happened
        """
        from airflow_vectordb.exceptions import as_airflow_exception

        return as_airflow_exception(error, task_id=self.task_id)

    @contextmanager
    def error_context(self, hook: MilvusHook, target: str) -> Iterator[None]:
        """
        Say in errors of a ``with`` block what they are about, unless they say so already.

        :param hook: tells the server and the database
        :param target: as ``collection 'docs'``
        """
        from airflow_vectordb.rest.errors import MilvusError

        try:
            yield
        except MilvusError as error:
            told = error
            # What has happened is worth more than where: a connection that cannot be read now is no reason to lose it.
            with suppress(AirflowException, MilvusError):
                where = error.where or self.error_location(hook, target)
                # The reason of a failed build is the server's words, too.
                told = error.with_context(where=where, redact=hook.config.redact)
            raise told from error.__cause__

    def error_location(self, hook: MilvusHook, target: str) -> Where:
        """
        Say where something is, for messages.

        :param hook: tells the server and the database
        :param target: as ``collection 'docs'``
        """
        from airflow_vectordb.rest.errors import Where

        return Where("", f"{target} (database {hook.config.database or 'default'!r})", hook.config.url)

    def wait_for(
        self,
        hook: MilvusHook,
        state: ResumeState,
        name: str,
        condition: Condition,
        *,
        initial_result: Pending | None = None,
        server_confirmed: bool = True,
    ) -> Any:
        """
        Wait, in the worker or (with ``deferrable``) in the triggerer.

        :param hook: open
        :param state: says whether this wait is over already; is told its result
        :param name: of the wait, within this task
        :param condition: what is waited for
        :param initial_result: the result of a poll that has just been made; None: begin with one
        :param server_confirmed: whether Milvus has answered this task: then an answer that is none of its own is an
            outage
        :return: what the wait returns
        :raises MilvusError: when it failed, or was not done by the deadline
        :raises TaskDeferred: to leave the worker
        """
        if name in state.results:
            return state.results[name]
        from airflow_vectordb.waiting.polling import Deadline

        if state.deadline is None:
            state.deadline = asdict(self.deadline(state.began))
            state.ends = time.monotonic() + state.deadline["at"] - time.time()
        deadline = Deadline(**state.deadline)
        latest = time.time() + state.ends - time.monotonic()
        if latest < deadline.at - 1.0:  # the system's clock was set back since then
            deadline = replace(deadline, at=latest)
        if self.deferrable:
            state.results[name] = self._poll_or_defer(
                hook, state, name, condition, deadline, initial_result, server_confirmed
            )
        else:
            state.results[name] = hook.wait(
                condition,
                deadline,
                poll_interval=seconds_of(self.poll_interval),
                initial_result=initial_result,
                server_confirmed=server_confirmed,
            )
        return state.results[name]

    def _poll_or_defer(
        self,
        hook: MilvusHook,
        state: ResumeState,
        name: str,
        condition: Condition,
        deadline: Deadline,
        initial_result: Pending | None,
        server_confirmed: bool,
    ) -> Any:
        from airflow_vectordb.rest.errors import MilvusError
        from airflow_vectordb.rest.text import LONGEST_LINE
        from airflow_vectordb.triggers.milvus import MilvusTrigger
        from airflow_vectordb.waiting.conditions import Done
        from airflow_vectordb.waiting.polling import is_recoverable, still_waiting

        started = time.time()
        verdict = initial_result
        if verdict is None:
            try:
                # The next poll, in the triggerer, is the retry.
                seen = hook.poll(condition, retries=0, deadline=deadline)
            except MilvusError as error:
                if not is_recoverable(error, server_confirmed):
                    raise
                self.log.warning("%s", hook.config.sanitize_text(still_waiting(condition, error), LONGEST_LINE))
            else:
                if isinstance(seen, Done):
                    return seen.result
                verdict, server_confirmed = seen, True
        if verdict is not None:
            self.log.info("%s", hook.config.sanitize_text(str(verdict), LONGEST_LINE))
        self.log.info("Waiting in the triggerer for %s, for up to %s, until %s", condition, deadline, deadline.until)
        if not is_dag_test() and (why := missing_triggerer()):
            self.log.warning("No triggerer is alive, by Airflow's health (%s). %s", why, START_A_TRIGGERER)
        resume_kwargs = {"state": asdict(state), "wait_name": name}
        return cast("BaseOperator", self).defer(
            trigger=MilvusTrigger(
                condition=condition,
                deadline=deadline,
                poll_interval=seconds_of(self.poll_interval),
                started=started,
                server_confirmed=server_confirmed,
                milvus_conn_id=self.milvus_conn_id,
                database=self.database or None,
                resume_kwargs=resume_kwargs,
                reported=() if verdict is None else verdict.progress,
            ),
            method_name="execute_complete",
            kwargs=resume_kwargs,
            timeout=timedelta(seconds=max(0.0, deadline.at - started) + DEFER_TIMEOUT_MARGIN),
        )

    def deadline(self, began: float) -> Deadline:
        """
        Tell when waits that begin now have to end: by ``timeout`` from now on, and by ``execution_timeout`` from the
        beginning of the task on, whichever is earlier; without either, in 24 h.

        :param began: seconds since the epoch: when Airflow called ``execute``
        """
        from airflow_vectordb.waiting.polling import Deadline

        now = time.time()
        limits = []
        timeout: timedelta | float | None = getattr(self, "timeout", None)
        if timeout is not None:
            seconds = seconds_of(timeout)
            limits.append(Deadline(now + seconds, "timeout", seconds))
        if self.execution_timeout is not None:
            seconds = self.execution_timeout.total_seconds()
            # In a worker Airflow ends the task at that moment, with no word about the index: be a little earlier.
            margin = 0.0 if self.deferrable else min(1.0, 0.05 * seconds)
            limits.append(Deadline(began + seconds - margin, "execution_timeout", seconds))
        if not limits:
            return Deadline(
                now + DEFAULT_WAIT_TIMEOUT, "neither timeout nor execution_timeout is set", DEFAULT_WAIT_TIMEOUT
            )
        return min(limits, key=lambda limit: limit.at)

    def emit_asset_events(self, hook: MilvusHook, context: Context, extra: dict[str, Any]) -> None:
        """
        Tell Airflow what this task did to its collection: see :func:`airflow_vectordb.assets.emit_asset_events`. The
        work is done: nothing that goes wrong here fails the task.

        :param hook: open
        :param context: the task's context
        :param extra: of the outlets' events; JSON-ready
        """
        try:
            emit_asset_events(self, hook, context, str(getattr(self, "collection_name", "")), extra)
        except Exception as error:  # noqa: BLE001
            self.log.warning("The work is done; Airflow could not be told of it, as assets and lineage: %s", error)


__all__ = ["MilvusTaskMixin", "ResumeState"]
