"""Servers that lie: whoever waits, however, ends right, with few requests, without haste, and says what was wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_vectordb._compat import AirflowException, AirflowFailException, AirflowSensorTimeout
from tests.support.drivers import Driver
from tests.support.fake_milvus import BUILT, NO_COLLECTION, FakeMilvus, rows, told
from tests.support.harness import PASSWORD, Clock, Logged, Looks, airflows
from tests.support.scripted import Answer, Behaviour, CutOff, Raw, Serve, Silent, error, ok, page

#: What a server repeats of the token, in the middle of its words.
ECHO = f"Bearer ada:{PASSWORD}"


class Scene:
    """A lying server, somebody who waits, and what is to hold whatever the lie is."""

    def __init__(self, serve: Serve, driver: Driver, clock: Clock, logged: Logged) -> None:
        self._serve = serve
        self.driver = driver
        self.clock = clock
        self.logged = logged
        self.result: Any = None
        self.failure: BaseException | None = None

    def play(
        self,
        *progress: dict[str, Any],
        faults: list[Behaviour | None] | None = None,
        answer: Callable[[float], Behaviour | None] = lambda elapsed: None,
        milvus: FakeMilvus | None = None,
        script: Callable[[Looks], Any] = lambda seen: seen,
        timeout: float | None = None,
        interval: float = 30.0,
    ) -> Scene:
        """Wait, with no retries but those of the wait itself."""
        fake = milvus or FakeMilvus(progress=told(*(progress or ({},))))
        if faults:
            fake.faults["indexes/describe"] = [*faults]
        if self.driver.sensor:
            fake.add("vector", M=16, efConstruction=200)
        self.seen = Looks(self.clock, fake, answer)
        self.server = self._serve(script(self.seen))
        self.clock.began = self.clock.now
        try:
            self.result = self.driver.run(
                self.server, timeout=timeout, interval=interval, extra={"retries": 0, "timeout": 1}
            )
        except (AirflowException, AssertionError) as failure:
            self.failure = failure
        self._check()
        return self

    def _check(self) -> None:
        # A floor under every pause. The triggerer's first poll may follow the worker's sooner, once.
        gaps = self.seen.gaps[1:] if self.driver.deferred else self.seen.gaps
        assert all(gap >= 0.4 - 1e-6 for gap in gaps[:-1]), gaps
        assert all(gap >= 0.1 - 1e-6 for gap in gaps[-1:]), gaps  # one more poll at the deadline itself
        # Nothing but the polls is asked again and again.
        others = [path for path in self.server.paths if path not in ("indexes/describe", "collections/get_stats")]
        assert tuple(others) == self.driver.before[: len(others)]
        # The token is nowhere.
        words = [self.logged.everything, *self.driver.passed, str(self.failure), repr(self.failure), repr(self.result)]
        assert not any(PASSWORD in text for text in words)

    def ends(self, looks: int | range, *, before: float | None = None) -> None:
        """Check that the index was taken for built, at the look at which it was."""
        assert self.failure is None, self.failure
        assert self.result[0]["index_name"] == "vector"
        self._looked(looks)
        assert before is None or self.clock.elapsed < before

    def fails(self, kind: type[BaseException], looks: int | range | None, *words: str) -> str:
        """Check the end, and its message."""
        assert airflows(self.failure) is kind, repr(self.failure)
        text = str(self.failure)
        for word in ("task index", "'docs'", *words):
            assert word in text, text
        assert len(text) < 1500
        assert text.isprintable()
        if looks is not None:
            self._looked(looks)
        return text

    def _looked(self, looks: int | range) -> None:
        made = len(self.seen.times)
        assert made in looks if isinstance(looks, range) else made == looks
        stats = self.server.paths.count("collections/get_stats")
        assert len(self.server.requests) == len(self.driver.before) + made + stats

    def warned(self, outages: int, looks: int) -> None:
        """Check that there is one line for each outage; of a process for each poll, one for each of them."""
        lines = [line for line in self.logged.of("warning") if "still waiting" in line]
        assert len(lines) == (looks if self.driver.rescheduled else outages), lines
        assert len(self.logged.of("warning")) == len(lines), self.logged.of("warning")
        assert all("index 'vector' of collection 'docs'" in line for line in lines)

    @property
    def late(self) -> type[AirflowException]:
        """What a wait that takes too long ends in: a sensor for good, an operator until Airflow tries again."""
        return AirflowSensorTimeout if self.driver.sensor else AirflowException


@pytest.fixture
def scene(serve: Serve, driver: Driver, clock: Clock, logged: Logged) -> Iterator[Scene]:
    yield Scene(serve, driver, clock, logged)
    assert clock.elapsed == pytest.approx(sum(clock.naps)), "somebody slept in earnest"


# Lies about how far it is -------------------------------------------------------------------------------------------


def test_finished_with_rows_pending(scene: Scene) -> None:
    scene.play(*[rows(pending, "Finished") for pending in [700_000] * 20 + [1] * 10], BUILT)
    scene.ends(31)
    assert scene.result[0]["pending_rows"] == 0


def test_counts_that_go_backwards(scene: Scene) -> None:
    pending = [100_000, 20_000, 90_000, 130_000, 30_000, -5, 1]
    scene.play(*map(rows, pending), BUILT)

    scene.ends(len(pending) + 1)
    lines = [line for line in scene.logged.of("info") if "rows (" in line]
    assert "docs/vector: 80,000 of 100,000 rows (80%)" in "\n".join(lines)
    assert not any("-" in line for line in lines)


def test_an_empty_collection(scene: Scene) -> None:
    scene.play(rows(0, "Finished", total=0))
    scene.ends(1)
    assert scene.clock.naps == []


def test_an_empty_collection_whose_index_is_never_issued(scene: Scene) -> None:
    scene.play(milvus=FakeMilvus(rows=0, progress=told(rows(0, "Unissued", total=0))))
    # The operator's own look is at the description alone.
    scene.ends(1 if scene.driver.sensor else 2, before=1)
    assert scene.server.paths.count("collections/get_stats") == 1


def test_rows_that_get_into_no_index(scene: Scene) -> None:
    scene.play(rows(0, "Finished", indexed=12))
    scene.ends(1)
    assert scene.clock.naps == []
    assert scene.result[0]["indexed_rows"] == 12


def test_a_state_that_repeats_the_token(scene: Scene) -> None:
    scene.play({**rows(7), "indexState": f"{ECHO}\x1b[31m", "totalRows": None}, timeout=60)
    assert "\x1b" not in scene.logged.everything
    scene.fails(scene.late, None, "***")


# Ends that are none -------------------------------------------------------------------------------------------------


def test_a_build_that_fails(scene: Scene) -> None:
    scene.play(*[rows(10)] * 3, {**rows(10, "Failed"), "failReason": f"disk\x07 full for {ECHO}"})
    scene.fails(AirflowFailException, 4, "'vector'", "disk� full for", "DropIndexOperator", scene.server.url)


PERMANENT: dict[str, tuple[Behaviour, list[str]]] = {
    "token revoked": (error(1800, f"user hasn't authenticated: {ECHO}", 401), ["code 1800", "HTTP 401", "login and"]),
    "privilege revoked": (error(1401, "no privilege", 403), ["code 1401", "no privilege", "Grant"]),
    "database dropped": (error(800, "database not found"), ["code 800", "schema field"]),
    "moved away": (Answer("", 301, {"Location": f"https://else/?{ECHO}"}), ["redirects to 'https://else", "final URL"]),
}


@pytest.mark.parametrize("case", PERMANENT)
def test_what_does_not_pass_ends_it_at_once(case: str, scene: Scene) -> None:
    lie, words = PERMANENT[case]
    scene.play(rows(100), faults=[None] * 4 + [lie] * 9)
    scene.fails(AirflowFailException, 5, "'vector'", "indexes/describe", scene.server.url, *words)


GONE = {
    "index dropped": (error(700, "index not found[index=vector]"), "code 700"),
    "collection dropped": (NO_COLLECTION, "code 100"),
    "index forgotten": (ok([]), "no index 'vector'"),
    "another index": (ok([{"indexName": "other", "fieldName": "vector"}]), "no index 'vector'"),
}


@pytest.mark.parametrize("case", GONE)
def test_what_somebody_drops_in_mid_wait(case: str, scene: Scene) -> None:
    lie, word = GONE[case]
    scene.play(*[rows(100)] * 4, BUILT, faults=[None] * 4 + [lie] * 9)
    if scene.driver.sensor:  # it may come again, and does
        scene.ends(4 + 9 + 1)
        assert scene.logged.of("warning") == []
    else:
        polls = 6 if word.startswith("code") else 5  # a proxy that lags may have said so
        scene.fails(AirflowFailException, polls, "'vector'", "indexes/describe", scene.server.url, word)


def test_what_never_comes_again(scene: Scene) -> None:
    scene.play(rows(100), answer=lambda elapsed: NO_COLLECTION if elapsed > 100 else None, timeout=300)
    if scene.driver.sensor:
        scene.fails(AirflowSensorTimeout, range(10, 90), "docs/vector: not there yet")
    else:
        scene.fails(AirflowFailException, range(5, 80), "can't find collection")


# Outages ------------------------------------------------------------------------------------------------------------

PASSING: dict[str, Behaviour] = {
    "HTML": page(200, f"Welcome {ECHO}"),
    "garbage": Answer(b"\x00\x01" + ECHO.encode()),
    "another shape": ok({"state": ECHO}),
    "not HTTP": Raw(f"SSH-2.0-{ECHO}\r\n".encode()),
    "502": page(502, ECHO),
    "rate limit, at once": error(1807, f"slow down, {ECHO}", Retry_After="0"),
    "cut off": CutOff(reset=True),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_comes_between_good_answers(case: str, scene: Scene) -> None:
    lie = PASSING[case]
    scene.play(*[rows(500 - n) for n in range(5)], BUILT, faults=[None, lie, lie, lie, None, None, lie])

    scene.ends(6 + 4)
    scene.warned(outages=1, looks=4)  # the second outage is within minutes of the first
    if not scene.driver.rescheduled:
        assert len([line for line in scene.logged.of("info") if "answers again" in line]) == 1


@pytest.mark.parametrize("case", PASSING)
def test_what_does_not_pass_until_the_deadline(case: str, scene: Scene) -> None:
    scene.play(rows(500), answer=lambda elapsed: PASSING[case] if elapsed > 9 else None, timeout=200)

    words = ["3 min 20 s (timeout)"] + ([] if scene.driver.rescheduled else ["99,500 of 100,000 rows (99%)"])
    hint = "Airflow does not retry sensors" if scene.driver.sensor else "A retry continues to wait"
    scene.fails(scene.late, range(7, 80), "'vector'", "the last error was: ", scene.server.url, hint, *words)
    assert 200 <= scene.clock.elapsed <= (231 if scene.driver.rescheduled else 201)
    scene.warned(outages=1, looks=len(scene.seen.times) - 1)


@pytest.mark.parametrize("case", ["HTML", "garbage", "not HTTP"])
def test_what_was_never_milvus_is_the_wrong_address(case: str, scene: Scene) -> None:
    lie = PASSING[case]
    scene.play(script=lambda seen: lambda request: lie)
    what = [] if scene.driver.before else ["'vector'"]
    scene.fails(AirflowFailException, None, "host and port", scene.server.url, *what)
    assert len(scene.server.requests) == 1


def test_what_never_was_milvus_after_an_outage(scene: Scene) -> None:
    if scene.driver.before:
        return  # operators wait for what they asked Milvus for
    scene.play(answer=lambda elapsed: page(200) if elapsed > 60 else page(502), timeout=600)
    if scene.driver.rescheduled:  # each of its processes takes it that an earlier one got an answer
        scene.fails(scene.late, 22, "the last error was: The server at")
    else:
        scene.fails(AirflowFailException, range(10, 60), "host and port", "'vector'")
        assert 60 < scene.clock.elapsed < 70


@pytest.mark.usefixtures("impatient")
def test_answers_slower_than_the_time_out(scene: Scene) -> None:
    scene.play(rows(500), BUILT, faults=[None, Silent(), None])
    scene.ends(3)
    scene.warned(outages=1, looks=1)
    assert any("no answer within 1 s" in line for line in scene.logged.of("warning"))


def test_every_second_connection_is_reset(scene: Scene) -> None:
    def resetting(seen: Looks) -> Callable[[Any], Behaviour]:
        def script(request: Any) -> Behaviour:
            behaviour = seen(request)
            assert isinstance(behaviour, Answer)
            if request.path == "indexes/describe" and len(seen.times) % 2 == 0:
                return CutOff(b"", reset=True)
            return Answer(behaviour.body, behaviour.status, {"Connection": "close"})

        return script

    milvus = FakeMilvus(progress=lambda name: BUILT if scene.clock.elapsed > 600 else rows(500))
    scene.play(milvus=milvus, script=resetting)

    scene.ends(range(20, 110), before=665)
    assert scene.server.connections == len(scene.server.requests)
    looks = sum(1 for at in scene.seen.times[1::2] if at <= scene.clock.elapsed)
    scene.warned(outages=3, looks=looks) if scene.driver.rescheduled else None
    # Two lines a poll would bury what else there is to read.
    assert scene.driver.rescheduled or len([w for w in scene.logged.of("warning") if "still waiting" in w]) <= 3


def test_an_hour_of_503(scene: Scene) -> None:
    milvus = FakeMilvus(progress=lambda name: BUILT if scene.clock.elapsed > 3700 else rows(500))
    scene.play(milvus=milvus, answer=lambda elapsed: page(503) if 60 < elapsed < 3660 else None)

    scene.ends(range(120, 230), before=3731)
    if not scene.driver.rescheduled:  # the first one, and then seldom
        assert 2 <= len([w for w in scene.logged.of("warning") if "still waiting" in w]) <= 13
