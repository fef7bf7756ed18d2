"""The spec: one YAML file that says what a data set is and how it is made."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)

from pipeline.definitions import (
    DefinitionName,
    DefinitionSpec,
    SplitSpec,
    check_definition,
)
from pipeline.domains import DomainSpec
from pipeline.families import BuiltIn
from pipeline.imported import ImportedSpec
from pipeline.inputs import DesignSpec, is_law
from pipeline.models import SpecModel, identity
from pipeline.operators.config import TrainConfig
from pipeline.operators.config.compare import CompareConfig
from pipeline.spec_errors import SpecError, mistakes
from pipeline.user_family import family_error, find_family
from storage import FORMAT

__all__ = ["Spec", "data_key", "load_spec", "parse_spec"]


class OrderSpec(SpecModel):
    """How samples are sorted by similarity and cut into batches."""

    sort: Literal["auto", "none", "greedy", "grouped", "nearest"] = Field(
        "auto",
        description="none | greedy (the paper's, O(N²)) | grouped (greedy within groups) | "
        "nearest (near-linear) | auto: greedy up to 10,000 samples, then nearest.",
    )
    group_size: Annotated[int, Field(ge=2)] = Field(1000, description="Samples a group (grouped).")
    features: Annotated[int, Field(ge=1, le=512)] = Field(
        32, description="Numbers that describe a sample for sorting."
    )


class StrategySpec(SpecModel):
    """A solver strategy: Krylov method × preconditioner × what is kept between samples."""

    ksp: Literal["gcrodr", "gmres", "fgmres", "cg", "deflated_cg", "minres", "preonly"] = Field(
        "cg", description="Krylov method; preonly solves directly."
    )
    pc: Literal[
        "none", "jacobi", "bjacobi", "sor", "asm", "icc", "ilu", "gamg", "mg", "cholesky", "lu"
    ] = Field(
        "icc",
        description="Preconditioner, or the factorisation of a direct solve; mg is geometric "
        "multigrid on the levels of the mesh.",
    )
    side: Literal["auto", "left", "right"] = Field(
        "auto", description="Side of the preconditioner; auto is right where the method has it."
    )
    factor_solver: Literal["petsc", "mumps"] = Field(
        "mumps", description="Who factorises; petsc runs on one rank only."
    )
    restart: Annotated[int, Field(ge=2, le=1000)] = Field(40, description="Krylov dimension m.")
    recycle: Annotated[int, Field(ge=1, le=999)] = Field(20, description="Recycled dimension k.")
    recycling: bool | None = Field(
        None, description="Keep the recycled space from sample to sample; default: where it exists."
    )
    guess: Literal["zero", "previous", "pod", "fischer", "superposition"] = Field(
        "zero",
        description="Initial guess: the previous solution, or a projection on the last ones (pod; "
        "fischer or superposition where the operator stays the same).",
    )
    reuse: Literal["fresh", "lagged", "frozen"] = Field(
        "fresh", description="Preconditioner: new for each sample, kept while it pays, or for ever."
    )
    scaling: Literal["none", "diagonal"] = Field(
        "none", description="Blocks precondition the systems scaled by their diagonals."
    )
    block: Literal[1, 16] = Field(
        1, description="Systems solved together, one in each vector lane; on one rank."
    )
    max_it: Annotated[int, Field(ge=1)] = Field(10_000, description="Most iterations a solve.")
    fallback: bool = Field(True, description="On failure: fresh preconditioner, then MUMPS LU.")


def _auto_is_none(value: Any) -> Any:
    return None if value == "auto" else value


class SolveSpec(SpecModel):
    """How the systems are solved."""

    strategy: Annotated[StrategySpec | None, BeforeValidator(_auto_is_none)] = Field(
        None, description="The solver strategy; auto (or null) times candidates on first samples."
    )
    ranks_per_solve: Annotated[int, Field(ge=1)] = Field(
        1, description="MPI ranks that share one system; 1 farms the samples out."
    )


class StorageSpec(SpecModel):
    """How shards are written."""

    shard_size: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Samples a shard; default: a sixteenth of the new ones, ≤ 256, ≤ 32 MiB.",
    )
    compression: Literal["gzip"] | None = Field(
        None, description="HDF5 filter: gzip, or null for none."
    )


class Spec(SpecModel):
    """A data set and how to make it."""

    name: str = Field(description="Name of the data set, the start of its folder's name.")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="Seed of all samples.")
    samples: Annotated[int, Field(ge=1, le=10**9)] = Field(description="Number of samples.")
    first: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0,
        description="Id of the first sample; parts made on several machines are joined by "
        "`rekrylov merge`.",
    )
    family_file: str | None = Field(
        None, description="A Python file with a family of your own, beside the spec."
    )
    problem: BuiltIn = Field(description="The PDE family and its parameters.")
    mesh: DomainSpec = Field(description="Domain and mesh.")
    design: DesignSpec = Field(DesignSpec(), description="How random scalars are spread.")
    rtol: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-8, description="Largest true residual of a stored sample, relative."
    )
    dtype: Literal["float64", "float32"] = Field("float64", description="Type of stored fields.")
    order: OrderSpec = Field(OrderSpec(), description="Sorting.")
    solve: SolveSpec = Field(SolveSpec(), description="Solving.")
    storage: StorageSpec = Field(StorageSpec(), description="Shards.")
    splits: SplitSpec = Field(SplitSpec(), description="Splits.")
    definitions: dict[DefinitionName, DefinitionSpec] = Field(
        {}, description="Further problems that the same samples are used for, by name."
    )
    train: TrainConfig | None = Field(None, description="The training stage; left out: none.")
    compare: CompareConfig | None = Field(
        None, description="Operators against each other, by `rekrylov compare`; left out: none."
    )
    licence: str = Field("CC-BY-4.0", description="Licence of the data.")
    citation: str = Field("", description="How to cite the data.")

    @property
    def ids(self) -> range:
        """Sample ids that are asked for."""
        return range(self.first, self.first + self.samples)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
            raise ValueError("allowed: 1 to 64 letters, digits, '_', '.', '-'; no '.' in front")
        return value

    @model_validator(mode="after")
    def _dtype_holds_rtol(self) -> "Spec":
        # Rounding u to float32 leaves a residual of about ε h⁻² / 10 (measured on Darcy).
        degree = max(o.space.degree for o in self.problem.outputs(self.mesh.gdim)) or 1
        least = 6e-9 * (degree / (self.mesh.mesh_size or 1.0)) ** 2
        if self.dtype == "float32" and self.rtol < max(least, 1e-6):
            raise ValueError(
                f"dtype: float32 cannot hold rtol = {self.rtol:g} on this mesh; allowed: "
                f"float64, or rtol ≥ {max(least, 1e-6):.1g}"
            )
        return self

    @model_validator(mode="after")
    def _family_fits_mesh(self) -> "Spec":
        self.problem.check_mesh(self.mesh.gdim)
        self.problem.check_symbols(self.mesh.gdim)
        return self

    @model_validator(mode="after")
    def _comparison_is_of_trainings(self) -> "Spec":
        if self.compare is not None:
            self.compare.trainings(self.train or TrainConfig())
        return self

    @model_validator(mode="after")
    def _definitions_are_of_what_is_there(self) -> "Spec":
        given = [q.symbol for q in self.problem.quantities() if is_law(q.value)]
        morph: Any = getattr(self.mesh, "morph", None)
        if morph is not None:
            given += ["displacement", *(f"hole_{name}" for name in morph.names)]
        asked = [output.symbol for output in self.problem.outputs(self.mesh.gdim)]
        for name, wanted in self.definitions.items():
            check_definition(f"definitions.{name}", wanted, given, asked)
        return self

    @model_validator(mode="after")
    def _something_is_random(self) -> "Spec":
        random = any(is_law(quantity.value) for quantity in self.problem.quantities())
        if self.samples > 1 and not random and not self.mesh.moves:
            raise ValueError(
                "problem: nothing in it is random, all samples would be the same; give one of "
                + ", ".join(repr(quantity.symbol) for quantity in self.problem.quantities())
                + " a law, such as {law: lognormal}"
            )
        return self


def data_key(spec: Spec | ImportedSpec) -> str:
    """Return the SHA-256 (hex) of what determines sample i, and of nothing else."""
    if isinstance(spec, ImportedSpec):
        return spec.imported.data_key
    what: dict[str, Any] = {
        "format": FORMAT,
        "seed": spec.seed,
        "rtol": spec.rtol,
        "dtype": spec.dtype,
    }
    what |= {"problem": identity(spec.problem), "mesh": identity(spec.mesh)}
    if spec.design.kind != "random":
        what["design"] = identity(spec.design)
    if spec.family_file is not None:
        what["family_file"] = hashlib.sha256(Path(spec.family_file).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def load_spec(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> Spec:
    """Read a spec file.

    Args:
        path: A YAML file.
        overrides: Texts `dotted.key=value`, the value in YAML, that replace what the file says.

    Raises:
        SpecError: The file can't be read, or its content is not a spec; one line per mistake.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError([f"{path}: cannot be read ({reason}); give a YAML file"]) from None
    return parse_spec(_load_yaml(text, str(path)), overrides, Path(path).parent)


