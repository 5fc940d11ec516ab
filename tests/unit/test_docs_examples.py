"""What people copy: names from dates that every run has, and passwords that mask nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import jinja2.meta
import pytest
from airflow.sdk.definitions._internal.templater import FILTERS

from airflow_vectordb import __version__
from tests.support.docs_pages import PAGES, ROOT, blocks_of, table

#: What Airflow 3 has only in runs with a logical date, which the API and ``airflow dags trigger`` start without one.
OF_LOGICAL_DATE = {
    "logical_date",
    "execution_date",
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "data_interval_start",
    "data_interval_end",
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
}
EXAMPLES = sorted((ROOT / "dags_examples").glob("*.py"))
SOURCES = sorted((ROOT / "airflow_vectordb").glob("**/*.py"))
#: The reference is made from the sources.
TEXTS = [*(page for page in PAGES if page.parent.name != "reference"), *EXAMPLES, *SOURCES]
#: The one place where Milvus's own default is told, with what to do about it.
DEFAULT_PASSWORD = ("docs/connections.md", "The password of a fresh Milvus")


def path_of(text: Path) -> str:
    """Name a file from the project's directory on."""
    return text.relative_to(ROOT).as_posix()


def templates(text: str) -> Iterator[str]:
    """Find Jinja's expressions."""
    return (found[0] for found in re.finditer(r"\{\{.*?\}\}", text, re.DOTALL))


def variables(template: str) -> set[str]:
    """Find which variables a template needs; an f-string's doubled braces are no template."""
    environment = jinja2.Environment()
    environment.filters.update(FILTERS)
    try:
        return jinja2.meta.find_undeclared_variables(environment.parse(template))
    except jinja2.TemplateSyntaxError:
        return set()


def from_logical_date(code: str) -> set[str]:
    """Find the names in code that only some runs have; as filters (``| ts_nodash``) they are fine."""
    return {name for name in re.findall(r"(?<![|.\w])(?<!\| )\b(\w+)\b", code) if name in OF_LOGICAL_DATE}


def passwords(text: str) -> list[str]:
    """Find Milvus's default password where one may stand: in a token, a URI, an option, JSON, a call."""
    # Python's Markdown has no other word of that case before a colon or in quotes after "password".
    return re.findall(r"""\w+:Milvus\b|password['"]?[ =:]+['"`]?Milvus\b""", text)


def test_no_template_needs_a_logical_date() -> None:
    found = ((path_of(text), template) for text in TEXTS for template in templates(text.read_text()))
    needed = {(path, template): variables(template) & OF_LOGICAL_DATE for path, template in found}
    assert {place: names for place, names in needed.items() if names} == {}


def test_no_code_needs_a_logical_date() -> None:
    needed = {str(block): from_logical_date(block.code) for page in PAGES for block in blocks_of(page)}
    assert {block: names for block, names in needed.items() if names} == {}


@pytest.mark.parametrize("example", EXAMPLES, ids=path_of)
def test_no_example_needs_a_logical_date(example: Path) -> None:
    assert from_logical_date(example.read_text()) == set()


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ('collection_name="docs_{{ ds_nodash }}"', {"ds_nodash"}),
        ('"docs_{{ ts_nodash[:8] }}"', {"ts_nodash"}),
        ('"docs_{{ ds | replace("-", "") }}"', {"ds"}),
        ('"docs_{{ macros.ds_format(ds, "%Y-%m-%d", "%Y%m%d") }}"', {"ds"}),
        ('"docs_{{ logical_date | ts_nodash }}"', {"logical_date"}),
        ("def ingest(ds_nodash: str) -> int:", {"ds_nodash"}),
        ('context["data_interval_start"]', {"data_interval_start"}),
        ('"docs_{{ dag_run.run_after | ts_nodash }}"', set()),
        ('"docs_{{ dag_run.run_after|ds_nodash }}"', set()),
    ],
)
def test_such_names_would_be_noticed(code: str, names: set[str]) -> None:
    assert from_logical_date(code) == names
    for template in templates(code):
        assert variables(template) & OF_LOGICAL_DATE == names


def test_milvus_default_password_stands_in_one_place() -> None:
    page, title = DEFAULT_PASSWORD
    contents = {path_of(text): text.read_text() for text in TEXTS}
    before, _, after = contents[page].partition(f"\n## {title}\n")
    section, _, rest = after.partition("\n## ")
    assert passwords(section) == ["root:Milvus"]
    contents[page] = before + rest
    assert {path: passwords(content) for path, content in contents.items() if passwords(content)} == {}


@pytest.mark.parametrize(
    "given",
    [
        "milvus://root:Milvus@localhost:19530",
        "AIRFLOW_VECTORDB_TOKEN=root:Milvus",
        "--conn-login root --conn-password Milvus",
        '"login": "root", "password": "Milvus"}',
        'update_password("root", old_password="Milvus")',
        "with the password `Milvus`",
    ],
)
def test_such_a_password_would_be_noticed(given: str) -> None:
    assert passwords(given)


def test_the_wheel_is_the_one_that_is_built() -> None:
    named = {name for page in PAGES for name in re.findall(r"airflow_vectordb-[\w.]+\.whl", page.read_text())}
    assert named <= {f"airflow_vectordb-{__version__}-py3-none-any.whl"}


@pytest.mark.parametrize("page", ["README.md", "docs/getting-started.md"])
def test_all_extras_are_installed(page: str) -> None:
    named = re.findall(r"\.whl\[([\w,]+)\]", (ROOT / page).read_text())
    (extras,) = re.findall(
        r"^\[project\.optional-dependencies\]\n((?:.+\n)*)", (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert {frozenset(one.split(",")) for one in named} == {frozenset(re.findall(r"^(\w+) = ", extras, re.MULTILINE))}


def test_what_it_was_tested_with_is_what_is_pinned() -> None:
    def pinned(file: str) -> str:
        (release,) = re.findall(r"^apache-airflow==(.*)$", (ROOT / file).read_text(), re.MULTILINE)
        return str(release)

    pairs = re.findall(r'\("(3\.\d+)", "(3\.\d+)"\)', (ROOT / "noxfile.py").read_text())
    pins = {"3.3": "constraints.txt"}
    releases = {minor: pinned(pins.get(minor, f".ci/constraints-airflow-{minor}.txt")) for _, minor in pairs}
    ((told, *_),) = [row[1:] for row in table(ROOT / "README.md", "What it was tested with") if "Python" in row[0]]
    assert set(re.findall(r"\b3\.\d+\.\d+\b", told)) == set(releases.values())
    assert set(re.findall(r"\b3\.1\d\b(?!\.)", told)) == {python for python, _ in pairs} | {"3.11"}


def test_the_first_dag_is_the_example() -> None:
    (shown,) = [block.code for block in blocks_of(ROOT / "README.md") if block.is_dag]
    assert (ROOT / "dags_examples" / "create_index.py").read_text().endswith(f'"""\n\n{shown}')


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 700
