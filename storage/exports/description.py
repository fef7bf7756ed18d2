"""What a data set is, as facts and sentences: shared by metadata and data cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.splits import divided

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["Facts", "facts_of"]

MADE_WITH = ("rekrylov", "dolfinx", "petsc", "numpy")


@dataclass(frozen=True)
class Facts:
    """What people are told of a data set.

    Attributes:
        folder: name of the data set, with the start of the data key.
        family: of the problem; "imported" where no equation is known.
        summary: one line.
        equations: the strong form, one text each, 0 in the domain.
        conditions: boundary and initial conditions, one text each.
        laws: symbol → what it is and how it was drawn.
        fields: name → role, space, unknowns, units, description.
        mesh: of which cells, how many.
        times: number of stored time steps, 0 without a time axis.
        samples: stored.
        failed: given up.
        splits: name → number of samples.
        rtol: largest true residual that was allowed; None where nothing was solved.
        worst: largest true residual stored; None where there is none.
        licence: of the data.
        made: versions of what made them, and when.
    """

    folder: str
    family: str
    summary: str
    equations: tuple[str, ...]
    conditions: tuple[str, ...]
    laws: dict[str, str]
    fields: dict[str, dict[str, Any]]
    mesh: str
    times: int
    samples: int
    failed: int
    splits: dict[str, int]
    rtol: float | None
    worst: float | None
    licence: str
    made: str

    @property
    def verified(self) -> str:
        """How the samples were verified, or that they weren't."""
        if self.rtol is None or self.worst is None:
            return (
                "The samples were imported. They are finite, and their checksums are kept; whether "
                "they solve an equation was not checked."
            )
        return (
            "The true residual of every sample was recomputed from the coefficients as stored, "
            f"relative to the residual of the boundary values alone: at most {self.rtol:g} was "
            f"allowed, {self.worst:.2e} is the largest. Samples that didn't reach it are left out: "
            f"{self.failed}. `rekrylov check --full` assembles and computes them again."
        )


def facts_of(dataset: Dataset) -> Facts:
    """Return the facts; reads the table of scalars, and no field.

    Raises:
        DamagedFile: the spaces are damaged, or not those of the samples.
    """
    manifest = dataset.manifest
    problem = manifest.get("problem") or {}
    residuals = dataset.scalars.get("true_residual")
    rule = manifest.get("splits")
    splits = {name: len(ids) for name, ids in divided(dataset.ids, rule).items()} if rule else {}
    versions = (manifest.get("provenance") or {}).get("versions") or {}
    made = ", ".join(f"{key} {versions[key]}" for key in MADE_WITH if versions.get(key))
    when = str((manifest.get("provenance") or {}).get("time", ""))[:10]
    return Facts(
        folder=dataset.path.resolve().name,
        family=str(problem.get("family", "")),
        summary=str(problem.get("description", "")),
        equations=tuple(map(str, problem.get("strong") or ())),
        conditions=tuple(_conditions(problem)),
        laws={name: _law(entry) for name, entry in (problem.get("symbols") or {}).items()},
        fields={name: _field(dataset, name) for name in [*dataset.inputs, *dataset.outputs]},
        mesh=f"{len(dataset.mesh['cells'])} cells ({dataset.mesh['cell_type']}), "
        f"{len(dataset.mesh['points'])} vertices",
        times=0 if dataset.times is None else len(dataset.times),
        samples=len(dataset),
        failed=len(manifest.get("failures") or ()),
        splits=splits,
        rtol=manifest.get("rtol"),
        worst=float(np.max(residuals)) if residuals is not None and len(residuals) else None,
        licence=str(manifest.get("licence") or "unknown"),
        made=f"{made}, {when}" if when else made,
    )


def _field(dataset: Dataset, name: str) -> dict[str, Any]:
    field = dataset.fields[name]
    space = dataset.spaces[field.space]
    return {
        "role": field.role,
        "space": field.space,
        "unknowns": int(space["dim"]),
        "units": field.units,
        "description": field.description,
    }


def _conditions(problem: dict[str, Any]) -> list[str]:
    found = []
    for condition in problem.get("boundary") or ():
        where, kind = condition.get("where", "boundary"), condition.get("type", "condition")
        texts = condition.get("expression") or condition.get("value") or ()
        found.append(f"{kind} on {where}: " + ", ".join(f"{text} = 0" for text in texts))
    start = ", ".join(map(str, problem.get("initial") or ()))
    return [*found, *([f"initial value: {start}"] if start else [])]


def _law(entry: dict[str, Any]) -> str:
    """Meaning and units of a symbol, and its value, or the law it was drawn by."""
    said = str(entry.get("meaning", ""))
    if entry.get("units") not in (None, "", "1"):
        said += f" [{entry['units']}]"
    if "law" in entry:
        field = entry["law"].get("field") or {}
        kind = f" ({field['kind']} field)" if "kind" in field else ""
        return f"{said}, random: {entry['law'].get('law', '')}{kind}"
    return f"{said}, {entry['value']}" if "value" in entry else said
