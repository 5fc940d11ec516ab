"""What calls return, where that is more than a name, a number or a row."""

from __future__ import annotations

from typing import Any


class Result(dict[str, Any]):
    """
    Base of frozen dataclasses that are dicts of their fields at the same time.

    So ``result.count`` can be read where it was got, and it is JSON as it stands: a ``@task`` may return it, in a list
    or a dict as well, and the next task gets a plain dict (``result["count"]``). Airflow passes on no other class
    without being configured to.
    """

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            self[name] = list(value) if type(value) is tuple else value
