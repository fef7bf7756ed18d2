"""Queries of the catalogue say what they mean, and nothing else can be said with them."""

import operator
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.catalogue import Catalogue, QueryError, Summary
from storage.catalogue.facts import text
from storage.catalogue.rows import Row, in_turn, put
from storage.catalogue.summary import Entry

FAMILIES = ("darcy", "heat", "Stokes")
ROWS = [
    Summary(
        folder=f"set-{i}",
        name=f"name {i % 4}",
        family=FAMILIES[i % 3],
        description=f"flow no {i} 100%_sure",
        dimension=1 + i % 3,
        status=("complete", "failures")[i % 2],
        samples=10**i,
        bytes=3 * 10**i,
        rtol=None if i % 5 == 0 else 10.0**-i,
        created="" if i == 0 else f"2026-{i:02d}-{3 * i:02d}T10:{i:02d}:00Z",
    )
    for i in range(9)
]
OPERATORS = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def fill(root, rows):
    catalogue = Catalogue(root)
    new = [Row("", Entry(row, f"{row.name} {row.family} {row.description}")) for row in rows]
    catalogue._index.run(lambda connection: in_turn(put, new, connection))
    return catalogue


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("root"), ROWS)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("root"), [Summary(folder="b", name="other-")])


def found(catalogue, query):
    rows = catalogue.find(query, sort="folder", limit=None)
    assert catalogue.count(query) == len(rows)
    return {row.folder for row in rows}


# Trees with what they are in Python: a row → True or False.
numbers = st.sampled_from([0, 1, 2, 10, 999, 1000, 3e5, 1e-3])
signs = st.sampled_from(list(OPERATORS))


def number_leaf(name, sign, value):
    def holds(row):
        known = getattr(row, name)
        return OPERATORS[sign](known, value) if known is not None else sign == "!="

    return f"{name}{sign}{value!r}", holds


def text_leaf(name, value, quote):
    held = value.lower()
    return f"{name} = {quote}{value}{quote}", lambda row: getattr(row, name).lower() == held


def word_leaf(word):
    def holds(row):
        words = re.findall(r"[^\W_]+", f"{row.name} {row.family} {row.description}".lower())
        return any(w.startswith(word.lower()) for w in words)

    return word, holds


leaves = (
    st.builds(number_leaf, st.sampled_from(["samples", "dimension", "rtol"]), signs, numbers)
    | st.builds(
        text_leaf,
        st.just("family"),
        st.sampled_from([*FAMILIES, "DARCY", "none"]),
        st.sampled_from(["'", '"']),
    )
    | st.builds(word_leaf, st.sampled_from(["flow", "stok", "DAR", "7", "sure", "absent"]))
)


def joined(word, test):
    def join(parts):
        return f"({f' {word} '.join(t for t, _ in parts)})", lambda row: test(
            h(row) for _, h in parts
        )

    return join


def negated(part):
    return f"not {part[0]}", lambda row: not part[1](row)


trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(joined("and", all))
        | st.lists(inner, min_size=2, max_size=3).map(joined("OR", any))
        | st.lists(inner, min_size=2, max_size=3).map(joined("", all))
        | inner.map(negated)
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(trees)
def test_a_query_finds_what_its_tree_says(catalogue, tree):
    query, holds = tree
    assert found(catalogue, query) == {row.folder for row in ROWS if holds(row)}


def test_and_binds_more_than_or(catalogue):
    query = "family=heat or family=darcy and samples>1000"
    assert found(catalogue, query) == {"set-1", "set-4", "set-7", "set-6"}


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=40)
    | st.text("()'\"=<>!~;-%_* andornotNEAR^:\\+\0\n{}", max_size=40)
    | st.text(max_size=20).map(lambda value: f"name='{value}'")
    | st.text(max_size=20).map(lambda value: f'family~"{value}"')
)
@example("'; DROP TABLE entry; --")
@example("name='x' OR 1=1")
@example('" OR rowid > 0 "')
@example("words MATCH 'a'")
@example("NEAR(flow no) * AND text : flow")
@example("\ud800")
def test_no_text_does_anything_but_search(catalogue, query):
    try:
        rows = catalogue.find(query)
    except QueryError as error:
        assert str(error).startswith("search: ") and "\n" not in str(error)
    else:
        assert {row.folder for row in rows} <= {row.folder for row in ROWS}
    assert catalogue.count() == len(ROWS)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20))
