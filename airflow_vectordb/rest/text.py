"""Texts of servers, made fit to be shown."""

from __future__ import annotations

#: Characters of a line in a log.
LONGEST_LINE = 4000


def sanitize_text(text: str, longest: int) -> str:
    """
    Make a server's words fit for a message: one line, nothing that a terminal obeys, not too long.

    :param longest: characters at most, before the ellipsis
    """
    if len(text) <= longest and text.isprintable() and "  " not in text:  # as most texts
        return text.strip()
    enough = 4 * longest
    cut = len(text) > enough
    text = text[:enough]  # what comes by the megabyte is not to be read by the megabyte
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c.isspace() else "�" for c in text)
    text = " ".join(text.split())
    return text[:longest] + "…" if cut or len(text) > longest else text


def printable(text: str) -> str:
    """Replace what a terminal obeys, but for line breaks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
