"""The demo and ``--ui``: a real Airflow with a local Milvus server, on this machine only.

Run as ``airflow-vectordb demo`` or ``airflow-vectordb demo --ui``. Nothing else in the package imports this one, and it
does not import Airflow: Airflow runs in separate processes.

    runner.py      the demo: start, trigger, follow, check; --ui: start, and keep running
    report.py      the verdict and the tables
    airflow.py     Airflow's settings, components and public REST API
    processes.py   starting, watching and ending processes; signals; progress lines
    home.py        the directory of a run
"""
