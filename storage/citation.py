"""How to cite a data set, and the methods and programs it was made with.

`cite(manifest, form)` makes BibTeX, a reference in the manner of the APA, or a `CITATION.cff`.
A manifest names authors only in the citation that its spec gives; nothing is made up for others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from storage.errors import BadSelection
from storage.ids import unpack_ids
from storage.references import DOLFINX, GCRODR, PETSC, SKR, SPON, Reference

__all__ = ["FORMS", "SPDX", "authors", "cite", "methods", "title"]

FORMS = ("bibtex", "apa", "cff")
SPDX: tuple[str, ...] = ("CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0")
SPDX += ("CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-NC-ND-4.0", "ODbL-1.0", "ODC-By-1.0", "PDDL-1.0")
SPDX += ("CDLA-Permissive-2.0", "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause")
"""Licences of data by their SPDX names; others are told as text."""


def cite(
    manifest: Mapping[str, Any],
    form: str = "bibtex",
    *,
    url: str | None = None,
    trained: tuple[str, ...] = (),
) -> str:
    """Return how to cite a data set.

    Args:
        manifest: of the data set.
        form: "bibtex", "apa" or "cff".
        url: where it is published; by default what the manifest says.
        trained: operators that the citing work trained, such as "spon".

    Returns:
        Text that ends with a line break. The citation that the makers of the data give comes
        first, the data set as such next, the methods and programs it was made with last.

    Raises:
        BadSelection: there is no such form.
    """
    if form not in FORMS:
        raise BadSelection(f"citation form {form!r}: expected one of {', '.join(FORMS)}")
    facts, used = _facts(manifest, url), methods(manifest, trained)
    about = _about(manifest, facts)
    if form == "cff":
        return _cff(about, facts, used)
    write = _bibtex if form == "bibtex" else _apa
    own = str(manifest.get("citation") or "").strip()
    return "\n\n".join([*([own] if own else []), write(about), *map(write, used)]) + "\n"


def title(manifest: Mapping[str, Any]) -> str:
    """Return the title of a data set: its name and what its samples are of."""
    problem = manifest.get("problem") or {}
    family = str(problem.get("family", "")).replace("_", " ")
    count, dim = manifest.get("samples", 0), problem.get("dimension")
    kind = "imported" if family == "imported" else f"{family} problems" if family else "problems"
    place = f" in {dim} dimension{'s' if dim != 1 else ''}" if dim else ""
    return f"{manifest.get('name', 'data set')}: {count} solved {kind}{place}".replace(
        "solved imported", "imported samples"
    )


def authors(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the authors that the given citation names, if it is BibTeX: "Family, Given" each."""
    found = re.search(
        r"\bauthor\s*=\s*[{\"](.*?)[}\"]\s*(?:,|\n|})", str(manifest.get("citation")), re.S | re.I
    )
    if found is None:
        return ()
    names = re.split(r"\s+and\s+", " ".join(found[1].replace("{", "").replace("}", "").split()))
    return tuple(_inverted(name) for name in names if name)


def methods(manifest: Mapping[str, Any], trained: tuple[str, ...] = ()) -> list[Reference]:
    """Return the publications of what a data set was made with, and of operators trained on it."""
    used: list[Reference] = []
    solvers = _solvers(manifest)
    if "gcrodr" in solvers or _sorted(manifest):
        used.append(SKR)
    if "gcrodr" in solvers:
        used.append(GCRODR)
    if not _imported(manifest):
        versions = (manifest.get("provenance") or {}).get("versions") or {}
        used += [ref for ref in (DOLFINX, PETSC) if versions.get(ref.key)]
    return used + [SPON] * any(name.startswith("spon") for name in trained)


def _imported(manifest: Mapping[str, Any]) -> bool:
    return "imported" in (manifest.get("spec") or {})


def _solvers(manifest: Mapping[str, Any]) -> set[str]:
    """Krylov methods that solved samples: the one asked for, or those that pilots picked."""
    strategy = manifest.get("strategy") or {}
    asked = strategy.get("strategy")
    if asked:
        return {str(asked.get("ksp"))}
    options = [pilot.get("options") or {} for pilot in strategy.get("pilots") or []]
    return {str(option.get("ksp")) for option in options}


