"""A data set as others take it: the methods of `Dataset` that lead to `storage.loading`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from storage.common import Common

if TYPE_CHECKING:
    from storage.dataset import Dataset
    from storage.loading.normalisation import Scale
    from storage.loading.pairs import Pairs, TimeAs
    from storage.loading.torch_dataset import TorchSamples

__all__ = ["Loading"]


class Loading(Common):
    """The part of a data set that hands it to other libraries, loaded when it is asked for."""

    def torch(
        self,
        inputs: list[str] | None = None,
        outputs: list[str] | None = None,
        dtype: str = "float32",
        *,
        normalised: bool = False,
    ) -> TorchSamples:
        """Return a map-style PyTorch data set; see `storage.loading.torch_dataset`."""
        from storage.loading.torch_dataset import torch_dataset

        return torch_dataset(self._samples, inputs, outputs, dtype, normalised)

    def pairs(
        self,
        inputs: list[str] | None = None,
        outputs: list[str] | None = None,
        *,
        normalised: bool = False,
        mask: bool = False,
        time: TimeAs = "channels",
    ) -> Pairs:
        """Return `{"x", "y"}` on the stored grid for PyTorch; see `storage.loading.pairs`."""
        from storage.loading.pairs import make_pairs

        options: dict[str, Any] = {"normalised": normalised, "mask": mask, "time": time}
        return make_pairs(self._samples, inputs, outputs, **options)

    def dask(self, name: str) -> Any:
        """Return a field or column as a lazy Dask array; see `storage.loading.dask_arrays`."""
        from storage.loading.dask_arrays import dask_array

        return dask_array(self._samples, name)

    def xarray(self) -> Any:
        """Return all columns as a lazy `xarray.Dataset`; see `storage.loading.xarrays`."""
        from storage.loading.xarrays import xarray_dataset

        return xarray_dataset(self._samples)

    def scale(self, name: str) -> Scale:
        """Return how a field is normalised: `normalise(values)`, and back `denormalise(values)`.

        By the statistics of the training split, the same for all splits.

        Raises:
            KeyError: there is no such field.
            StorageError: there are no statistics.
        """
        from storage.loading.normalisation import field_scale

        return field_scale(self._samples, name)

    @property
    def _samples(self) -> Dataset:
        return cast("Dataset", self)
