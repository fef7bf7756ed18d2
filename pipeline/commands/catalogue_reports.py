"""What `lineage` and `diff` print."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.commands.catalogue_printing import print_table
from pipeline.commands.printing import print_json, print_pairs

__all__ = ["print_diff", "print_lineage"]

_MOST = 40  # rows of a table; --json has all


def print_lineage(found: Mapping[str, Any], as_json: bool) -> None:
    """Print where a data set comes from."""
    if as_json:
        return print_json(found)
    provenance = found["provenance"]
    rows: list[tuple[str, Any]] = [("data key", found["data_key"]), ("seed", found["seed"])]
    rows += [
        (key, provenance[key])
        for key in ("host", "machine", "user", "git_commit", "time")
        if provenance.get(key)
    ]
    rows.append(("command", " ".join(map(str, provenance.get("command") or ()))))
    rows.append(("solved", f"{found['first']} to {found['last']}"))
    rows += _runs(found["runs"])
    rows.append(("strategy", _strategy(found)))
    rows.append(("ladder", f"{len(found['ladder'])} samples needed more than that"))
    seconds = ", ".join(f"{name} {value:.3g} s" for name, value in found["timings"].items())
    rows.append(("time", seconds))
    versions = provenance.get("versions") or {}
    rows.append(("versions", ", ".join(f"{name} {text}" for name, text in versions.items())))
    rows += [(f"trained {item['folder']}", _training(item)) for item in found["training"]]
    print_pairs(found["folder"], [(name, value) for name, value in rows if value not in ("", None)])
    for pilot in found["pilots"][:1]:
        _print_pilot(pilot, len(found["pilots"]))


def _runs(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    rows = []
    for place, run in enumerate(runs):
        changed = ", ".join(f"{key} {_pair(pair)}" for key, pair in run["changed"].items())
        rows.append((f"run {place + 1}", f"{run['file']}: {changed or 'the first spec'}"))
    return rows


def _strategy(found: Mapping[str, Any]) -> str:
    if found["picked"]:
        picked = ", ".join(f"{name} ({n})" for name, n in found["picked"].items())
        return f"picked by {len(found['pilots'])} pilots: {picked}"
    return str(found["strategy"] or "")


def _training(item: Mapping[str, Any]) -> str:
    which = (
        "on these samples"
        if item["on_these_samples"]
        else (f"on other samples, data key {str(item.get('data_key'))[:10]}")
    )
    return f"{item.get('operator', '')}: {item.get('samples', '')} {which}"


def _print_pilot(pilot: Mapping[str, Any], count: int) -> None:
    trials = [
        (trial["strategy"], f"{trial['ms']:.3g}", f"{trial['iterations']:.3g}", trial["failed"])
        for trial in pilot.get("trials", [])
    ]
    title = f"pilot of {pilot['shard']}, the first of {count}; picked {pilot.get('picked')}"
    print_table(("strategy", "ms a system", "iterations", "failed"), trials, title)


def print_diff(found: Mapping[str, Any], as_json: bool) -> None:
    """Print how two data sets differ."""
    if as_json:
        return print_json(found)
    print(f"a: {found['a']}\nb: {found['b']}")
    if found["same"]:
        print("the same spec, fields, spaces and samples, bit for bit")
    for key in ("spec", "fields", "versions"):
        rows = [(name, *map(_short, pair)) for name, pair in found[key].items()]
        if rows:
            print_table((key, "a", "b"), rows[:_MOST])
        if len(rows) > _MOST:
            print(f"and {len(rows) - _MOST} more; --json has them")
    ids = found["ids"]
    spaces = "equal" if found["spaces_equal"] else "different"
    print(
        f"spaces: {spaces}; samples: {ids['common']} ids in both, {ids['only_a']} only in a, "
        f"{ids['only_b']} only in b"
    )
    columns = [(name, *_column(value)) for name, value in found["columns"].items()]
    if columns:
        print_table(("common samples", "bit-equal", "largest relative difference"), columns)
    rows = [(name, *map(_moments, pair)) for name, pair in found["statistics"].items()]
    print_table(("mean ± std, training split", "a", "b"), rows)


def _column(value: Mapping[str, Any]) -> tuple[str, str]:
    if "not_compared" in value:
        return "", f"not compared: {value['not_compared']}"
    if not value["largest"]:
        return str(value["equal"]), "0"
    text = f"{value['largest']:.3g}, sample {value['id']}"
    if "largest_by_rtol" in value:
        text += f", {value['largest_by_rtol']:.3g} × rtol"
    if "not_finite" in value:
        text += f"; {value['not_finite']} have NaN in one only"
    return str(value["equal"]), text


def _moments(pair: Sequence[float] | None) -> str:
    return "" if pair is None else f"{pair[0]:.4g} ± {pair[1]:.3g}"


def _pair(pair: Sequence[Any]) -> str:
    return " → ".join(map(_short, pair))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
