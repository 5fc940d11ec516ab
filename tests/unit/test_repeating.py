"""Which calls are made again, how often, and after which pauses."""

from __future__ import annotations

import pytest

from airflow_vectordb.rest import MilvusConfig, collections, entities, errors
from airflow_vectordb.rest.entities import Written
from airflow_vectordb.rest.wording import duration
from tests.support.harness import Logged, Pauses, Transport
from tests.support.scripted import Answer, Behaviour, CutOff, Serve, Silent, error, http_date, ok, page

LIST = collections.list_()
ROWS = [{"vector": [0.5, 0.25]}]
INSERT = entities.insert("docs", ROWS)
UPSERT = entities.upsert("docs", [{"id": 1, "vector": [0.5, 0.25]}])
REJECTED = (
    "request is rejected by limiter, error: request is rejected by grpc RateLimiter middleware, please retry later: "
    "rate limit exceeded[rate={}]"
)
LIMITED = error(1807, REJECTED.format(0))


def test_a_limiter_that_relents(transport: Transport, serve: Serve, pauses: Pauses, logged: Logged) -> None:
    server = serve([LIMITED, LIMITED, LIMITED, ok(["docs"])])

    assert transport.send(MilvusConfig(server.url), LIST) == [["docs"]]

    assert len(server.requests) == 4
    assert server.connections == 1
    assert [longest / 2 <= pause <= longest for pause, longest in zip(pauses, [2, 4, 8], strict=True)] == [True] * 3
    warnings = logged.of("warning")
    assert len(warnings) == 3
    for warning, pause in zip(warnings, pauses, strict=True):
        assert warning.endswith(f"next in {duration(pause)}")
    assert ["rate limit exceeded" in warning for warning in warnings] == [True, False, False]