def parse_spec(raw: Any, overrides: list[str] | tuple[str, ...] = (), base: Path = Path()) -> Spec:
    """Validate a spec given as plain data; paths in it are relative to `base`. See `load_spec`.

    Of imported samples it is an `ImportedSpec`, which raises SpecError where equations are needed.
    """
    if not isinstance(raw, dict):
        raise SpecError([f"the spec is {type(raw).__name__}; expected keys with values"])
    for text in overrides:
        _override(raw, text)
    model = cast(type[Spec], ImportedSpec) if "imported" in raw else _model_of(raw, base)
    try:
        return model.model_validate(raw, context={"base": base})
    except ValidationError as error:
        raise SpecError(mistakes(error, model)) from None
    except Exception as error:
        if model in (Spec, ImportedSpec):
            raise
        raise family_error(model.model_fields["problem"].annotation, error) from error


def _model_of(raw: dict[str, Any], base: Path) -> type[Spec]:
    """The spec's model: with the user's family in it, if there is one."""
    problem, file = raw.get("problem"), raw.get("family_file")
    if isinstance(file, str):
        file = raw["family_file"] = str((base / file).resolve())
    tag = problem.get("family") if isinstance(problem, dict) else None
    family = find_family(tag, file if isinstance(file, str) else None)
    if family is None:
        return Spec
    return create_model("Spec", __base__=Spec, problem=(family, Field(description="The family.")))


class _Loader(yaml.SafeLoader):
    """YAML in which a key that stands twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep)


def _load_yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise SpecError([f"{where}: not YAML ({detail})"]) from None


def _override(raw: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SpecError([f"--set {text}: expected key=value, for example samples=64"])
    *parents, last = key.split(".")
    node = raw
    for parent in parents:
        if node.get(parent) is None:  # left out, or null
            node[parent] = {}
        node = node[parent]
        if not isinstance(node, dict):
            raise SpecError([f"--set {text}: {parent!r} is a value, not a group of keys"])
    node[last] = _load_yaml(value, f"--set {text}")
