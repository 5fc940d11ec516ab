"""``airflow-vectordb``: the commands of this package.

Each command is a function that adds a parser and sets the function to run. The local server is imported only when
needed: it is an extra, and slow to import.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_vectordb import __version__

TOKEN_VARIABLE = "AIRFLOW_VECTORDB_TOKEN"  # noqa: S105 - the name of a variable, not a secret


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="airflow-vectordb", description="Milvus and Zilliz Cloud for Apache Airflow")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_serve, _add_demo, _add_check):
        add(commands)
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="Milvus's REST API v2 on this machine, over an embedded Milvus Lite",
        description="Serve Milvus's REST API v2 over an embedded Milvus Lite, or over a Milvus that speaks gRPC, for "
        "development and tests. It speaks REST only, no gRPC: pymilvus cannot connect to it.",
        epilog=f"The token can also be given as {TOKEN_VARIABLE}, which keeps it out of the list of processes: "
        f"{TOKEN_VARIABLE}=root:local-secret airflow-vectordb serve --data ./milvus-data. "
        "AIRFLOW_VECTORDB_BACKEND_CA may name a PEM file with the certificates that vouch for an https backend.",
    )
    engine = parser.add_mutually_exclusive_group(required=True)
    engine.add_argument("--data", type=Path, metavar="DIR", help="the data directory; created if it does not exist")
    engine.add_argument(
        "--backend",
        metavar="URI",
        help="http://host:port or https://host:port of a Milvus; callers' credentials are passed on to it",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", default=19530, type=_port, help="the port (%(default)s); 0 for a free one")
    parser.add_argument("--token", metavar="USER:PASSWORD", help="what callers must send; needed beyond loopback")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that callers use for this server, besides its address and localhost; may be repeated",
    )
    parser.add_argument(
        "--pace",
        type=_pace,
        help="how long flushes, index builds and loads take: quick (the default with --data), immediate (the default "
        "with --backend), real for about as long as on a cluster, or real,build=8,flush_interval=0 with seconds of "
        "your own",
    )
    parser.set_defaults(run=_serve)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return int(text)


def _pace(text: str) -> str:
    from airflow_vectordb.local.pace import Pace

    try:
        Pace.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _serve(arguments: argparse.Namespace) -> int:
    # Until the server runs, nothing needs an orderly shutdown, and the imports below take a while.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: os._exit(0))
    try:
        from airflow_vectordb.local.pace import Pace
        from airflow_vectordb.local.server import CannotServeError, Settings, configure_logging, leave, run
    except ModuleNotFoundError as error:
        print(f"airflow-vectordb serve needs {error.name}: install the extra 'local'", file=sys.stderr)
        return 2
    configure_logging(logging.INFO)
    # Removed from the environment: child processes do not need it.
    from_environment = os.environ.pop(TOKEN_VARIABLE, None)
    token = arguments.token or from_environment or None
    pace = Pace.of(arguments.pace, backend=arguments.backend is not None)
    settings = Settings(
        arguments.data,
        token,
        arguments.host,
        arguments.port,
        backend=arguments.backend,
        allowed_hosts=arguments.allow_host,
        pace=pace,
    )

    def announce(uri: str) -> None:
        takes_time = arguments.pace is not None and pace is not None
        print(_announcement(uri, token, shown=bool(arguments.token), takes_time=takes_time), flush=True)

    try:
        run(settings, announce)
    except CannotServeError as error:
        print(f"airflow-vectordb serve: {error}", file=sys.stderr)
        return 1
    leave(0)
    return 0


def _announcement(uri: str, token: str | None, *, shown: bool, takes_time: bool) -> str:
    """
    Return what ``serve`` prints: the URI, and the connection for Airflow.

    A token that may be shown appears once, and never in a command, whose arguments other users can read.
    """
    pace = ["Flushes, index builds and loads take their time, as on a cluster."] if takes_time else []
    host, _, port = uri.partition("://")[2].rpartition(":")
    credentials, whose = "", ""
    other = [
        "or in Airflow's own database:",
        f"  airflow connections add milvus_default --conn-type milvus --conn-host {host} --conn-port {port}",
    ]
    if token:
        user, colon, password = token.partition(":") if ":" in token else ("", "", token)
        kind = "password" if colon else "key"
        credentials = f"{quote(user, safe='')}:{quote(password, safe='') if shown else kind.upper()}@"
        whose = "" if shown else f" (its {kind} is the one in {TOKEN_VARIABLE})"
        login = f", login {user}" if user else ""
        other = [
            "or in Airflow's own database, under Admin > Connections:",
            f"  id milvus_default, type Milvus / Zilliz Cloud, host {host}, port {port}{login}, and the password",
        ]
    return "\n".join(
        [
            f"Milvus REST API v2: {uri} (REST only, no gRPC: pymilvus cannot connect)",
            f"Its operations are listed at {uri}/docs. Ctrl-C stops it.",
            *pace,
            "",
            f"The Airflow connection, as a variable{whose}:",
            f"  export AIRFLOW_CONN_MILVUS_DEFAULT='milvus://{credentials}{host}:{port}'",
            *other,
        ]
    )


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser("demo", help="an example under a real Airflow, over a local Milvus server")
    parser.add_argument("--ui", action="store_true", help="open Airflow's pages instead, and stay until Ctrl-C")
    parser.add_argument("--home", type=Path, metavar="DIR", help="directory to work in (.demo, with --ui .ui)")
    parser.add_argument("--port", type=int, default=8080, help="with --ui: Airflow's port, if it is free (%(default)s)")
    parser.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from airflow_vectordb.demo.runner import run  # other commands do not need it

    return run(arguments)


def _add_check(commands: Any) -> None:
    parser = commands.add_parser(
        "check",
        help="whether an Airflow connection works, and what tasks could do with it",
        description="Check an Airflow connection: the server's version, inferred from its paths, "
        "the database, privileges by trying calls that only read, and whether Airflow's triggerer is alive. Nothing is "
        "changed. The exit status is 1 if something failed; a warning does not fail the check.",
    )
    parser.add_argument("conn_id", nargs="?", default="milvus_default", help="id of the connection (%(default)s)")
    parser.add_argument("--database", help="in place of the connection's")
    parser.add_argument("--collection", help="the collection to try privileges on; any of the database if left out")
    parser.set_defaults(run=_check)


def _check(arguments: argparse.Namespace) -> int:
    from airflow_vectordb.hooks.connection_test import check  # loads Airflow

    failed = False
    for subject, state, text in check(arguments.conn_id, arguments.database, arguments.collection):
        print(f"{subject:<11} {state:<8} {text}", flush=True)
        failed = failed or state == "failed"
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
