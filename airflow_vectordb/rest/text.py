"""Sanitizing of texts from servers."""

from __future__ import annotations

#: Byte order mark, with which some editors begin a file.
BOM = "\ufeff"
#: Characters of a log line.
LONGEST_LINE = 4000


def sanitize_text(text: str, longest: int) -> str:
    """
    Sanitize a server's text for a message: one line, without control characters, and of limited length.

    :param longest: characters at most, before the ellipsis
    """
    if len(text) <= longest and text.isprintable() and "  " not in text:  # most texts
        return text.strip()
    enough = 4 * longest
    cut = len(text) > enough
    text = text[:enough]  # limit the processing of huge texts
    if not text.isprintable():
        text = "".join(c if c.isprintable() or c.isspace() else "�" for c in text)
    text = " ".join(text.split())
    return text[:longest] + "…" if cut or len(text) > longest else text


def printable(text: str) -> str:
    """Replace control characters except line breaks."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
