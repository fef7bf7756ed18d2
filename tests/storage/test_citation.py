"""Citations: of what a data set used and nothing else, in forms that programs read."""

import re

import pytest
import yaml

from storage import BadSelection
from storage.citation import FORMS, authors, cite, methods, title

SOLVED = {
    "name": "darcy",
    "data_key": "0123456789abcdef",
    "samples": 640,
    "problem": {"family": "darcy", "dimension": 2},
    "provenance": {
        "time": "2026-11-29T16:00:00Z",
        "versions": {"dolfinx": "0.11", "petsc": "3.25"},
    },
    "licence": "CC-BY-4.0",
    "citation": "",
    "spec": {"problem": {}},
    "strategy": {"strategy": None, "pilots": [{"options": {"ksp": "cg"}}]},
    "shards": [{"segment": 0, "batch": 0, "ids": [[0, 640]]}],
}
ENTRY = "@article{doe, author = {Jane Q. Doe and van Roe, Richard and {ACME}},\n title = {T & U}}"


def keys(**changes):
    return [ref.key for ref in methods(SOLVED | changes)]


def test_methods_are_those_that_were_used():
    assert keys() == ["dolfinx", "petsc"]
    assert keys(provenance={}) == []
    gcrodr = {"strategy": {"ksp": "gcrodr"}, "pilots": []}
    assert keys(strategy=gcrodr) == ["skr", "gcrodr", "dolfinx", "petsc"]
    pilots = [{"options": {"ksp": "cg"}}, {"options": {"ksp": "gcrodr"}}]
    assert keys(strategy={"strategy": None, "pilots": pilots})[:2] == ["skr", "gcrodr"]
    by_similarity = [
        {"segment": 0, "batch": 0, "ids": [3, 1]},
        {"segment": 0, "batch": 1, "ids": [0]},
    ]
    assert keys(shards=by_similarity) == ["skr", "dolfinx", "petsc"]
    segments = [
        {"segment": 1, "batch": 0, "ids": [0, 1]},
        {"segment": 0, "batch": 0, "ids": [2, 3]},
    ]
    assert keys(shards=segments) == ["dolfinx", "petsc"]
    assert keys(spec={"imported": {}}, strategy={}) == []
    assert [ref.key for ref in methods(SOLVED, ("fno", "spon-mg"))][-1] == "spon"


def test_authors_are_those_of_the_given_citation():
    assert authors(SOLVED) == ()
    assert authors({"citation": "Doe, 2020"}) == ()
    assert authors({"citation": ENTRY}) == ("Doe, Jane Q.", "van Roe, Richard", "ACME")
    assert authors({"citation": 'author = "Ada Lovelace",'}) == ("Lovelace, Ada",)


def test_bibtex():
    text = cite(SOLVED | {"citation": ENTRY}, url="https://example.org/d")
    entries = re.findall(r"^@(\w+)\{(\w+),", text, re.M)
    assert entries == [
        ("article", "doe"),
        ("misc", "darcy_0123456789"),
        ("misc", "dolfinx"),
        ("inproceedings", "petsc"),
    ]
    ours = text.split("\n\n")[1]
    assert "author = {Doe, Jane Q. and van Roe, Richard and ACME}" in ours
    assert "year = {2026}" in ours and "https://example.org/d" in ours
    for entry in text.split("\n\n")[1:]:
        assert entry.count("{") == entry.count("}")
    special = cite(SOLVED | {"name": "50%_of {a} & b\\x", "citation": ""})
    assert "50\\%\\_of a \\& bx" in special
    assert special.count("{") == special.count("}")


def test_apa():
    text = cite(SOLVED | {"citation": ENTRY.replace("{ACME}", "ACME")}, "apa")
    assert "Doe, J. Q., van Roe, R., & ACME (2026). darcy: 640 solved darcy problems" in text
    assert "Balay, S., Gropp, W. D., McInnes, L. C., & Smith, B. F. (1997)." in text
    alone = cite(SOLVED, "apa").splitlines()[0]
    assert alone.startswith("darcy: 640 solved darcy problems in 2 dimensions (2026).")


def test_cff_has_what_its_schema_demands():
    for manifest in (SOLVED, SOLVED | {"citation": ENTRY}, {"name": "bare"}):
        found = yaml.safe_load(cite(manifest, "cff"))
        assert {"cff-version", "message", "title", "authors"} <= set(found)
        assert found["type"] == "dataset" and found["authors"]
        for person in found["authors"]:
            assert set(person) in ({"name"}, {"family-names", "given-names"})
        for reference in found.get("references", ()):
            assert {"type", "title", "authors"} <= set(reference)
    assert yaml.safe_load(cite(SOLVED, "cff"))["license"] == "CC-BY-4.0"
    assert "license" not in yaml.safe_load(cite(SOLVED | {"licence": "ask me"}, "cff"))


def test_bare_manifests_and_wrong_forms():
    for form in FORMS:
        assert cite({}, form).endswith("\n")
    assert title(
        {"name": "d", "samples": 3, "problem": {"family": "imported", "dimension": 1}}
    ) == ("d: 3 imported samples in 1 dimension")
    with pytest.raises(BadSelection, match="bibtex, apa, cff"):
        cite(SOLVED, "mla")
