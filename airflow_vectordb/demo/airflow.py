"""A separate Airflow for a run, on the loopback interface only, and a client for the part of its API that is used here.

Its components get a clean environment, without the caller's (``AIRFLOW__…``, ``PYTHONPATH``, proxies, another home).
``airflow standalone`` is not used: it takes 50% longer to start, serves logs on all interfaces at fixed ports, and
keeps running when one of its components has ended.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_vectordb.demo.home import Home, write_secret
from airflow_vectordb.demo.processes import Child, Processes, step

USER = "admin"

# The rest of the caller's environment is not passed on.
KEPT = ("LANG", "LANGUAGE", "TZ", "TZDIR", "TMPDIR", "TERM", "USER", "LOGNAME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class LocalAirflow:
    """Airflow's components, each a process.

    :param port: of the API server, if it is free.
    """

    def __init__(
        self, processes: Processes, *, dags: Path, name: str, port: int = 0, python: str = sys.executable
    ) -> None:
        self.processes = processes
        self.home = processes.home
        self.python = python
        self.secrets = secrets_of(self.home)
        port = free_port(port)
        self.api = AirflowApi(f"http://127.0.0.1:{port}", USER, self.secrets["password"])
        self.env = clean_environment(self.home, python) | settings(self.home, self.secrets, dags, port, name)

    def start(self, component: str) -> Child:
        """Start one of ``api-server``, ``dag-processor``, ``scheduler`` and ``triggerer``."""
        step(f"starting Airflow's {component}")
        command = airflow_command(component, python=self.python)
        if component in ("scheduler", "triggerer"):
            # Logs are read from files. A log server would listen on all interfaces.
            command.append("--skip-serve-logs")
        return self.processes.start(component, command, env=self.env)

    def start_serving(self) -> None:
        """Create or upgrade the database, start all but the triggerer, and log in."""
        step("preparing Airflow's database")
        migrate = airflow_command("db", "migrate", python=self.python)
        self.processes.finish(self.processes.start("db migrate", migrate, env=self.env))
        # One after the other: each takes a processor for some seconds to come up, and the API server, which all depend
        # on, takes longest. Started together they would only keep it from getting there.
        server = self.start("api-server")
        self.start("dag-processor")
        self.processes.wait_for(self.api.is_up, "Airflow's API server", server.log)
        self.api.log_in()
        self.start("scheduler")
        # Have Airflow build the API for tasks now; otherwise the first task would wait for it for some seconds.
        self.api.call("GET", "/execution/health")


def secrets_of(home: Home) -> dict[str, str]:
    """Return a home's secrets, readable by its owner only; create them if there are none."""
    path = home.airflow / "secrets.json"
    if not path.exists():
        sizes = {"api_secret": 48, "jwt_secret": 64, "password": 9, "milvus_password": 24}
        made = {name: secrets.token_urlsafe(size) for name, size in sizes.items()}
        made["fernet_key"] = secrets.token_urlsafe(32) + "="  # padded base64
        write_secret(path, json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def free_port(preferred: int = 0) -> int:
    """Return a port that nothing listens on at 127.0.0.1: the preferred one if it is free."""
    with socket.socket() as probe:
        # Like servers, treat a port with connections in TIME_WAIT as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
            probe.listen()
        except OSError:
            if preferred == 0:
                raise
            return free_port()
        return int(probe.getsockname()[1])


def clean_environment(home: Home, python: str = sys.executable) -> dict[str, str]:
    """Return the environment for everything that a run starts.

    :param home: programs that write to the user's home write there.
    """
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("LC_")}
    return {
        **kept,
        "PATH": os.pathsep.join((str(Path(python).parent), os.environ.get("PATH", os.defpath))),
        "HOME": str(home.user),
        "AIRFLOW_HOME": str(home.airflow),
        "PYTHONUNBUFFERED": "1",
    }


def airflow_command(*arguments: str, python: str = sys.executable) -> list[str]:
    """Return the command line that runs Airflow."""
    # -I: ignore the working directory and the user's packages.
    return [python, "-I", "-m", "airflow", *arguments]


def settings(home: Home, secret: dict[str, str], dags: Path, port: int, name: str) -> dict[str, str]:
    """Write the login, and return Airflow's settings as environment variables."""
    passwords = home.airflow / "passwords.json"
    write_secret(passwords, json.dumps({USER: secret["password"]}))
    url = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # A worker stays busy for a moment after its task; the next task should not wait for it.
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__FERNET_KEY": secret["fernet_key"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Airflow's default asks the name service, which may be slow or missing.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.airflow / 'airflow.db'}",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.airflow / "logs"),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secret["api_secret"],
        "AIRFLOW__API__INSTANCE_NAME": name,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret["jwt_secret"],
        # Waiting tasks defer, and free their workers.
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        # Only one run at a time: poll often, so that tasks start promptly.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


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

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Any]:
        """Return what a task logged in one of its attempts: texts, or ``event``, ``level`` and so on."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{attempt}"
        found: list[Any] = self.call("GET", path)["content"]
        return found

    def put_connection(self, connection: dict[str, Any]) -> None:
        """Store a connection, or update the one that has its ``connection_id``."""
        if self.call("POST", "/api/v2/connections", connection, but=HTTPStatus.CONFLICT) is None:
            self.call("PATCH", f"/api/v2/connections/{quote(connection['connection_id'])}", connection)


def _dag(dag_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id)}"


def _run(dag_id: str, run_id: str) -> str:
    return f"{_dag(dag_id)}/dagRuns/{quote(run_id)}"
