"""The local server before a real Milvus, held to what Milvus's own handler answers."""

from __future__ import annotations

import pytest

from tests.support.engine_api import Api
from tests.support.facts import MILVUS, Subject, differences, subjects


@pytest.mark.parametrize("subject", subjects(), ids=lambda one: one.name)
def test_it_answers_as_milvus_does(api: Api, subject: Subject) -> None:
    assert differences(api, subject, MILVUS) == []
