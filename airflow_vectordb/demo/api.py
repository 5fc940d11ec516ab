"""A client for the part of Airflow's public REST API that the demo uses."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote


class AirflowApi:
    """Airflow's REST API at one address.

    All methods raise ``requests.HTTPError`` when Airflow refuses, and another OSError when it cannot be reached or
    takes longer than ``timeout`` seconds.
    """

    def __init__(self, base_url: str, user: str, password: str, *, timeout: float = 60.0) -> None:
        import requests

        self.base_url = base_url
        self._login = {"username": user, "password": password}
        self._timeout = timeout
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc: the address is local

    def call(self, method: str, path: str, body: object = None, *, but: HTTPStatus | None = None) -> Any:
        """Make one request.

        :param but: a refusal that is not an error.
        :return: the JSON of the answer; None: it is empty, or that refusal.
        """
        import requests

        answer = self._session.request(method, self.base_url + path, json=body, timeout=self._timeout)
        if answer.status_code == but:
            return None
        if not answer.ok:
            text = f"{method} {path} was answered with HTTP {answer.status_code}: {answer.text[:500]}"
            raise requests.HTTPError(text, response=answer)
        return answer.json() if answer.content else None

    def log_in(self) -> None:
        """Exchange name and password for the token that later requests carry."""
        token = self.call("POST", "/auth/token", self._login)["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def is_up(self) -> bool:
        """Return whether the API answers yet."""
        try:
            self.call("GET", "/api/v2/version")
        except OSError:
            return False
        return True

    def is_known(self, dag_id: str) -> bool:
        """Return whether the dag-processor has stored a DAG."""
        return self.call("GET", _dag(dag_id), but=HTTPStatus.NOT_FOUND) is not None

    def import_errors(self) -> list[dict[str, Any]]:
        """Return the DAG files that could not be imported, with ``filename`` and ``stack_trace``."""
        found: list[dict[str, Any]] = self.call("GET", "/api/v2/importErrors")["import_errors"]
        return found

    def unpause(self, dag_id: str) -> None:
        """Let a DAG's runs start."""
        self.call("PATCH", _dag(dag_id), {"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Unpause a DAG and run it with values for its params; return the run's id."""
        self.unpause(dag_id)
        return str(self.call("POST", f"{_dag(dag_id)}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.call("GET", _run(dag_id, run_id))["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the tasks of a run: ``task_id``, ``state``, ``start_date``, ``duration``, ``try_number`` and so on."""
        found: list[dict[str, Any]] = self.call("GET", f"{_run(dag_id, run_id)}/taskInstances")["task_instances"]
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned; None if it returned nothing."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/return_value"
        found = self.call("GET", path, but=HTTPStatus.NOT_FOUND)
        return found and found["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[dict[str, Any]]:
        """Return what a task logged in one of its attempts: ``event``, ``level`` and so on."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{attempt}"
        found: list[dict[str, Any]] = self.call("GET", path)["content"]
        return found

    def put_connection(self, connection: dict[str, Any]) -> None:
        """Store a connection, or update the one that has its ``connection_id``."""
        if self.call("POST", "/api/v2/connections", connection, but=HTTPStatus.CONFLICT) is None:
            self.call("PATCH", f"/api/v2/connections/{quote(connection['connection_id'])}", connection)


def _dag(dag_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id)}"


def _run(dag_id: str, run_id: str) -> str:
    return f"{_dag(dag_id)}/dagRuns/{quote(run_id)}"
