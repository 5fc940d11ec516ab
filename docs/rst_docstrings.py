"""Let MkDocs read docstrings: the few marks of reStructuredText in them become Markdown.

Operators and sensors show the arguments of their bases, too, which are documented there only.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Class, Extension, Module, Object

ROLE = re.compile(r":(class|meth|func|data|attr|mod|exc):`(~?)([\w.]+)`")
FIELD = re.compile(r"^:(?:param|raises) (\w+):.*(?:\n +.*)*", re.MULTILINE)
LINK = re.compile(r"`([^`<]+?)\s+<(https?://[^>]+)>`__?")


class RstDocstrings(Extension):
    """Convert each docstring as soon as it is collected."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Convert one."""
        del kwargs
        if obj.docstring is not None:
            owner = obj if obj.is_class or obj.is_module else obj.parent
            obj.docstring.value = _markdown(obj.docstring.value, obj.module.path, owner.path if owner else "")

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Complete the classes of a package, all of whose modules are there."""
        del kwargs
        for part in ("operators", "sensors"):
            for module in pkg[part].modules.values():
                for found in module.classes.values():
                    if not found.is_alias:
                        _add_fields_of_bases(found)


def _add_fields_of_bases(found: Class) -> None:
    if found.docstring is None:
        return
    known = {match[1] for match in FIELD.finditer(found.docstring.value)}
    for base in found.mro():
        for match in FIELD.finditer(base.docstring.value if base.docstring else ""):
            if match[1] not in known:
                known.add(match[1])
                found.docstring.value += f"\n{match[0]}"


def _markdown(text: str, module: str, owner: str) -> str:
    def reference(match: re.Match[str]) -> str:
        role, short, path = match.groups()
        full = (
            path if path.startswith("airflow_vectordb.") else f"{owner if role in ('meth', 'attr') else module}.{path}"
        )
        return f"[`{path.rpartition('.')[2] if short else path}`][{full}]"

    text = LINK.sub(lambda match: f"[{' '.join(match[1].split())}]({match[2]})", ROLE.sub(reference, text))
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)
