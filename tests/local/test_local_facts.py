"""The local server over Milvus Lite, held to what Milvus's own handler answers."""

from __future__ import annotations

import pytest

from tests.support.facts import LITE, Fact, Subject, differences, subjects
from tests.support.local_api import Api


@pytest.mark.parametrize("subject", subjects(), ids=lambda one: one.name)
def test_it_answers_as_milvus_does(api: Api, subject: Subject) -> None:
    assert differences(api, subject, LITE) == []


def test_another_answer_is_a_difference(api: Api) -> None:
    facts = [
        Fact("collections/list", data=["other"]),
        Fact("collections/list", code=100),
        Fact("collections/list", says="other"),
        Fact("collections/list", status=404),
        Fact("collections/has", {"collectionName": "c"}, data={"has": True}),
        Fact("collections/has", {"collectionName": "c"}, data={"has": 0}),
        Fact("collections/has", {"collectionName": "c"}, data={"has": False, "more": 1}, whole=False),
        Fact("collections/has", {"collectionName": "c"}, beside={"cost": 0}),
    ]
    assert len(differences(api, Subject("other", facts), LITE)) == len(facts)
