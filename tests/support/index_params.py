"""Index parameters, read as tasks read them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index.spec import IndexSpec, parse_index_params


def read(index_type: str | None = None, /, *, allow_unknown: bool = False, **more: Any) -> IndexSpec:
    given = {"fieldName": "v", **({"indexType": index_type} if index_type else {}), **more}
    (spec,) = parse_index_params(given, allow_unknown=allow_unknown)
    return spec


def problems(index_type: str | None = None, /, **more: Any) -> list[str]:
    with pytest.raises(InvalidParametersError) as caught:
        read(index_type, **more)
    return list(caught.value.problems)
