"""Where the solve stage runs: the settings of a Dask cluster, as a parameter of a flow."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.form import AnyOf
from pipeline.spec_errors import SpecError, mistakes

__all__ = [
    "Local",
    "Pbs",
    "Queue",
    "Scale",
    "ScaleOption",
    "Scheduler",
    "Slurm",
    "check_ranks",
    "read_scale",
]


class _Scale(BaseModel):
    """What all kinds have."""

    model_config = ConfigDict(extra="forbid")

    parts: int | None = Field(
        None,
        ge=1,
        description="Chains of batches that the data set is cut into, an mpiexec each; by default "
        "four for each mpiexec that can run at once, at most the number of batches.",
    )

    @property
    def cores_here(self) -> int:
        """How many cores of this machine it takes."""
        return 0


class Local(_Scale):
    """Worker processes on this machine, for as long as the stage lasts."""

    kind: Literal["local"] = "local"
    workers: int = Field(2, ge=1, description="Worker processes.")
    cores: int = Field(1, ge=1, description="Cores of a worker.")

    @property
    def cores_here(self) -> int:
        """How many cores of this machine it takes."""
        return self.workers * self.cores


class Scheduler(_Scale):
    """A Dask cluster that is there: `dask worker … --resources "cores=8" --nthreads 8`."""

    kind: Literal["scheduler"] = "scheduler"
    address: str = Field(min_length=1, description="The scheduler's: tcp://host:8786.")


class Queue(_Scale):
    """Jobs of a batch system, each a worker on one node."""

    jobs: int = Field(1, ge=1, description="Jobs kept running or waiting.")
    cores: int = Field(ge=1, description="Cores of a job.")
    memory: str = Field(min_length=1, description="Memory of a job, as 8 GB.")
    walltime: str = Field("04:00:00", min_length=1, description="Time limit of a job.")
    queue: str | None = Field(None, description="Queue or partition.")
    account: str | None = Field(None, description="Account that pays.")
    directives: list[str] = Field([], description="More options of the batch system, a line each.")
    prologue: list[str] = Field([], description="Shell lines before the worker, as module load.")
    interface: str | None = Field(None, description="Network interface of the nodes, as ib0.")


class Slurm(Queue):
    """Jobs of Slurm."""

    kind: Literal["slurm"] = "slurm"


class Pbs(Queue):
    """Jobs of PBS."""

    kind: Literal["pbs"] = "pbs"


Scale = Annotated[
    Local | Scheduler | Slurm | Pbs,
    Field(discriminator="kind"),
    AnyOf(),
]


ScaleOption = Annotated[
    str | None,
    typer.Option(
        "--scale", metavar="FILE|{…}", help="A Dask cluster for the solve stage: docs/scale-out.md."
    ),
]


class _Given(BaseModel):
    scale: Scale


def read_scale(given: str | None) -> Any:
    """Return the settings that a command was given, None for none.

    Args:
        given: The path of a YAML file; or the settings themselves, in braces.

    Raises:
        SpecError: They can't be read, or are bad.
    """
    if given is None:
        return None
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text("utf-8")
        return _Given.model_validate({"scale": yaml.safe_load(text)}).scale
    except ValidationError as error:
        raise SpecError(mistakes(error, _Given)) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(
            [f"scale: {error}; expected a YAML file, or settings as {{kind: local}}"]
        ) from None


def check_ranks(scale: Scale | None, ranks: int) -> None:
    """Refuse workers that have fewer cores than a solve has ranks: it would wait for ever.

    Raises:
        SpecError: They have.
    """
    most = getattr(scale, "cores", ranks)  # a scheduler's workers are asked
    if most < ranks:
        raise SpecError([f"scale.cores: got {most}; allowed here: at least {ranks}, the ranks"])
