"""The stored de Rham complex around a flux space V: potentials → V by rot or curl → Q by div."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scipy.sparse import csr_matrix

from pipeline.operators.errors import TrainingError

if TYPE_CHECKING:
    from storage import Dataset

__all__ = ["derivative", "flux_space"]


def flux_space(dataset: Dataset, field: str) -> Mapping[str, Any]:
    """Return the tables of V, the space of an output in H(div).

    Raises:
        TrainingError: the field is no stationary flux on one mesh.
    """
    if field not in dataset.outputs:
        raise TrainingError(f"output {field!r}: expected one of {dataset.outputs}; choose one")
    space = dataset.spaces[dataset.fields[field].space]
    if space["map_type"] != "contravariantPiola":
        raise TrainingError(
            f"output {field!r} in {dataset.fields[field].space}: expected a flux in RT or BDM; "
            "learn it without conservation"
        )
    if len(dataset.columns[f"outputs/{field}"]["shape"]) > 1:
        raise TrainingError(
            f"output {field!r} has a time axis: its divergence is no source alone; expected a "
            "stationary flux, learn it without conservation"
        )
    if "displacement" in dataset.inputs:
        raise TrainingError(
            f"output {field!r}: its mesh moves by sample, stored derivatives are those of the "
            "reference mesh; expected one mesh, learn it without conservation"
        )
    return space


def derivative(
    dataset: Dataset, field: str, role: str, operators: tuple[str, ...]
) -> tuple[csr_matrix, str]:
    """Return the matrix of a derivative from or into the space of a field, and the other space.

    Args:
        dataset: with `derivatives`.
        field: whose space is one end.
        role: "source" or "target", which end that is.
        operators: names of the derivative, any of which will do.

    Raises:
        TrainingError: none is stored.
    """
    name, other = dataset.fields[field].space, "target" if role == "source" else "source"
    tables = [dataset.derivatives[key] for key in dataset.derivatives]
    found = [t for t in tables if t[role] == name and t["operator"] in operators]
    if not found:
        raise TrainingError(
            f"output {field!r} in {name}: `spaces.h5` has no {' or '.join(operators)} "
            f"{'from' if role == 'source' else 'into'} it, it is from an earlier version or its "
            "cells aren't affine; run the spec again"
        )
    table = min(found, key=lambda t: int(dataset.spaces[t[other]]["dim"]))
    return csr_matrix(table["matrix"]), str(table[other])
