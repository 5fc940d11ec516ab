"""Creating indexes, and verifying that they are as requested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Protocol

from airflow_vectordb import rest

if TYPE_CHECKING:
    from airflow_vectordb.hooks.base import HookBase

#: What to do about tasks that replace the same index.
ONE_AT_A_TIME = "Run one task at a time, with one index."


class Replacement(Protocol):
    """Makes room for an index that differs from one that exists."""

    def release_and_drop(self, to_drop: Mapping[str, tuple[rest.indexes.IndexDescription, str]]) -> None: ...
    def mark_rejected(self, specs: Iterable[rest.IndexSpec]) -> None: ...


@dataclass
class IndexCreation:
    """
    Compares existing indexes with the request, creates missing ones, and reads back the result.

    :param collection: its name or alias
    :param specs: the requested indexes, resolved against the collection
    :param replacement: makes room for an index that differs from one that exists; None: that is an error
    :param fail_on_same: whether an index that exists already is an error, even if it is the same
    :param strict: whether an AUTOINDEX in place of the requested type is an error
    :raises IndexMismatchError: if other indexes are in the way
    """

    hook: HookBase
    collection: str
    specs: Sequence[rest.IndexSpec]
    _: KW_ONLY
    replacement: Replacement | None = None
    fail_on_same: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        self.plan = self._make_plan()
        for name in self.plan.existing:
            self.hook.log.info("%s/%s already exists", self.collection, rest.text.sanitize_text(name, 255))

    def create(self, *, reread: bool = False) -> list[rest.indexes.IndexDescription]:
        """
        Create missing indexes; return a description of each one, in the order of the specs.

        :param reread: whether to describe also what existed already, and has changed since
        :raises IndexMismatchError: if the server has or builds another index
        """
        self._release_and_drop({})
        missing = bool(self.plan.to_create)
        if missing:
            texts = (f"{self.collection}/{spec.name}: {spec}" for spec in self.plan.to_create)
            self.hook.log.info("Creating index %s", ", ".join(texts))
            self._create_missing()
        if missing or reread:
            try:
                found = self._describe_planned()
            except rest.errors.IndexNotFoundError as error:
                what = "was just created" if missing else "was there"
                cause, hint = f"Another client has dropped what {what}", "A retry creates it again."
                raise error.with_context(cause=cause, hint=hint, transient=True) from error.__cause__
        else:
            found = [self.plan.existing[s.name] for s in self.plan.specs]
        plan = self.plan.with_names(found)
        try:
            warnings = plan.read_back(found, strict=self.strict)
        except rest.errors.IndexMismatchError as error:
            if self.replacement is not None and missing:
                if not all(self._is_accepted(spec, type_in_params=True) for spec in self.plan.to_create):
                    cause = f"another client's index is there: {error.message.partition(': ')[2]}"
                    raise error.with_context(cause=cause, hint=ONE_AT_A_TIME) from error.__cause__
                self.replacement.mark_rejected(plan.to_create)
            raise
        for warning in warnings:
            self.hook.log.warning("the server did not build this: %s", warning)
        return found

    def _make_plan(self) -> rest.index.plan.IndexPlan:
        return rest.index.plan.plan_indexes(
            self.collection,
            self.specs,
            self.hook.describe_indexes(self.collection),
            fail_on_same=self.fail_on_same,
            drop_others=self.replacement is not None,
        )

    def _release_and_drop(self, refused: Mapping[str, tuple[rest.indexes.IndexDescription, str]]) -> None:
        if self.replacement is not None:
            self.replacement.release_and_drop({**self.plan.to_drop, **refused})

    def _create_missing(self) -> None:
        """Create all missing indexes in one call; on a conflict, compare again."""
        try:
            self._send_plan()
        except rest.errors.IndexMismatchError:
            if self.fail_on_same:
                raise
            self.plan = self._make_plan()  # they were possibly created by another client
            refused: dict[str, tuple[rest.indexes.IndexDescription, str]] = {}
            for spec, ways in self.plan.unverified_requests():
                if not any(self._is_accepted(spec, type_in_params=way) for way in ways):
                    description, comparison = self.plan.unverified[spec.name]
                    refused[spec.name] = (description, ", ".join(comparison.unverifiable))
            if refused and self.replacement is None:
                raise
            self._release_and_drop(refused)
            self.plan = self.plan.with_verified(refused)
            self._send_plan()

    def _send_plan(self) -> None:
        if self.plan.to_create:
            try:
                self.hook.send(rest.indexes.create(self.collection, self.plan.to_create))
            except rest.errors.MilvusError as error:
                raise self.plan.explain(error) from error.__cause__

    def _is_accepted(self, spec: rest.IndexSpec, *, type_in_params: bool) -> bool:
        try:
            self.hook.send(rest.indexes.create(self.collection, [spec], type_in_params=type_in_params))
        except rest.errors.MilvusError as error:
            if not rest.index.plan.is_conflict(error):
                raise
            return False
        return True

    def _describe_planned(self) -> list[rest.indexes.IndexDescription]:
        if not all(spec.named for spec in self.plan.specs):  # the server has chosen a name
            return self.plan.find(self.hook.describe_indexes(self.collection))
        return [self.hook.send(rest.indexes.describe(self.collection, s.name))[0] for s in self.plan.specs]