def _sorted(manifest: Mapping[str, Any]) -> bool:
    """Whether samples were solved by similarity, the paper's other idea: not by ascending id."""
    segments: dict[int, list[int]] = {}
    for shard in sorted(manifest.get("shards") or [], key=lambda s: (s["segment"], s["batch"])):
        segments.setdefault(shard["segment"], []).extend(unpack_ids(shard["ids"]).tolist())
    return any(ids != sorted(ids) for ids in segments.values())


def _facts(manifest: Mapping[str, Any], url: str | None) -> dict[str, str]:
    """Version, licence and address, as far as they are known."""
    found = {
        "version": str(manifest.get("data_key") or "")[:10],
        "licence": str(manifest.get("licence") or ""),
        "url": str(url or manifest.get("url") or ""),
    }
    return {key: value for key, value in found.items() if value}


def _about(manifest: Mapping[str, Any], facts: Mapping[str, str]) -> Reference:
    """The data set as a publication."""
    said = [text if key == "url" else f"{key} {text}" for key, text in facts.items()]
    when = str((manifest.get("provenance") or {}).get("time", ""))[:4]
    name = re.sub(r"\W", "", str(manifest.get("name", "")), flags=re.ASCII) or "dataset"
    return Reference(
        "_".join([name, *([facts["version"]] if "version" in facts else [])]),
        "misc",
        authors(manifest),
        title(manifest),
        int(when) if when.isdigit() else 0,
        ", ".join(said),
    )


def _inverted(name: str) -> str:
    """Write "Given Family" as "Family, Given"."""
    if "," in name or " " not in name:
        return name
    given, _, family = name.rpartition(" ")
    return f"{family}, {given}"


def _bibtex(ref: Reference) -> str:
    place = {"article": "journal", "inproceedings": "booktitle"}.get(ref.kind, "note")
    fields = {"author": " and ".join(map(_tex, ref.authors)), "title": f"{{{_tex(ref.title)}}}"}
    fields |= {place: _tex(ref.where), "year": str(ref.year or ""), "doi": ref.doi}
    if ref.arxiv:
        fields |= {"eprint": ref.arxiv, "archiveprefix": "arXiv"}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{ref.kind}{{{ref.key},", *lines, "}"])


def _tex(text: str) -> str:
    """Escape what TeX would read; braces of names don't come in pairs, so they go."""
    plain = re.sub(r"[{}\\]", "", text)
    return re.sub(r"([&%$#_])", r"\\\1", plain)


def _apa(ref: Reference) -> str:
    year = f"({ref.year})." if ref.year else "(n.d.)."
    names = [_initials(name) for name in ref.authors]
    if not names:  # the title takes their place
        return f"{ref.title} {year} {ref.where}{_locator(ref)}."
    joined = names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, & {names[-1]}"
    return f"{joined} {year} {ref.title}. {ref.where}{_locator(ref)}."


def _initials(name: str) -> str:
    family, _, given = name.partition(", ")
    initials = " ".join(f"{part[0]}." for part in given.split() if part)
    return f"{family}, {initials}" if initials else family


def _locator(ref: Reference) -> str:
    return (f", doi:{ref.doi}" if ref.doi else "") + (f", arXiv:{ref.arxiv}" if ref.arxiv else "")


def _cff(about: Reference, facts: Mapping[str, str], used: list[Reference]) -> str:
    import yaml

    found: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use these data, please cite them, and what they were made with.",
        "type": "dataset",
        "title": about.title,
        "authors": _people(about) or [{"name": f"The makers of {about.key}"}],
        "version": facts.get("version"),
        "license": facts.get("licence") if facts.get("licence") in SPDX else None,
        "url": facts.get("url"),
        "references": [_cff_reference(ref) for ref in used],
    }
    plain = {key: value for key, value in found.items() if value}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def _cff_reference(ref: Reference) -> dict[str, Any]:
    kinds = {"article": "article", "inproceedings": "conference-paper"}
    found: dict[str, Any] = {"type": kinds.get(ref.kind, "generic"), "title": ref.title}
    found |= {"authors": _people(ref), "year": ref.year, "notes": ref.where}
    found |= {"doi": ref.doi} if ref.doi else {}
    if ref.arxiv:
        found["identifiers"] = [{"type": "other", "value": f"arXiv:{ref.arxiv}"}]
    return found


def _people(ref: Reference) -> list[dict[str, str]]:
    people = []
    for name in ref.authors:
        family, _, given = name.partition(", ")
        parts = {"family-names": family, "given-names": given}
        people.append(parts if given else {"name": family})
    return people
