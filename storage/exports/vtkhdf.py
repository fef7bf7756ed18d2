"""VTKHDF files of samples, for ParaView: one a sample, its time steps in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.errors import BadSelection
from storage.exports.options import DISPLACEMENT, ExportOptions, chosen_fields, is_moving
from storage.exports.steps import Steps
from storage.exports.target import file_stem, files_below, new_file, new_folder, provenance
from storage.function import moved_mesh
from storage.vtkhdf import VtkCells, vtk_cells, vtk_field, vtkhdf

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["export_vtkhdf"]

_SUFFIX = ".vtkhdf"


def export_vtkhdf(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write samples on their own mesh, moved where it moves.

    Cells are quadratic if a continuous field is of degree 2 or more, so that P2 is exact; fields
    that jump have a value a cell.

    Args:
        dataset: the samples.
        out: a file if it ends in `.vtkhdf` (of one sample), else a folder of
            `<name>-<id>.vtkhdf`, which ParaView opens as a series.
        options: fields.

    Raises:
        BadSelection: several samples and one file.
    """
    writer = _Writer(dataset, options)
    if out.suffix == _SUFFIX:
        if len(dataset) != 1:
            raise BadSelection(
                f"{out}: a file holds one sample, {len(dataset)} are chosen; choose one with "
                "--ids, or name a folder"
            )
        with new_file(out, options.force) as path:
            path.write_bytes(writer.content(0))
        options.progress(1)
        return [out]
    name = file_stem(dataset)
    about = provenance(dataset) | {"format": "VTKHDF", "samples": str(len(dataset))}
    with new_folder(out, options.force, about) as folder:
        for row, sample_id in enumerate(dataset.ids):
            (folder / f"{name}-{sample_id}{_SUFFIX}").write_bytes(writer.content(row))
            options.progress(row + 1)
    return files_below(out)


class _Writer:
    """Makes the files of one data set; cells and their nodes are found once."""

    def __init__(self, dataset: Dataset, options: ExportOptions) -> None:
        inputs, outputs = chosen_fields(dataset, options)
        self.dataset, self.names = dataset, [*inputs, *outputs]
        self.fields, self.mesh = dataset.fields, dataset.mesh
        self.tables = {name: dataset.spaces[self.fields[name].space] for name in self.names}
        quadratic = any(
            str(space["family"]) == "P" and not space["discontinuous"] and int(space["degree"]) > 1
            for space in self.tables.values()
        )
        self.cells: VtkCells = vtk_cells(self.mesh, quadratic)
        self.steps, self.moving = Steps(dataset), is_moving(dataset)
        self.about = provenance(dataset)

    def content(self, row: int) -> bytes:
        """The bytes of the file of a sample."""
        mesh = self._mesh(row)
        kept, times = self.steps.kept(row), self.steps.times(row) if self.steps.stored else None
        made = {}
        for name in self.names:
            values = self.dataset.read(name, row)
            values = values[kept] if values.ndim == 2 else values[None]
            made[name] = vtk_field(mesh, self.tables[name], values, self.cells)
        numbers = {
            name: str(self.dataset.read(f"parameters/{name}", row))
            for name in self.dataset.parameters
        }
        about = self.about | numbers | {"sample_id": str(self.dataset.ids[row])}
        return vtkhdf(mesh, made, times, self.cells, about)

    def _mesh(self, row: int) -> Any:
        if not self.moving:
            return self.mesh
        space = self.dataset.spaces[self.fields[DISPLACEMENT].space]
        return moved_mesh(self.mesh, space, self.dataset.read(DISPLACEMENT, row))
