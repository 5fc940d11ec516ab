"""Takes the token out of texts of servers, however it is spelt there."""

from __future__ import annotations

import html
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from airflow_vectordb.rest.text import sanitize_text

#: What stands in a secret's place.
STARS = "***"
#: Characters of a password below which it is not looked for by itself: it would take harmless words apart.
SHORTEST_PASSWORD = 5
#: Within one another, so many encodings are looked through (JSON within JSON within HTML), and one in long texts.
DEEPEST = 3
LONG = 16 * 1024
#: Characters that one character of a secret takes at most, encoded.
WIDEST = 12


class Redactor:
    """
    Takes a token out of texts, for servers that repeat what they were sent.

    It finds the token and its password in any case of letters: as they are, in Base64, and as UTF-8 that was read as
    Latin-1; each of them also in JSON, URLs and HTML.

    :param token: ``user:password`` or an API key
    """

    def __init__(self, token: str) -> None:
        password = token.partition(":")[2]
        secrets = _readings(token)
        if len(password) >= SHORTEST_PASSWORD:
            secrets |= _readings(password)
        lower = {secret.lower() for secret in secrets}
        # Enough to look for: what has another one in it is found by that.
        self._signs = tuple(s for s in lower if not any(other != s and other in s for other in lower))
        # The longest first, so that no rest of one stays.
        self._pattern = _any_of(secrets, re.IGNORECASE)
        # In data, what is a word of its own, and may be a part of a name (`Milvus`, which is the first password of a
        # fresh server), is no secret there.
        inner = {s for s in secrets if not re.fullmatch(r"\w+", s) or len(s) > len(password)}
        self._data_pattern = _any_of(inner, re.IGNORECASE, secrets - inner)
        self._margin = WIDEST * max(map(len, secrets))

    def __call__(self, text: str) -> str:
        """Take the token out of a server's words."""
        return self._redacted(text, self._pattern)

    def shown(self, text: str, longest: int) -> str:
        """Do as :func:`sanitize_text` does, without the token. What is not shown is hardly looked at."""
        enough = 4 * longest
        if len(text) <= enough + self._margin:
            return sanitize_text(self._redacted(text, self._pattern), longest)
        # What is cut off may have been the second half of a secret: its first half goes with the margin.
        text = self(text[: enough + self._margin])[: -self._margin]
        return sanitize_text(text, longest).removesuffix("…") + "…"

    def data(self, value: Any, known: Collection[str] = ()) -> Any:
        """
        Take the token out of all texts of an answer.

        :param known: texts that were sent, and may come back as they are
        :return: the same, or a copy where there was something to take out
        """
        if isinstance(value, str):
            return value if value in known else self._redacted(value, self._data_pattern)
        if isinstance(value, list):
            return [self.data(item, known) for item in value]
        if isinstance(value, dict):
            return {self.data(key, known): self.data(item, known) for key, item in value.items()}
        return value

    def finds(self, text: str) -> bool:
        """Return whether there may be something to take out; long texts with rare escapes are not looked through."""
        if self._has(text):
            return True
        return _has_escapes(text) and ((len(text) > LONG and "\\u" in text) or any(map(self._has, _decoded(text))))

    def _has(self, text: str) -> bool:
        lower = text.lower()
        for sign in self._signs:  # noqa: SIM110 - at each poll of thousands of waits: a loop takes half the time
            if sign in lower:
                return True
        return False

    def _redacted(self, text: str, pattern: re.Pattern[str]) -> str:
        for _ in range(DEEPEST):
            if self._has(text):
                text = pattern.sub(STARS, text)
            if not _has_escapes(text):
                return text
            # Where it is encoded, the decoded text is shown.
            found = next((plain for plain in _decoded(text) if self._has(plain) and pattern.search(plain)), None)
            if found is None:
                return text
            text = found
        return STARS


@lru_cache(maxsize=64)  # each poll of thousands of waits asks for it, mostly with one token
def redactor_of(token: str) -> Redactor:
    """Return the one redactor of a token."""
    return Redactor(token)


def _any_of(anywhere: Collection[str], flags: int, words: Collection[str] = ()) -> re.Pattern[str]:
    parts = [(secret, re.escape(secret)) for secret in anywhere]
    parts += [(secret, rf"(?-i:(?<!\w){re.escape(secret)}(?!\w))") for secret in words]
    parts.sort(key=lambda part: len(part[0]), reverse=True)
    return re.compile("|".join(pattern for _, pattern in parts), flags)


def _readings(secret: str) -> set[str]:
    """Return a secret as it is, tidied up, taken for another character set, or in Base64."""
    encoded = secret.encode()
    found = {secret, " ".join(secret.split()), "+".join(secret.split(" "))}
    found |= {"".join(map(_in_cp1252, encoded)), encoded.decode("latin-1"), encoded.decode("ascii", "replace")}
    found |= {re.sub(r"[^\x00-\x7f]", sign, secret) for sign in "?�"}
    found |= {re.sub(r"[^\x00-\x7f]", "?", encoded.decode("latin-1"))}
    for encode in (b64encode, urlsafe_b64encode):
        text = encode(encoded).decode()
        found |= {text, text.rstrip("=")}
    # A secret may look encoded itself.
    found |= {plain for reading in found for plain in _decoded(reading) if len(plain) >= SHORTEST_PASSWORD}
    return {reading for reading in found if reading.strip()}


def _in_cp1252(byte: int) -> str:
    return bytes([byte]).decode("cp1252", "ignore") or chr(byte)


def _decoded(text: str) -> Iterator[str]:
    """Yield what a text may stand for: decoded once, twice and so on."""
    for _ in range(1 if len(text) > LONG else DEEPEST):
        if not _has_escapes(text):
            return
        if _RARE_ESCAPES.search(text):
            plain = _ESCAPES.sub(_unescaped, text)
        else:  # quotes alone, as in JSON within JSON
            plain = text.replace('\\"', '"').replace("\\/", "/")
        if plain == text:
            return
        yield (text := plain)


def _has_escapes(text: str) -> bool:
    # The percent signs of progress, in the log of thousands of waits, are none.
    return "\\" in text or "&" in text or ("%" in text and _RARE_ESCAPES.search(text) is not None)


def _unescaped(match: re.Match[str]) -> str:
    code, octets, sign, entity = match.groups()
    if code:
        return bytes.fromhex(code.replace("\\u", "")).decode("utf-16-be", "replace")
    if octets:
        raw = bytes.fromhex(re.sub(r"\\x|%", "", octets))
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")
    return sign or html.unescape(entity)


#: Escapes of JSON, of Python's bytes and URLs, and of HTML.
_ESCAPES = re.compile(
    r"""((?:\\u[0-9a-fA-F]{4})+)|((?:\\x[0-9a-fA-F]{2})+|(?:%[0-9a-fA-F]{2})+)|\\(["'\\/])|(&\#?\w{1,32};)"""
)
_RARE_ESCAPES = re.compile(r"""\\[ux'\\]|%[0-9a-fA-F]{2}|&""")
