"""``airflow-vectordb demo``: its arguments, and how it ends."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the demo's command line."""
    parser.add_argument("--ui", action="store_true", help="open Airflow's pages instead, and stay until Ctrl-C")
    parser.add_argument("--home", type=Path, metavar="DIR", help="directory to work in (.demo, with --ui .ui)")
    parser.add_argument("--port", type=int, default=8080, help="with --ui: Airflow's port, if it is free (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo or the user interface, and leave no process behind.

    :return: exit status: 0, if all that must hold did, or if Ctrl-C ended the user interface; 1, if not; 130 if Ctrl-C
        ended the demo.
    """
    # Imported here, since the command line has other commands too.
    from airflow_vectordb.demo.api import ApiError
    from airflow_vectordb.demo.console import Console
    from airflow_vectordb.demo.home import HomeError
    from airflow_vectordb.demo.processes import ChildEndedError, Stopped, tail
    from airflow_vectordb.demo.runner import run_demo, run_ui
    from airflow_vectordb.rest.errors import MilvusError

    # This process makes local requests only, so ignore proxies.
    os.environ.update(NO_PROXY="*", no_proxy="*")
    console = Console()
    try:
        if arguments.ui:
            return run_ui(arguments.home or Path(".ui"), console, port=arguments.port)
        return run_demo(arguments.home or Path(".demo"), console)
    except Stopped as stopped:
        console.step(f"ended by {signal.Signals(stopped.number).name}; no process is left")
        # Ctrl-C is the normal end of --ui, but a failure of the demo.
        return 0 if arguments.ui and stopped.number == signal.SIGINT else stopped.exit_status
    except ChildEndedError as ended:
        console.show(f"\n{ended}. The end of its log, {ended.child.log}:\n{tail(ended.child.log)}")
    except (ApiError, HomeError, MilvusError, OSError) as error:
        console.show(f"\n{error}")
    return 1
