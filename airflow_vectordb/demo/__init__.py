"""The demo and the try-it-out user interface: a real Airflow over a local Milvus server, on this machine only.

Run as ``airflow-vectordb demo``, ``airflow-vectordb demo --ui`` or ``python -m airflow_vectordb.demo``. Nothing else in
the package imports this one, and it does not import Airflow: Airflow runs in processes of its own, as anywhere else.

    sessions.py    which processes there are, and ending them; also the guard that does so when the demo is killed
    processes.py   starting processes, watching them, ending them; what a signal does
    home.py        the directory that one run works in
    airflow.py     Airflow's settings and components
    api.py         Airflow's public REST API
    stack.py       Milvus server and Airflow, brought up together
    report.py      the verdict and the tables
    runner.py      the demo: bring up, trigger, follow, judge
    ui.py          the user interface: bring up, stay
"""
