"""Asks Airflow's API server whether a triggerer is there to wait for a task that is about to defer."""

from __future__ import annotations

import json
from typing import Any

#: Seconds for a connection, and for an answer. It is only a hint that is asked for.
TIMEOUT = (1.0, 2.0)
#: Bytes of an answer: it has a few hundred.
LARGEST = 1 << 16


def missing_triggerer() -> str:
    """
    Ask Airflow's health, which needs no login, whether a triggerer is alive.

    :return: what Airflow says in place of that; empty: one is alive, or nobody knows
    """
    import requests

    for server in _api_servers():
        try:
            with requests.get(
                f"{server}/api/v2/monitor/health", timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                return _judge(json.loads(response.raw.read(LARGEST, decode_content=True)))
        except Exception:  # noqa: BLE001, S112 - whatever it is, the task has other work to do
            continue
    return ""


def _judge(health: Any) -> str:
    status, seen = health["triggerer"]["status"], health["triggerer"].get("latest_triggerer_heartbeat")
    # Without its database, Airflow takes nobody for healthy.
    if status == "healthy" or health["metadatabase"]["status"] != "healthy":
        return ""
    return f"{status}, last heartbeat {seen}" if seen else "none has ever been there"


def _api_servers() -> list[str]:
    from airflow_vectordb._compat import configuration

    conf = configuration()
    execution = conf.get("core", "execution_api_server_url", fallback=None) or ""
    base = conf.get("api", "base_url", fallback=None) or "/"
    if base.startswith("/"):
        base = f"http://localhost:8080{base}"  # as Airflow itself
    found = [execution.rstrip("/").removesuffix("/execution"), base.rstrip("/")]
    return list(dict.fromkeys(server for server in found if server))


__all__ = ["missing_triggerer"]