class Limiter:
    """
    Takes one call in a while, as Milvus does by default with flushes, and goes by the time that was slept.

    :param interval: seconds from one call to the next
    :param answer: to all others
    """

    def __init__(self, pauses: Pauses, interval: float, answer: Behaviour) -> None:
        self.pauses, self.interval, self.answer = pauses, interval, answer
        self.opens = interval  # another client has just made a call

    def __call__(self, request: object) -> Behaviour:
        now = sum(self.pauses)
        if now < self.opens:
            return self.answer
        self.opens = now + self.interval
        return ok()


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("rate", ["0.1", "0.05", "1e-01"])
@pytest.mark.parametrize("code", [1807, 65535, 8])
def test_a_limiter_is_waited_out(
    code: int, rate: str, status: int, transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    server = serve(Limiter(pauses, 1 / float(rate), error(code, REJECTED.format(rate), status)))

    for _ in range(3):
        transport.send(MilvusConfig(server.url), collections.flush("docs"))

    assert pauses == [1 / float(rate)] * 3


@pytest.mark.parametrize("answer", [error(1807, "slow down"), error(8, "too many"), page(429), LIMITED])
def test_a_limiter_that_does_not_say_when_is_waited_out_too(
    answer: Behaviour, transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    server = serve(Limiter(pauses, 10.0, answer))

    transport.send(MilvusConfig(server.url), collections.flush("docs"))

    assert 10 < sum(pauses) <= 30


def test_a_limiter_that_opens_too_late_is_left_to_airflow(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve(error(1807, REJECTED.format(0.01)))

    found = transport.fail(MilvusConfig(server.url), collections.flush("docs"))

    assert (found.attempts, found.retry_after, pauses) == (1, 100.0, [])


@pytest.mark.parametrize("noun", ["collection", "partition", "database"])
def test_what_a_limiter_does_not_find_is_not_asked_for_again(
    noun: str, transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    server = serve(error(1807, f"request is rejected by limiter, error: {noun} not found[{noun}=nope]"))

    found = transport.fail(MilvusConfig(server.url), INSERT)

    assert isinstance(found, errors.NotFoundError)
    assert len(server.requests) == 1


def test_a_limiter_that_does_not(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve(LIMITED)

    found = transport.fail(MilvusConfig(server.url), LIST)

    assert len(server.requests) == found.attempts == 5  # the default: 4 retries
    assert (type(found), found.code, found.transient) == (errors.RateLimitError, 1807, True)


def test_pauses_grow_and_have_full_jitter(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    runs = 40
    server = serve(error(1, "not ready"))
    for _ in range(runs):
        transport.fail(MilvusConfig(server.url), LIST)

    assert len(pauses) == runs * 4
    for attempt, longest in enumerate([0.5, 1.0, 2.0, 4.0]):
        of_this_attempt = pauses[attempt::4]
        assert 0 <= min(of_this_attempt) < longest / 2 < max(of_this_attempt) <= longest


@pytest.mark.parametrize(("value", "least", "most"), [("3", 3.0, 3.0), ("2.5", 2.5, 2.5), ("60", 60.0, 60.0)])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds(
    transport: Transport, serve: Serve, pauses: Pauses, status: int, value: str, least: float, most: float
) -> None:
    server = serve([page(status, Retry_After=value), ok([])])

    transport.send(MilvusConfig(server.url), LIST)

    assert len(pauses) == 1
    assert least <= pauses[0] <= most


def test_retry_after_beside_a_code(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve([error(1807, "slow down", 429, Retry_After="7"), ok([])])

    transport.send(MilvusConfig(server.url), LIST)

    assert pauses == [7.0]


def test_retry_after_as_a_date(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve([page(503, Retry_After=http_date(20)), ok([])])

    transport.send(MilvusConfig(server.url), LIST)

    assert len(server.requests) == 2
    assert len(pauses) == 1
    assert 18.0 <= pauses[0] <= 20.0


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-5",
        "soon",
        "",
        "nan",
        "inf",
        "an hour ago",
        "Wed, 21 Oct 99999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999",
    ],
)
def test_retry_after_that_says_nothing_of_use(transport: Transport, serve: Serve, pauses: Pauses, value: str) -> None:
    header = http_date(-3600) if value == "an hour ago" else value
    server = serve([page(503, Retry_After=header), ok([])])

    transport.send(MilvusConfig(server.url), LIST)

    assert len(pauses) == 1
    assert 0 <= pauses[0] <= 0.5


@pytest.mark.parametrize("value", ["61", "3600", "in a day"])
def test_a_long_retry_after_is_left_to_airflow(transport: Transport, serve: Serve, pauses: Pauses, value: str) -> None:
    server = serve(page(503, Retry_After=http_date(24 * 3600) if value == "in a day" else value))

    found = transport.fail(MilvusConfig(server.url), LIST)

    assert found.transient
    assert found.retry_after is not None
    assert found.retry_after > 60
    assert len(server.requests) == 1
    assert pauses == []


def test_the_number_of_retries(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve(LIMITED)
    assert transport.fail(MilvusConfig(server.url, retries=0), LIST).attempts == 1
    assert len(server.requests) == 1
    with pytest.raises(errors.RateLimitError):
        transport.send(MilvusConfig(server.url, retries=0), LIST, retries=6)
    assert len(server.requests) == 1 + 7


MAYBE_DONE = {
    "a panic": error(500, "panic", 500),
    "a time-out of the server": error(10001, "request timeout", 408),
    "not ready": error(1, "service not ready"),
    "503": page(503),
    "cut off": CutOff(),
    "reset": CutOff(b"", reset=True),
    "closed without a word": CutOff(b""),
    "silence": Silent(),
}


@pytest.mark.parametrize("case", MAYBE_DONE)
def test_an_insert_that_may_have_been_done_is_not_made_again(
    case: str, transport: Transport, serve: Serve, pauses: Pauses, request: pytest.FixtureRequest
) -> None:
    server = serve([MAYBE_DONE[case]])
    if case == "silence":
        request.getfixturevalue("impatient")

    found = transport.fail(MilvusConfig(server.url, timeout=1), INSERT)

    assert found.transient  # Airflow may try the task again: whoever wrote it knows whether that is right
    assert found.attempts == 1
    assert server.received(1)
    assert pauses == []


@pytest.mark.parametrize("case", MAYBE_DONE)
def test_an_upsert_is_made_again(
    case: str, transport: Transport, serve: Serve, pauses: Pauses, request: pytest.FixtureRequest
) -> None:
    if case == "silence":
        request.getfixturevalue("impatient")
    server = serve([MAYBE_DONE[case], ok({"upsertCount": 1, "upsertIds": [1]})])

    assert transport.send(MilvusConfig(server.url, timeout=1), UPSERT) == [Written(1, (1,))]

    assert len(server.requests) == 2
    assert server.requests[0].body == server.requests[1].body
    assert len(pauses) == 1


@pytest.mark.parametrize("answer", [LIMITED, error(8, "too many"), error(4, "too many"), page(429)])
def test_an_insert_that_a_limiter_rejected_is_made_again(
    transport: Transport, serve: Serve, pauses: Pauses, answer: Behaviour
) -> None:
    server = serve([answer, answer, ok({"insertCount": 1, "insertIds": [7]})])

    assert transport.send(MilvusConfig(server.url), INSERT) == [Written(1, (7,))]

    assert [request.body["data"] for request in server.requests] == [ROWS] * 3


def test_an_insert_that_found_nobody_is_made_again(transport: Transport, serve: Serve, pauses: Pauses) -> None:
    server = serve([ok({"insertCount": 1, "insertIds": [7]})], listening=False)

    def start_at_the_second_pause() -> None:
        if len(pauses) == 2:
            server.listen()

    pauses.then = start_at_the_second_pause

    assert transport.send(MilvusConfig(server.url), INSERT) == [Written(1, (7,))]

    assert len(server.requests) == 1
    assert len(pauses) == 2


def test_the_error_of_the_last_attempt_is_the_one_that_is_told(
    transport: Transport, serve: Serve, pauses: Pauses
) -> None:
    server = serve([page(502), CutOff(), error(1100, "metric type not match")])

    found = transport.fail(MilvusConfig(server.url), LIST)

    assert (type(found), found.attempts) == (errors.BadRequestError, 3)
    assert "after 3 attempts" in str(found)


def test_a_success_in_the_words_of_early_servers(transport: Transport, serve: Serve) -> None:
    server = serve(Answer({"code": 200, "data": ["docs"]}))

    assert transport.send(MilvusConfig(server.url), LIST) == [["docs"]]
    assert len(server.requests) == 1
