"""What stands in a spec's place where the samples were imported: no equations, no mesh to make."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from pipeline.definitions import DefinitionName, DefinitionSpec, SplitSpec, check_definition
from pipeline.models import SpecModel
from pipeline.operators.config import TrainConfig
from pipeline.operators.config.compare import CompareConfig
from pipeline.spec_errors import SpecError

__all__ = ["ImportedSpec", "Origin"]


class Origin(SpecModel):
    """Where the samples come from, and how the file was read."""

    file: str = Field(description="Name of the file.")
    format: str = Field(description="How it was recognised.")
    data_key: str = Field(description="SHA-256 of the samples.")
    arrays: dict[str, str] = Field(description="Array of the file → its axes.")
    inputs: tuple[str, ...] = Field(description="Input fields.")
    parameters: tuple[str, ...] = Field(description="Numbers of each sample.")
    outputs: tuple[str, ...] = Field(description="Output fields.")
    points: tuple[int, ...] = Field(description="Points along each axis.")
    low: tuple[float, ...] = Field(description="Place of the first points.")
    high: tuple[float, ...] = Field(description="Place of the last points.")
    times: tuple[float, ...] | None = Field(description="Of the stored steps.")
    dtype: str = Field(description="Of the stored fields.")


class ImportedSpec(SpecModel):
    """Takes a `Spec`'s place for all that needs samples alone: splits, training, comparisons.

    Whatever asks it for equations, or for how to solve them, gets a SpecError that says why there
    are none.
    """

    name: DefinitionName = Field(description="Name of the data set.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Seed of the splits.")
    samples: Annotated[int, Field(ge=1)] = Field(description="Number of samples.")
    imported: Origin = Field(description="Where they come from.")
    splits: SplitSpec = Field(SplitSpec(), description="Splits.")
    definitions: dict[DefinitionName, DefinitionSpec] = Field(
        {}, description="Further problems that the same samples are used for, by name."
    )
    train: TrainConfig | None = Field(None, description="The training stage; left out: none.")
    compare: CompareConfig | None = Field(
        None, description="Operators against each other, by `rekrylov compare`; left out: none."
    )
    licence: str = Field("unknown", description="Licence of the data.")
    citation: str = Field("", description="How to cite the data.")

    family_file: ClassVar[None] = None

    @property
    def ids(self) -> range:
        """Sample ids: places in the file."""
        return range(self.samples)

    @property
    def problem(self) -> Any:
        """None: raises SpecError."""
        raise self._no("problem")

    @property
    def mesh(self) -> Any:
        """None to be made: raises SpecError."""
        raise self._no("mesh")

    @property
    def solve(self) -> Any:
        """Nothing to solve: raises SpecError."""
        raise self._no("solve")

    def statement(self) -> dict[str, Any]:
        """What `manifest.problem` says: which fields there are, and that no equation is known."""
        origin = self.imported
        fields = ", ".join([*origin.inputs, *origin.parameters]) + " → " + ", ".join(origin.outputs)
        outputs = {name: {"units": "1", "meaning": f"{name}, imported"} for name in origin.outputs}
        return {
            "family": "imported",
            "description": f"Samples {fields} on a regular grid, imported from {origin.file}; "
            "their equations aren't known here.",
            "dimension": len(origin.points),
            "strong": [],
            "weak": [],
            "meaning": "",
            "boundary": [],
            "initial": [],
            "times": list(origin.times or ()),
            "outputs": outputs,
            "symbols": {},
            "parameters": {},
        }

    def _no(self, key: str) -> SpecError:
        return SpecError(
            [
                f"{key}: the samples of {self.name!r} were imported from {self.imported.file}, "
                "without their equations: they can be trained on, looked at and exported, but not "
                "solved, extended, or checked by a new assembly"
            ]
        )

    @model_validator(mode="after")
    def _needs_no_equations(self) -> "ImportedSpec":
        base = self.train or TrainConfig()
        trainings = [base] if self.train is not None else []
        if self.compare is not None:
            trainings += self.compare.trainings(base)
        if any(training.loss == "residual" for training in trainings):
            raise ValueError(
                "train.loss: residual needs the equations, and imported samples have none; "
                "allowed: l2, graph, h1"
            )
        if self.compare is not None and self.compare.tolerances:
            raise ValueError("compare.tolerances: imported samples can't be solved again; give []")
        for name, wanted in self.definitions.items():
            origin = self.imported
            given = [*origin.inputs, *origin.parameters]
            check_definition(f"definitions.{name}", wanted, given, origin.outputs)
        return self
