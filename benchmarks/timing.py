"""Times, taken in turns: so that what else the machine does meets all alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median


class Times:
    """
    Seconds that several ways to do a thing took, round by round.

    :param rounds: by way, a time for each round
    """

    def __init__(self, rounds: Mapping[str, list[float]]) -> None:
        self.rounds = rounds

    def median(self, way: str) -> float:
        """
        Tell what a way takes.

        :param way: its name
        :return: seconds, the median of all rounds
        """
        return median(self.rounds[way])

    def ratio(self, slow: str, fast: str) -> float:
        """
        Tell how many times as long one way takes as another.

        :param slow: name of the one
        :param fast: name of the other
        :return: the median of the ratios within each round
        """
        return median(one / other for one, other in zip(self.rounds[slow], self.rounds[fast], strict=True))


def in_turns(ways: Mapping[str, Callable[[], object]], repetitions: int) -> Times:
    """
    Time several ways to do a thing, one after the other, again and again. One more round before does not count.

    :param ways: functions by name
    :param repetitions: number of rounds
    """
    rounds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(repetitions + 1):
        for way, function in ways.items():
            gc.collect()
            began = time.perf_counter()
            result = function()
            seconds = time.perf_counter() - began
            del result
            if number:
                rounds[way].append(seconds)
    return Times(rounds)


__all__ = ["Times", "in_turns"]
