"""Normalising fields by the statistics of the training split, whatever split they are of.

z = (a − mean) / std with the mean and standard deviation over samples, times and dofs that the
manifest keeps. A field that is constant up to round-off has std 1 here, so z = 0. Coefficients in
Raviart–Thomas or Nédélec spaces are fluxes, whose sign is that of an orientation: z = a / rms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.errors import StorageError

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["Scale", "field_scale"]

_CONSTANT = 1e-12


@dataclass(frozen=True)
class Scale:
    """z = (a − mean) / std, for arrays of NumPy, PyTorch, JAX or Dask."""

    mean: float = 0.0
    std: float = 1.0

    def normalise(self, values: Any) -> Any:
        """Return z of a."""
        return (values - self.mean) / self.std

    def denormalise(self, values: Any) -> Any:
        """Return a of z."""
        return values * self.std + self.mean


def field_scale(dataset: Dataset, name: str) -> Scale:
    """Return the scale of a field from the training split's statistics.

    Raises:
        KeyError: there is no such field.
        StorageError: there are no statistics of it.
    """
    if name not in [*dataset.inputs, *dataset.outputs]:
        raise KeyError(f"{name!r} is not one of the fields {[*dataset.inputs, *dataset.outputs]}")
    found = (dataset.statistics or {}).get("fields", {}).get(name, {})
    if not found.get("count") or None in found.values():
        raise StorageError(
            f"{dataset.path}: there are no statistics of {name!r} to normalise by: no manifest, or "
            "no sample in the training split; make more samples or run `rekrylov finalise`"
        )
    mean, std = float(found["mean"]), float(found["std"])
    if _is_flux(dataset, name):
        mean, std = 0.0, (mean**2 + std**2) ** 0.5
    largest = max(abs(float(found["min"])), abs(float(found["max"])))
    return Scale(mean, std if std > _CONSTANT * largest else 1.0)


def _is_flux(dataset: Dataset, name: str) -> bool:
    space = dataset.spaces.get(dataset.fields[name].space, {})
    return str(space.get("map_type", "identity")) != "identity"
