"""How a task waits: in its worker, or deferred in the triggerer."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, triggers, waiting
from airflow_vectordb._compat import is_dag_test
from airflow_vectordb.mixins import DEFER_TIMEOUT_MARGIN, MilvusTaskMixin, ResumeState
from airflow_vectordb.validation import seconds_of

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.waiting import Condition, Pending, Wait

#: Advice if no triggerer is running.
START_A_TRIGGERER = "Start one (`airflow triggerer`): without it, this task does not resume before it times out."


def wait_for(
    task: MilvusTaskMixin,
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
    import pendulum

    from airflow_vectordb import health  # only needed by tasks that defer

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
    wait = waiting.Wait(condition, started, server_confirmed=server_confirmed or initial_result is not None)
    found = hook.drive(wait.poll(), deadline, retries=0) if initial_result is None else initial_result
    if isinstance(found, waiting.Done):
        state.results[name] = found.result
        return found.result
    log_poll(task, hook, wait, found)
    until = pendulum.from_timestamp(deadline.at).to_datetime_string()
    task.log.info("Waiting in the triggerer for %s, for up to %s, until %s UTC", condition, deadline, until)
    if not is_dag_test() and (why := health.triggerer_problem()):
        task.log.warning("No triggerer is alive, by Airflow's health (%s). %s", why, START_A_TRIGGERER)
    state.subject = task.subject(hook)
    resume_kwargs = {"state": asdict(state), "wait_name": name}
    return task.defer(
        trigger=triggers.milvus.MilvusTrigger(
            condition=wait.memory.remaining or condition,
            deadline=deadline,
            poll_interval=seconds_of(task.poll_interval),
            started=started,
            server_confirmed=wait.server_confirmed,
            milvus_conn_id=task.milvus_conn_id,
            database=task.database or None,
            resume_kwargs=resume_kwargs,
            reported=found.progress if isinstance(found, waiting.Pending) else (),
        ),
        method_name="execute_complete",
        kwargs=resume_kwargs,
        timeout=timedelta(seconds=max(0.0, deadline.at - started) + DEFER_TIMEOUT_MARGIN),
    )


def log_poll(task: MilvusTaskMixin, hook: MilvusHook, wait: Wait, found: Pending | rest.errors.MilvusError) -> None:
    """Log what a poll found, if it is new."""
    level, text = wait.report(time.time(), found)
    if text:
        task.log.log(level, "%s", hook.config.sanitize_text(text, rest.text.LONGEST_LINE))


__all__ = ["ResumeState", "log_poll", "wait_for"]
