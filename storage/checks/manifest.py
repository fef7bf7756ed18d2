"""Checks of `manifest.json` against what it is made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from storage.checks.finding import Finding, error, one_line, warning
from storage.checks.shard import Kinds
from storage.errors import FormatMismatch
from storage.folder import DataFolder
from storage.ids import IdArray, unpack_ids, unpack_many
from storage.manifest import RULE, field_texts, read_manifest
from storage.records import Record
from storage.splits import divided

__all__ = ["check_columns", "check_manifest", "read_whole", "training_ids"]

type Pair = tuple[str, Any, Any]

WHERE = "manifest.json"
_SOME = 5
_COPIED = ("name", "rtol", "licence", "citation")
_KEYS = ("segment", "batch", "file", "sha256", "bytes")


def read_whole(folder: DataFolder, findings: list[Finding]) -> dict[str, Any]:
    """Return the manifest; {} if there is none that can be used, which is a finding."""
    try:
        return read_manifest(folder)
    except FileNotFoundError:
        text = "is missing; `rekrylov finalise` rebuilds it"
        findings.append(warning("manifest.missing", WHERE, text))
    except FormatMismatch as problem:
        findings.append(error("manifest.format", WHERE, str(problem)))
    except Exception as problem:
        findings.append(error("manifest.malformed", WHERE, one_line(problem)))
    return {}


def check_manifest(
    manifest: dict[str, Any], records: Sequence[Record], key: str | None, tree: dict[str, Any]
) -> Iterator[Finding]:
    """The manifest says what records, `spaces.h5` and its own spec say; no shard is read.

    Args:
        manifest: as read.
        records: all that can be read.
        key: data key of the data set.
        tree: of `spaces.h5`, {} if that is damaged.
    """
    if key is not None and manifest.get("data_key") != key:
        text = f"is of data key {manifest.get('data_key')}, expected {key}"
        yield _error("manifest.key", text)
    yield from _shards(manifest, records)
    if tree and manifest.get("fields") != field_texts(tree):
        text = "fields are not those of spaces.h5; run `rekrylov finalise`"
        yield _error("manifest.fields", text)
    yield from _of_spec(manifest)
    yield from _all_splits(manifest)


def _shards(manifest: dict[str, Any], records: Sequence[Record]) -> Iterator[Finding]:
    """The list of shards, the failures and the number of samples are those of the records."""
    try:
        listed = [
            (*(shard[key] for key in _KEYS), tuple(unpack_ids(shard["ids"]).tolist()))
            for shard in manifest["shards"]
        ]
        known = Counter(listed)
    except Exception as problem:
        yield _error("manifest.malformed", f"malformed shard list ({problem})")
        return
    stored = [record for record in records if record.file is not None]
    present = {(*(getattr(record, key) for key in _KEYS), record.ids) for record in stored}
    for entry in sorted(set(known) - present, key=str)[:_SOME]:
        text = f"batch {entry[0]}-{entry[1]} is not as its record says; run `rekrylov finalise`"
        yield _error("manifest.stale", text)
    for entry in [entry for entry, count in known.items() if count > 1][:_SOME]:
        text = f"batch {entry[0]}-{entry[1]} is listed twice; run `rekrylov finalise`"
        yield _error("manifest.stale", text)
    batches = {entry[:2] for entry in listed}
    newer = [record for record in stored if (record.segment, record.batch) not in batches]
    if newer:
        text = f"{len(newer)} batches were committed since; `rekrylov finalise` takes them in"
        yield warning("manifest.behind", WHERE, text)
    yield from _failures(manifest, records, bool(newer))
    if manifest.get("samples") != sum(len(entry[-1]) for entry in listed):
        yield _error("manifest.samples", "number of samples is not that of its shards")


def _failures(
    manifest: dict[str, Any], records: Sequence[Record], behind: bool
) -> Iterator[Finding]:
    """Failures are those of the records; some of them where the manifest is behind."""
    expected = {failure["id"] for record in records for failure in record.failures}
    try:
        found = {failure["id"] for failure in manifest["failures"]}
        sound = len(found) == len(manifest["failures"])
    except (KeyError, TypeError):
        found, sound = set(), False
    if not sound or not (expected >= found if behind else expected == found):
        yield _error("manifest.failures", "failures are not those of the records")


def _of_spec(manifest: dict[str, Any]) -> Iterator[Finding]:
    """What is copied from the spec is as in the spec beside it."""
    spec = manifest.get("spec")
    if not isinstance(spec, dict):
        return
    splits = manifest.get("splits")
    pairs = [(key, manifest.get(key), spec.get(key)) for key in _COPIED]
    pairs += _pairs_of_splits("", splits, spec, spec)
    entries, wanted = manifest.get("definitions"), spec.get("definitions")
    if isinstance(entries, dict) and isinstance(wanted, dict):
        pairs.append(("definitions", sorted(entries), sorted(wanted)))
        every = _fields_of_columns(manifest)
        for name in sorted(set(entries) & set(wanted)):
            pairs += _pairs_of_definition(name, entries[name], wanted[name], spec, every)
    for name, found, expected in pairs:
        if expected is not None and found != expected:
            text = f"{name}: {found}, its spec says {expected}; run `rekrylov finalise`"
            yield _error("manifest.spec", text)


def _pairs_of_definition(
    name: str, entry: Any, wanted: Any, spec: dict[str, Any], every: dict[str, list[str]]
) -> list[Pair]:
    """What a problem definition and the spec's say of the same; None: not said."""
    place = f"definition {name}: "
    if not isinstance(entry, dict) or not isinstance(wanted, dict):
        return [(f"{place}type", type(entry).__name__, "dict")]
    splits = entry.get("splits")
    pairs = [(f"{place}description", entry.get("description"), wanted.get("description"))]
    for key in ("inputs", "outputs"):  # none named: all
        pairs.append((place + key, entry.get(key), wanted.get(key) or every[key]))
    pairs += _pairs_of_splits(place, splits, wanted, spec)
    ood = splits.get("ood") if isinstance(splits, dict) else None
    where = ood.get("where") if isinstance(ood, dict) else ""
    return [*pairs, (f"{place}ood", where, wanted.get("ood") or "")]