@example("\ta  b\n")
@example("%_\\\"' \\")
def test_a_value_is_found_as_it_is_written(other, value):
    kept = text(value)  # as the summary of a folder has it
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    row = Summary(folder="a", name=f"x{kept}y", family=f"x{kept}y")
    other._index.run(lambda c: in_turn(put, [Row("", Entry(row, ""))], c))
    assert found(other, f'name="x{quoted}y"') == {"a"}
    assert found(other, f'family~"x{quoted}y"') == {"a"}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sampels>3", "'samples'"),
        ("frob=3", "there are folder, name"),
        ("samples>x", "'x' is no number"),
        ("size>10QB", "unit may be B, kB"),
        ("created>yesterday", "is no date"),
        ("created>2026-13", "is no date"),
        ("created=9999", "is no date"),
        ("a and (b or c", "character 14, at the end: a parenthesis"),
        ("a)", "parenthesis"),
        ('name="a', "quote"),
        ("family=", "at the end"),
        ("samples>3 or", "at the end"),
        ("= 3", "name of a field"),
        ("not " * 41 + "a", "more than 40"),
        ("a " * 1001, "at most 2000"),
    ],
)
def test_mistakes_are_said_where_they_are(catalogue, query, says):
    with pytest.raises(QueryError, match=re.escape(says)):
        catalogue.find(query)


def test_deep_nesting_that_is_allowed_is_quick(catalogue):
    assert found(catalogue, "(" * 40 + "flow" + ")" * 40) == {row.folder for row in ROWS}
    assert found(catalogue, "not " * 40 + "flow") == {row.folder for row in ROWS}


@pytest.mark.parametrize(
    ("query", "months"),
    [
        ("created=2026", range(1, 9)),
        ("created=2026-03", [3]),
        ("created=2026-03-09", [3]),
        ("created=2026-03-08", []),
        ("created!=2026-03", [0, 1, 2, 4, 5, 6, 7, 8]),
        ("created>2026-03", range(4, 9)),
        ("created>2026-03-09", range(4, 9)),
        ("created>2026-03-08", range(3, 9)),
        ("created>=2026-03-09", range(3, 9)),
        ("created<2026-03-09", [1, 2]),
        ("created<=2026-03-09", [1, 2, 3]),
        ('created="2026-03-09 10:03"', [3]),
        ('created<"2026-03-09 10:03"', [1, 2]),
        ("not created<2026-03", [0, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_dates_are_spans_of_time(catalogue, query, months):
    assert found(catalogue, query) == {f"set-{month}" for month in months}


@pytest.mark.parametrize(
    ("query", "which"),
    [
        ("bytes<=3kB", range(4)),
        ("size<3.1MB", range(7)),
        ("size>=2MiB", range(6, 9)),
        ("bytes=3000", [3]),
        ("samples>1e7", [8]),
        ("description~100%_s", range(9)),
        ("description~100__s", []),
        ("dimension=2 and not family=Heat", []),
        ("rtol<0.01", [3, 4, 6, 7, 8]),
        ("not rtol<0.01", [0, 1, 2, 5]),
    ],
)
def test_sizes_numbers_and_parts_of_texts(catalogue, query, which):
    assert found(catalogue, query) == {f"set-{i}" for i in which}


def test_sorts(catalogue):
    names = [row.folder for row in catalogue.find(sort="-samples", limit=2, offset=1)]
    assert names == ["set-7", "set-6"]
    rtol = [row.rtol for row in catalogue.find(sort="rtol")]
    assert rtol[-2:] == [None, None] and rtol[:7] == sorted(rtol[:7])
    assert [r.rtol for r in catalogue.find(sort="-rtol")][-2:] == [None, None]
    with pytest.raises(QueryError, match="did you mean 'samples'"):
        catalogue.find(sort="-sample")
    with pytest.raises(QueryError):
        catalogue.find(sort="samples; DROP TABLE entry")
