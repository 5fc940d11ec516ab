"""Ask Airflow's API server whether a triggerer is alive, before a task defers."""

from __future__ import annotations

import json
from typing import Any

from airflow_vectordb._compat import configuration

#: Seconds for the connection and for the answer: short, since the answer is only a hint.
TIMEOUT = (1.0, 2.0)
#: Bytes to read of an answer; it usually has a few hundred.
LARGEST = 1 << 16


def triggerer_problem() -> str | None:
    """
    Ask Airflow's health endpoint, which needs no login, about the triggerer.

    :return: Airflow's answer if none is alive; empty: one is alive, or Airflow does not know; None: no answer
    """
    import requests

    for server in _api_servers():
        try:
            with requests.get(
                f"{server}/api/v2/monitor/health", timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                return _judge(json.loads(response.raw.read(LARGEST, decode_content=True)))
        except Exception:  # noqa: BLE001, S112 - a hint that cannot be had must not fail the task
            continue
    return None


def _judge(health: Any) -> str:
    status, seen = health["triggerer"]["status"], health["triggerer"].get("latest_triggerer_heartbeat")
    # Without its database, Airflow reports everything as unhealthy.
    if status == "healthy" or health["metadatabase"]["status"] != "healthy":
        return ""
    return f"{status}, last heartbeat {seen}" if seen else "none has ever run"


def _api_servers() -> list[str]:
    conf = configuration()
    execution = conf.get("core", "execution_api_server_url", fallback=None) or ""
    base = conf.get("api", "base_url", fallback=None) or "/"
    if base.startswith("/"):
        base = f"http://localhost:8080{base}"  # as Airflow itself does
    found = [execution.rstrip("/").removesuffix("/execution"), base.rstrip("/")]
    return list(dict.fromkeys(server for server in found if server))
