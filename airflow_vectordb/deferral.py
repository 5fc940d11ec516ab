"""How a task waits: in its worker, or deferred in the triggerer; and the state with which it is resumed."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_vectordb import rest, triggers, waiting
from airflow_vectordb._compat import is_dag_test
from airflow_vectordb.validation import seconds_of

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError
    from airflow_vectordb.waiting import Condition, Deadline, Memory, Pending, PollResult

#: Seconds; the limit of a wait without ``timeout`` and ``execution_timeout``: a day.
DEFAULT_WAIT_TIMEOUT = 24 * 3600.0
#: Seconds after the deadline at which Airflow itself ends a deferred task, if no triggerer does.
DEFER_TIMEOUT_MARGIN = 120.0
#: Advice if no triggerer is running.
START_A_TRIGGERER = "Start one (`airflow triggerer`): without it, this task does not resume before it times out."


class WaitingTask(Protocol):
    """What waiting needs of a task."""

    @property
    def deferrable(self) -> bool: ...
    @property
    def poll_interval(self) -> timedelta | float: ...
    @property
    def timeout(self) -> timedelta | float | None: ...
    @property
    def execution_timeout(self) -> timedelta | None: ...
    @property
    def milvus_conn_id(self) -> str: ...
    @property
    def database(self) -> str | None: ...
    @property
    def log(self) -> Any: ...
    @property
    def defer(self) -> Any: ...


@dataclass
class ResumeState:
    """
    The progress of a task; JSON-ready, since it is kept across deferrals.

    :param began: seconds since the epoch: when Airflow called ``execute``
    :param deadline: of all waits together, as a ``polling.Deadline``; None: no wait has begun yet
    :param results: what the waits that ended returned, by name
    """

    began: float = field(default_factory=lambda: time.time())
    deadline: dict[str, Any] | None = None
    results: dict[str, Any] = field(default_factory=dict)

    # The deadline by `time.monotonic` of the process that set it. Not a field: it is meaningless in other processes.
    _ends = math.inf

    def deadline_for(self, task: WaitingTask) -> Deadline:
        """Return the one deadline of all waits; the first of them sets it."""
        if self.deadline is None:
            self.deadline = asdict(deadline_of(task, self.began))
            self._ends = time.monotonic() + self.deadline["at"] - time.time()
        deadline = waiting.Deadline(**self.deadline)
        latest = time.time() + self._ends - time.monotonic()
        # Otherwise, the system's clock was set back since then.
        return deadline if latest >= deadline.at - 1.0 else replace(deadline, at=latest)


def deadline_of(task: WaitingTask, began: float) -> Deadline:
    """
    Return when waits that begin now have to end.

    That is ``timeout`` from now on, or ``execution_timeout`` from the beginning of the task on, whichever is earlier;
    without either, in 24 h.
    """
    now = time.time()
    limits = []
    if task.timeout is not None:
        seconds = seconds_of(task.timeout)
        limits.append(waiting.Deadline(now + seconds, "timeout", seconds))
    if task.execution_timeout is not None:
        seconds = task.execution_timeout.total_seconds()
        # In a worker, Airflow ends the task at that moment without mentioning the index: end a little earlier.
        margin = 0.0 if task.deferrable else min(1.0, 0.05 * seconds)
        limits.append(waiting.Deadline(began + seconds - margin, "execution_timeout", seconds))
    unlimited = "neither timeout nor execution_timeout is set"
    default = waiting.Deadline(now + DEFAULT_WAIT_TIMEOUT, unlimited, DEFAULT_WAIT_TIMEOUT)
    return min(limits, key=lambda limit: limit.at, default=default)


def wait_for(
    task: WaitingTask,
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

    :param state: has the result if this wait is over already; otherwise gets it
    :param name: of the wait, within this task
    :param initial_result: the result of a poll that was just made; None: begin with one
    :param server_confirmed: whether Milvus has answered this task: then an answer that is not Milvus's is an outage
    :raises MilvusError: when it failed, or was not done by the deadline
    :raises TaskDeferred: to leave the worker
    """
    if name in state.results:
        return state.results[name]
    deadline = state.deadline_for(task)
    if not task.deferrable:
        state.results[name] = hook.wait(
            condition,
            deadline,
            poll_interval=seconds_of(task.poll_interval),
            initial_result=initial_result,
            server_confirmed=server_confirmed,
        )
        return state.results[name]

    started = time.time()
    # The next poll, in the triggerer, is the retry.
    memory = waiting.Memory()
    found = initial_result or poll_once(
        hook, condition, server_confirmed=server_confirmed, deadline=deadline, memory=memory
    )
    if isinstance(found, waiting.Done):
        state.results[name] = found.result
        return found.result
    level, text = describe_poll(hook, condition, found)
    task.log.log(level, "%s", text)
    task.log.info("Waiting in the triggerer for %s, for up to %s, until %s", condition, deadline, deadline.until)
    _warn_without_triggerer(task)
    resume_kwargs = {"state": asdict(state), "wait_name": name}
    return task.defer(
        trigger=triggers.milvus.MilvusTrigger(
            condition=memory.remaining or condition,
            deadline=deadline,
            poll_interval=seconds_of(task.poll_interval),
            started=started,
            server_confirmed=server_confirmed or isinstance(found, waiting.Pending),
            milvus_conn_id=task.milvus_conn_id,
            database=task.database or None,
            resume_kwargs=resume_kwargs,
            reported=found.progress if isinstance(found, waiting.Pending) else (),
        ),
        method_name="execute_complete",
        kwargs=resume_kwargs,
        timeout=timedelta(seconds=max(0.0, deadline.at - started) + DEFER_TIMEOUT_MARGIN),
    )


def poll_once(
    hook: MilvusHook,
    condition: Condition,
    *,
    server_confirmed: bool,
    deadline: Deadline | None = None,
    memory: Memory | None = None,
) -> PollResult | MilvusError:
    """Poll once, without retries; return the result, or an error that does not end the wait."""
    try:
        return hook.poll(condition, retries=0, deadline=deadline, memory=memory)
    except rest.errors.MilvusError as error:
        if not waiting.is_recoverable(error, server_confirmed):
            raise
        return error


def describe_poll(hook: MilvusHook, condition: Condition, found: Pending | MilvusError) -> tuple[int, str]:
    """Describe in a line of the log what a poll found; return its level, too."""
    if isinstance(found, waiting.Pending):
        level, text = logging.INFO, str(found)
    else:
        level, text = logging.WARNING, waiting.still_waiting(condition, found)
    return level, hook.config.sanitize_text(text, rest.text.LONGEST_LINE)


def _warn_without_triggerer(task: WaitingTask) -> None:
    from airflow_vectordb.health import triggerer_problem  # only needed by tasks that defer

    if not is_dag_test() and (why := triggerer_problem()):
        task.log.warning("No triggerer is alive, by Airflow's health (%s). %s", why, START_A_TRIGGERER)
