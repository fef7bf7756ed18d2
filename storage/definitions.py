"""Problem definitions: what is given, what is asked for and which samples are for what.

A data set can be used for several problems: other fields, other shares of training samples, or a
test outside of the range that was trained on. Each has a name and its own splits and statistics
in `manifest["definitions"]`. The samples that a condition picks are its split "ood" (out of
distribution); the others are divided by the hash of `storage.splits`. (PLAID's data sets have
problem definitions in this sense.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from storage.errors import BadSelection
from storage.ids import pack_ids
from storage.selection import holds
from storage.splits import RULE, divided
from storage.statistics import field_statistics

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["build_definitions", "defined"]


def build_definitions(
    dataset: Dataset, wanted: Mapping[str, Mapping[str, Any]], workers: int = 1
) -> dict[str, dict[str, Any]]:
    """Return the entries of `manifest["definitions"]`.

    Args:
        dataset: all samples.
        wanted: name → `description`, `inputs` and `outputs` (None: all), `seed`, `fractions`
            and `ood`, a condition or None.
        workers: number of processes that read shards.

    Raises:
        BadSelection: a field doesn't exist, or the condition can't be used.
    """
    return {
        name: _definition(dataset, name, workers, **options) for name, options in wanted.items()
    }


def _definition(
    dataset: Dataset,
    name: str,
    workers: int,
    *,
    description: str,
    inputs: list[str] | None,
    outputs: list[str] | None,
    seed: int,
    fractions: Mapping[str, float],
    ood: str | None,
) -> dict[str, Any]:
    every = [*dataset.inputs, *dataset.parameters]
    given, asked = inputs or every, outputs or dataset.outputs
    for field, known in [*((f, every) for f in given), *((f, dataset.outputs) for f in asked)]:
        if field not in known:
            raise BadSelection(f"definition {name!r}: field {field!r} is not one of {known}")
    splits: dict[str, Any] = {"rule": RULE, "seed": seed, "fractions": dict(fractions)}
    if ood is not None:
        inside = holds(dataset, ood)
        splits["ood"] = {"where": ood, "ids": pack_ids(dataset.ids[inside])}
    members = divided(dataset.ids, splits)
    splits["counts"] = {split: len(ids) for split, ids in members.items()}
    entry = {"description": description, "inputs": list(given), "outputs": list(asked)}
    train = next(iter(fractions))
    statistics = {"split": train}
    statistics |= field_statistics(dataset.select(members[train]), [*given, *asked], workers)
    return entry | {"splits": splits, "statistics": statistics}


def defined(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the manifest as a definition sees it: its fields, splits and statistics.

    Raises:
        BadSelection: there is no such definition.
    """
    known = manifest.get("definitions", {})
    if name not in known:
        raise BadSelection(
            f"definition {name!r}: expected one of {list(known)}; write it into the spec's "
            "`definitions` and run `rekrylov finalise`"
        )
    entry = known[name]
    fields = {"inputs/displacement"}  # where the samples' meshes are: nothing is right without
    fields |= {f"inputs/{field}" for field in entry["inputs"]}
    fields |= {f"parameters/{field}" for field in entry["inputs"]}
    fields |= {f"outputs/{field}" for field in entry["outputs"]}
    columns = {
        column: kind
        for column, kind in manifest["columns"].items()
        if column in fields or not column.startswith(("inputs/", "outputs/", "parameters/"))
    }
    seen = {key: entry[key] for key in ("splits", "statistics")}
    return manifest | {"columns": columns, "definition": name} | seen