def _fields_of_columns(manifest: dict[str, Any]) -> dict[str, list[str]]:
    """All that can be given and asked for, in the order that `storage.definitions` has."""
    columns = manifest.get("columns")
    kinds: dict[str, list[str]] = {"inputs": [], "parameters": [], "outputs": []}
    for column in columns if isinstance(columns, dict) else {}:
        kind, _, name = column.partition("/")
        kinds.get(kind, []).append(name)
    return {"inputs": kinds["inputs"] + kinds["parameters"], "outputs": kinds["outputs"]}


def _pairs_of_splits(
    place: str, splits: Any, own: dict[str, Any], spec: dict[str, Any]
) -> list[Pair]:
    splits = splits if isinstance(splits, dict) else {}
    seed = spec.get("seed") if own.get("seed") is None else own["seed"]
    fractions = own.get("splits") or spec.get("splits")
    return [
        (f"{place}seed of the splits", splits.get("seed"), seed),
        (f"{place}fractions of the splits", splits.get("fractions"), fractions),
    ]


def _all_splits(manifest: dict[str, Any]) -> Iterator[Finding]:
    """The splits of the data set and of all problem definitions are those their rules give."""
    yield from _splits(manifest, manifest.get("splits"), "")
    definitions = manifest.get("definitions", {})
    if not isinstance(definitions, dict):
        yield _error("manifest.splits", "definitions are malformed")
        return
    for name, entry in definitions.items():
        splits = entry.get("splits") if isinstance(entry, dict) else None
        yield from _splits(manifest, splits, f"definition {name}: ")


def _splits(manifest: dict[str, Any], rule: Any, place: str) -> Iterator[Finding]:
    try:
        if rule["rule"] != RULE:
            raise ValueError(f"rule {rule['rule']!r}")
        ids = unpack_many([shard["ids"] for shard in manifest["shards"]])[0]
        members = divided(ids, rule)
        counts = {name: len(part) for name, part in members.items()}
        if counts != rule["counts"]:
            text = f"{place}counts are {rule['counts']}, the rule gives {counts}"
            yield _error("manifest.splits", text)
        every = np.concatenate([np.zeros(0, np.int64), *members.values()])
        if len(np.unique(every)) != len(every):
            yield _error("manifest.splits", f"{place}splits have samples in common")
        if "ood" in rule and not set(unpack_ids(rule["ood"]["ids"])) <= set(ids.tolist()):
            yield _error("manifest.splits", f"{place}split ood has ids that aren't stored")
    except Exception as problem:
        yield _error("manifest.splits", f"{place}splits are malformed ({problem!r})")


def training_ids(manifest: dict[str, Any]) -> dict[str, IdArray]:
    """Ids that statistics are of: "" for the data set itself, and each problem definition."""
    found: dict[str, IdArray] = {}
    definitions = manifest.get("definitions")
    definitions = definitions if isinstance(definitions, dict) else {}
    for name, entry in {"": manifest, **definitions}.items():
        try:
            ids = unpack_many([shard["ids"] for shard in manifest["shards"]])[0]
            train = next(iter(entry["splits"]["fractions"]))
            found[name] = divided(ids, entry["splits"])[train]
        except Exception:  # noqa: S112 - malformed splits are a finding of their own
            continue
    return found


def check_columns(manifest: dict[str, Any], kinds: dict[str, Kinds]) -> Iterator[Finding]:
    """All shards have the same columns, and the manifest says which.

    Args:
        manifest: as read, {} if there is none.
        kinds: shard → its columns, of the shards that can be read.
    """
    if not kinds:
        return
    common, _ = Counter(tuple(sorted(each.items())) for each in kinds.values()).most_common(1)[0]
    expected = dict(common)
    for file, each in kinds.items():
        odd = sorted(n for n in set(each) | set(expected) if each.get(n) != expected.get(n))
        for name in odd[:_SOME]:
            text = f"{name} is {each.get(name)}, in most shards {expected.get(name)}"
            yield error("shard.columns", f"shards/{file}", text)
    plain = {
        name: {"dtype": kind, "shape": list(shape)} for name, (kind, shape) in expected.items()
    }
    if manifest and manifest.get("columns") != plain:
        text = "columns are not those of the shards; run `rekrylov finalise`"
        yield _error("manifest.columns", text)


def _error(code: str, message: str) -> Finding:
    return error(code, WHERE, message)
