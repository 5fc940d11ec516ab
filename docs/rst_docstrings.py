"""Let MkDocs read docstrings: the few marks of reStructuredText in them become Markdown."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(class|meth|func|data|attr|mod|exc):`(~?)([\w.]+)`")
LINK = re.compile(r"`([^`<]+?)\s+<(https?://[^>]+)>`__?")


class RstDocstrings(Extension):
    """Convert each docstring as soon as it is collected."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Convert one."""
        del kwargs
        if obj.docstring is not None:
            owner = obj if obj.is_class or obj.is_module else obj.parent
            obj.docstring.value = _markdown(obj.docstring.value, obj.module.path, owner.path if owner else "")


def _markdown(text: str, module: str, owner: str) -> str:
    def reference(match: re.Match[str]) -> str:
        role, short, path = match.groups()
        full = (
            path if path.startswith("airflow_vectordb.") else f"{owner if role in ('meth', 'attr') else module}.{path}"
        )
        return f"[`{path.rpartition('.')[2] if short else path}`][{full}]"

    text = LINK.sub(lambda match: f"[{' '.join(match[1].split())}]({match[2]})", ROLE.sub(reference, text))
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)
