"""Creating collections, and verifying that they are as requested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, waiting
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.hooks.index_creation import IndexCreation
from airflow_vectordb.mixins import digest
from airflow_vectordb.operators.index import raise_if_replaced, wait_until_built

if TYPE_CHECKING:
    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.operators.collection import CreateCollectionOperator

#: The index of quick setup: AUTOINDEX with COSINE.
_QUICK_INDEX = {"fieldName": "vector"}


class CollectionCreation:
    """Creates a collection, or compares the existing one with the request and alters or replaces it."""

    def __init__(self, task: CreateCollectionOperator, hook: MilvusHook, state: ResumeState, *, retried: bool) -> None:
        self._task = task
        self._hook = hook
        self._state = state
        self._retried = retried
        self._name = task.collection_name
        self._schema, self._properties, self._indexes = self._read_arguments()

    def _read_arguments(self) -> tuple[rest.schema.spec.SchemaSpec, Mapping[str, Any], list[rest.IndexSpec]]:
        """Check rendered templates, and raise one error with all problems."""
        task, index_params = self._task, self._task.index_params
        problems = task.rendered_problems()
        if task.dimension is None:
            parsed = rest.schema.parsing.read_schema(task.schema, allow_unknown=task.allow_unknown)
        else:
            parsed = rest.schema.parsing.read_quick(task.dimension)
            index_params = _QUICK_INDEX if index_params is None else index_params
        problems += parsed.problems + task.check_envelope(self._hook, "schema", parsed.envelope)
        read = rest.schema.properties.read_properties
        properties, wrong, warnings = read(task.properties, allow_unknown=task.allow_unknown)
        problems += wrong
        specs: list[rest.IndexSpec] = []
        if index_params is not None:
            specs, indexes = rest.index.spec.read_index_params(index_params, allow_unknown=task.allow_unknown)
            problems += indexes.problems
            if specs and parsed.spec is not None and not parsed.problems:
                try:
                    specs = rest.index.plan.resolve_all(specs, parsed.spec.as_collection(self._name))
                except rest.errors.InvalidParametersError as error:
                    problems += [problem for problem in error.problems if problem not in problems]
        if problems or parsed.spec is None:
            source = task.schema_source if task.schema_source != task.schema else None
            raise rest.errors.InvalidParametersError(problems, "collection", source)
        schema = replace(parsed.spec, warnings=(*parsed.spec.warnings, *warnings))
        return schema, properties, specs

    def run(self) -> dict[str, Any]:
        """Return what was done, continuing after an earlier part of the task; JSON-ready."""
        results = self._state.results
        if "collection" not in results:
            for warning in self._schema.warnings:
                self._task.log.warning(warning)
            results["collection"] = self._ensure()
        result = {"collection_name": self._name, **results["collection"]}
        return result | self._index_and_load(results) if self._indexes else result

    def _ensure(self) -> dict[str, Any]:
        existing = self._describe(self._name)
        if existing is None:
            return self._create(replaced=False)
        differences = self._compare(existing)
        if self._task.if_exists == "fail" and not self._retried:
            raise rest.errors.ConflictError(
                "; ".join(map(str, differences)) or "it has the requested schema",
                cause=f"collection {self._name!r} exists already",
                hint='Set if_exists="skip" if that is fine.',
            )
        if not differences:
            self._task.log.info("%s already exists with this schema", self._name)
            return _done()
        # An earlier try may have been killed between the creation and the properties that come after it.
        own = self._retried and all(difference.unset for difference in differences)
        if (self._task.alter or own) and all(difference.alter for difference in differences):
            return _done(altered=self._alter(differences))
        if self._task.if_exists != "replace":
            raise self._mismatch(differences)
        refuse_aliases(existing.name, self._hook._aliases_of(existing), "Move it first.")
        self._rehearse()
        now = self._describe(self._name)
        if now is None or now.identity != existing.identity:
            self._task.log.info("Another task has replaced %s meanwhile", self._name)
            return self._ensure()
        lines = "; ".join(map(str, differences))
        self._task.log.warning("Dropping %s with %s: %s", self._name, rows_in_words(self._hook, existing), lines)
        self._hook.send(rest.collections.drop(self._name))
        return self._create(replaced=True)

    def _describe(self, name: str) -> rest.collections.Collection | None:
        try:
            return self._hook.send(rest.collections.describe(name))
        except rest.errors.CollectionNotFoundError:
            return None

    def _compare(self, existing: rest.collections.Collection) -> list[rest.schema.compare.Difference]:
        return rest.schema.compare.compare(self._name, self._schema, existing, self._properties)

    def _mismatch(self, differences: list[rest.schema.compare.Difference]) -> rest.errors.MilvusError:
        if all(difference.alter for difference in differences):
            hint = "alter=True alters it in place."
        else:
            hint = 'Reindex blue/green, or use a new name. if_exists="replace" drops it with its rows.'
        return rest.errors.ConflictError(
            f"existing -> requested: {'; '.join(map(str, differences))}",
            cause=f"another schema: {_first(differences)}",
            hint=hint,
        )

    def _create(self, *, replaced: bool) -> dict[str, Any]:
        types = ", ".join(f"{field.name} {field}" for field in self._schema.fields)
        self._task.log.info("Creating %s: %s", self._name, rest.text.sanitize_text(types, 2000))
        try:
            differences = self._create_as(self._name)
        except (rest.errors.BadRequestError, rest.errors.UnexpectedError) as error:
            existing = self._describe(self._name)
            if existing is None or not (differences := self._compare(existing)):
                raise
            raise self._mismatch(differences) from error  # created by another client
        self._alter(differences)
        return _done(created=True, replaced=replaced)

    def _rehearse(self) -> None:
        """Create the collection under another name, so that no rows are dropped if the server refuses the schema."""
        # A name that nobody else gives: what a killed task has left is dropped, with all that is in it.
        name = f"{self._name[:200]}__rehearsal_{digest(self._name)}"
        self._hook.send(rest.collections.drop(name))
        try:
            self._create_as(name)
        finally:
            try:
                self._hook.send(rest.collections.drop(name))
            except rest.errors.MilvusError as error:
                self._task.log.warning("%s is empty, and could not be dropped: %s", name, error)

    def _create_as(self, name: str) -> list[rest.schema.compare.Difference]:
        """Create the collection; return the properties that have to be set later, since creation ignores them."""
        schema = self._schema
        params = rest.schema.properties.creation_params(self._properties)
        self._hook.send(
            rest.collections.create(
                name, schema=schema.body(), params=params or None, description=schema.description or None
            )
        )
        created = self._describe(name)
        if created is None:
            raise rest.errors.CollectionNotFoundError(f"collection {name!r} was dropped since it was created")
        differences = self._compare(created)
        wrong = [difference for difference in differences if not difference.unset]
        if wrong:
            raise rest.errors.ConflictError(
                f"created -> requested: {'; '.join(map(str, wrong))}",
                cause=f"created differently: {_first(wrong)}",
                hint="Does this Milvus support all of it?",
            )
        return differences

    def _alter(self, differences: list[rest.schema.compare.Difference]) -> list[str]:
        for difference in differences:
            if difference.alter is not None:
                self._task.log.info("Altering %s: %s", self._name, difference)
                self._hook.send(difference.alter())
        return [str(difference) for difference in differences]

    def _index_and_load(self, results: dict[str, Any]) -> dict[str, Any]:
        if "built" not in results:
            described = self._hook.send(rest.collections.describe(self._name))
            specs = rest.index.plan.resolve_all(self._indexes, described)
            try:
                found = IndexCreation(self._hook, self._name, specs, strict=self._task.strict).create()
            except rest.errors.IndexMismatchError as error:
                hint = 'CreateIndexOperator(if_exists="replace") replaces it.'
                raise error.with_context(hint=hint) from error.__cause__
            wait_until_built(self._task, self._hook, self._state, found, self._name)
        raise_if_replaced(self._name, results)
        if "asked_to_load" not in results:
            self._task.log.info("Loading %s", self._name)
            self._hook.send(rest.collections.load(self._name))
            results["asked_to_load"] = True
        if not self._task.wait_for_completion:
            return {"indexes": results["built"]}
        loaded = wait_for(self._task, self._hook, self._state, "loaded", waiting.CollectionLoaded(self._name))
        return {"indexes": results["built"], "load_state": loaded["load_state"]}


def _first(differences: list[rest.schema.compare.Difference]) -> str:
    more = f", and {len(differences) - 1} more" if len(differences) > 1 else ""
    return f"{differences[0]}{more}"


def _done(*, created: bool = False, replaced: bool = False, altered: list[str] | None = None) -> dict[str, Any]:
    return {"created": created, "replaced": replaced, "altered": altered or []}


def refuse_aliases(collection: str, aliases: Sequence[str], hint: str) -> None:
    """Refuse to drop a collection that aliases point to: their readers would find nothing."""
    if not aliases:
        return
    shown = rest.text.sanitize_text(", ".join(map(repr, aliases[:5])), 200)
    cause = f"alias {shown} points" if len(aliases) == 1 else f"aliases {shown} point"
    cause = f"{cause} to this collection"
    if collection in aliases:
        cause, hint = f"{collection!r} is an alias", "Name the collection itself."
    raise rest.errors.ConflictError(f"its aliases are {shown}; nothing was dropped", cause=cause, hint=hint)


def rows_in_words(hook: MilvusHook, described: rest.collections.Collection) -> str:
    """Return how many rows a collection has, for the log; errors are ignored."""
    loaded = described.load == "LoadStateLoaded"
    count = rest.entities.count if loaded else rest.collections.row_count
    try:
        return f"{hook.send(count(described.name), retries=0):,} {'' if loaded else 'flushed '}rows"
    except rest.errors.MilvusError:
        return "an unknown number of rows"
