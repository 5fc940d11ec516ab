"""The demo and the try-it-out user interface: a real Airflow over a local Milvus server, on this machine only.

Run as ``airflow-vectordb demo`` or ``airflow-vectordb demo --ui``. Nothing else in the package imports this one, and it
does not import Airflow: Airflow runs in processes of its own, as anywhere else.

    command.py     the command line
    runner.py      the demo: bring up, trigger, follow, judge
    report.py      the verdict and the tables
    ui.py          the user interface: bring up, stay
    stack.py       Milvus server and Airflow, brought up together
    airflow.py     Airflow's settings and components
    api.py         Airflow's public REST API
    processes.py   starting processes, watching them, ending them; what a signal does
    home.py        the directory that one run works in
"""
