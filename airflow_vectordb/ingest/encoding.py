"""Rows as JSON. Most of it is the text of vectors, which is made of many of them at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

#: Numbers whose text is made at once: with all that is made of them, they stay in a processor's cache.
GROUP_NUMBERS = 16 * 1024
#: Bytes of text that a number has to have on average; shorter texts are sent as they are.
LEAST_BYTES = 10
#: Numbers whose texts tell the average.
SAMPLE = 64


class RowEncoder:
    """
    Encodes checked rows.

    :param vectors: fields that have vectors of 32-bit floats, and the numbers of each
    """

    def __init__(self, vectors: Mapping[str, int]) -> None:
        # Without NumPy there are only lists, and orjson encodes them.
        self._vectors = {name: dim for name, dim in vectors.items() if dim and find_spec("numpy")}
        numbers = sum(self._vectors.values())
        #: Rows to encode at once.
        self.group_rows = max(GROUP_NUMBERS // numbers, 1) if numbers else GROUP_NUMBERS
        self._texts = {name: FloatText() for name in self._vectors}

    def encode(self, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[bytes, list[str]]]:
        """
        Encode rows.

        :param rows: each loses what is encoded of it apart from the rest
        :return: for each row its text, and what is wrong with it
        """
        import orjson

        texts: list[tuple[bytes, memoryview, int]] = []
        for name in self._vectors:
            numbers = _numbers([row.get(name) for row in rows])
            text = None if numbers is None else self._texts[name].write(numbers)
            if numbers is None or text is None:
                continue
            for row in rows:
                del row[name]
            texts.append((b"%b:[" % orjson.dumps(name), text, len(text) // len(rows)))
        for number, row in enumerate(rows):
            try:
                encoded = orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
            except orjson.JSONEncodeError as error:
                yield b"", [_unencodable(row, error)]
                continue
            for name_text, text, size in texts:
                vector = text[number * size : (number + 1) * size - 1]  # without the last comma
                encoded = b"".join((b"{", name_text, vector, b"]" if encoded == b"{}" else b"],", encoded[1:]))
            yield encoded, []


def _numbers(vectors: Sequence[Any]) -> Array | None:
    """Return the numbers of all vectors as 32-bit floats; None where some are not there, or are no arrays."""
    import numpy

    if set(map(type, vectors)) != {numpy.ndarray}:
        return None
    return numpy.concatenate(vectors, dtype="float32", casting="same_kind")


class FloatText:
    """
    Writes 32-bit floats as JSON: in half the time that orjson takes, and in up to half as many bytes more.

    Between two powers of two, all numbers become integers of eight or nine digits with the same exponent of ten, chosen
    so that these lie at least four times as close as the floats there: reading one finds the same float again. All
    texts have the same length, with blanks in them, so that NumPy can write one digit of all numbers after the other.
    """

    def __init__(self) -> None:
        self._scales, self._exponents, self._heads, self._digits = _tables()
        self._room = _room_for(0)

    def write(self, numbers: Array) -> memoryview | None:
        """
        Write finite numbers.

        :param numbers: of 32 bits, in one dimension
        :return: a text of the same length for each, with a comma at its end, overwritten by the next call; None where
            that of orjson is better: among zeros, subnormal numbers, and numbers of few digits
        """
        import numpy
        import orjson

        sample = numbers[:: numbers.size // SAMPLE or 1].copy()
        if len(orjson.dumps(sample, option=orjson.OPT_SERIALIZE_NUMPY)) < LEAST_BYTES * sample.size:
            return None
        bits = numbers.view("u4")
        upper = (bits >> 23).astype(numpy.intp)  # sign and exponent of two
        low = (numbers * self._scales.take(upper, mode="clip")).astype("u4")
        if not low.all():
            return None
        high = low // 10_000
        low -= high * 10_000
        head = high // 10_000
        high -= head * 10_000
        head += (bits >> 31) << 3  # the other half of the table has a sign
        if numbers.size > self._room.size:
            self._room = _room_for(numbers.size)
        out = self._room[: numbers.size]
        out["head"] = self._heads.take(head, mode="clip")
        out["high"] = self._digits.take(high, mode="clip")
        out["low"] = self._digits.take(low, mode="clip")
        out["exponent"] = self._exponents.take(upper, mode="clip")
        return out.view("u1").data


def _room_for(numbers: int) -> Array:
    import numpy

    room = numpy.empty(numbers, [("head", "u2"), ("high", "u4"), ("low", "u4"), ("exponent", "u4"), ("comma", "u1")])
    room["comma"] = ord(",")
    return room


@cache
def _tables() -> tuple[Array, Array, Array, Array]:
    """Return what numbers are multiplied by, and texts: of exponents, of first digits, and of four digits."""
    import numpy

    scales, exponents = numpy.zeros(512), [b""] * 512  # without an entry for zero, subnormal and no numbers
    for upper in range(1, 255):
        digits = math.ceil((25 + 127 - upper) * math.log10(2))
        scales[upper] = float(f"1e{digits}")
        scales[upper + 256] = -scales[upper]
        exponents[upper] = exponents[upper + 256] = b"e%d" % -digits
    heads = [sign + digit for sign in (b"", b"-") for digit in (b"", b"1", b"2", b"3", b"4", b"5", b"6", b"7")]
    # Texts are copied as integers of their size, which is faster.
    return (
        scales,
        numpy.array([text.ljust(4) for text in exponents]).view("u4"),
        numpy.array([text.rjust(2) for text in heads]).view("u2"),
        numpy.array([b"%04d" % number for number in range(10_000)]).view("u4"),
    )


def _unencodable(row: Mapping[str, Any], error: Exception) -> str:
    import orjson

    for name, value in row.items():
        try:
            orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        except orjson.JSONEncodeError:
            return f"{name}: a {type(value).__name__} has no form in JSON"
    return str(error)


__all__ = ["FloatText", "RowEncoder"]
