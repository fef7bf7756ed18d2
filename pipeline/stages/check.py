"""Stage `check`: is the data set what it says it is?"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset_folder import existing
from pipeline.discretisation import Discretisation
from pipeline.imported import ImportedSpec
from pipeline.progress import progress
from pipeline.sampler import Sampler
from pipeline.spec import Spec, parse_spec
from pipeline.stages.check_spaces import check_spaces
from pipeline.statement import statement
from pipeline.stored_spec import stored_spec
from storage import DataFolder, Finding, StorageError, read_manifest, read_spaces
from storage.catalogue import note
from storage.checks import CheckReport, Recomputed, examine
from storage.checks.finding import guarded, one_line, warning
from storage.files import commit_json, plain

__all__ = ["CheckResult", "check"]

type Columns = dict[str, NDArray[Any]]


@dataclass
class CheckResult(CheckReport):
    """Outcome of a check of files, and of what the spec says of them.

    Attributes:
        level: "quick", "normal" or "full".
    """

    level: str = "normal"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"sound": self.sound, **asdict(self)}


def check(
    spec: Spec | None,
    folder: DataFolder,
    full: bool = False,
    *,
    quick: bool = False,
    workers: int = 1,
    quiet: bool = True,
    keep: bool = True,
) -> CheckResult:
    """Check files, hashes, ids, values; with `full`, draw and assemble every sample again.

    The recomputed residual ρ = ‖F(u)‖/‖F(u_D)‖ uses nothing of the run: mesh and spaces from
    `spaces.h5`, coefficients from the shards, a fresh assembly. Inputs are drawn again from the
    seed and compared. Not collective. The verdict is kept in `check.json`, unless it is a quick
    one or the folder can't be written.

    Args:
        spec: The data set's spec; None: the one it keeps.
        folder: The data set.
        full: Compute again what is stored.
        quick: Read no shard.
        workers: Number of processes that read shards.
        quiet: Show no progress.
        keep: Keep the verdict.

    Raises:
        StorageError: There is no data set.
    """
    if not any(p.exists() for p in (folder.shards, folder.manifest, folder.spaces, folder.runs)):
        existing(folder)
    kept = stored_spec(folder)
    stated, why = (spec, "") if spec is not None else (kept.spec, kept.why)
    findings = list(kept.findings)
    found = stated
    if isinstance(stated, ImportedSpec):
        found, why = None, "the samples were imported, without their equations"
    if stated is None or (full and found is None):
        text = f"nothing can be computed again: {why}"
        findings.append(warning("spec.unknown", "runs", text))
    recompute = _Recompute(found, folder) if full and found is not None else None
    with progress("check", len(folder.committed()), quiet or quick) as task:
        report = examine(
            folder.path, quick=quick, recompute=recompute, workers=workers, progress=task
        )
    findings += report.findings
    if stated is not None and not quick:
        with guarded(findings, folder.manifest.name):
            findings += _problem(stated, folder)
    if recompute is not None and not _has(findings, "spaces."):
        with guarded(findings, "spaces.h5"):
            findings += check_spaces(recompute.spec, folder)
    level = "full" if full else "quick" if quick else "normal"
    result = CheckResult(**vars(report) | {"findings": findings, "level": level})
    if keep and not quick:
        _keep(folder, result)
    return result


def _problem(spec: Spec | ImportedSpec, folder: DataFolder) -> list[Finding]:
    """The stated problem is that of the spec; other versions may state the same otherwise."""
    try:
        stated = read_manifest(folder).get("problem")
    except (StorageError, OSError):  # found already
        return []
    made = spec.statement() if isinstance(spec, ImportedSpec) else statement(spec)
    if stated == plain(made):
        return []
    text = "problem is not as this version states that of the spec; run `rekrylov finalise`"
    return [warning("manifest.problem", folder.manifest.name, text)]


def _has(findings: list[Finding], start: str) -> bool:
    return any(finding.code.startswith(start) for finding in findings)


def _keep(folder: DataFolder, result: CheckResult) -> None:
    """Write `check.json` and tell the catalogue; a folder that can't be written is fine."""
    severities = [finding.severity for finding in result.findings]
    verdict = {
        "sound": result.sound,
        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "level": result.level,
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
    }
    with suppress(StorageError, OSError):
        commit_json(folder.path / "check.json", verdict, replace=True)
    note(folder.path)


class _Recompute:
    """Inputs and residuals of stored samples, computed again; sent to processes as plain data."""

    def __init__(self, spec: Spec, folder: DataFolder) -> None:
        self._raw, self._folder = spec.model_dump(mode="json"), folder
        self._spec: Spec | None = spec
        self._discretisation: Discretisation | None = None
        self._sampler: Sampler | None = None
        self._unknown: str | None = None
        self._fields: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        nothing = {"_spec": None, "_discretisation": None, "_sampler": None, "_unknown": None}
        return self.__dict__ | nothing

    @property
    def spec(self) -> Spec:
        """The spec; read again in another process."""
        if self._spec is None:
            self._spec = parse_spec(dict(self._raw), base=Path("/"))
        return self._spec

    def __call__(self, ids: NDArray[np.int64], columns: Columns) -> Recomputed:
        """Return what the samples of a shard should be."""
        if self._discretisation is None:
            self._prepare()
        there: Any = self._discretisation
        if lacking := self._lacking(ids, columns):
            return Recomputed(np.zeros(len(ids)), lacking=lacking)
        residuals = [there.residuals(*_sample(columns, row)) for row in range(len(ids))]
        array = np.array(residuals, dtype=np.float64)
        return Recomputed(
            array if self.spec.problem.times() else array.reshape(len(ids)),
            self._drift(ids, columns),
            self._unknown,
        )

    def _lacking(self, ids: NDArray[np.int64], columns: Columns) -> list[str]:
        """Columns that a shard should have and hasn't."""
        drawn = self._sampler.inputs(int(ids[0])) if self._sampler is not None else {}
        asked = {f"outputs/{n}" for n, field in self._fields.items() if field["role"] == "output"}
        return sorted((set(drawn) | asked) - set(columns))

    def _prepare(self) -> None:
        import meshes  # noqa: F401, I001 - loads h5py, DOLFINx and MPI in the order they need
        from mpi4py import MPI

        spaces = read_spaces(self._folder.spaces)
        self._fields = spaces["fields"]
        self._discretisation = Discretisation(self.spec, spaces, MPI.COMM_SELF)
        try:
            self._sampler = Sampler(self.spec, spaces)
        except Exception as problem:  # a file of samples that isn't here any more
            self._unknown = one_line(problem)

    def _drift(self, ids: NDArray[np.int64], columns: Columns) -> Columns:
        """How far stored inputs are from what is drawn, relative to their size."""
        if self._sampler is None:
            return {}
        drift: dict[str, list[float]] = {}
        for row, i in enumerate(ids):
            for name, drawn in self._sampler.inputs(int(i)).items():
                apart = np.abs(np.asarray(drawn, dtype=np.float64) - columns[name][row])
                size = float(np.max(np.abs(drawn), initial=0.0)) or 1.0
                drift.setdefault(name, []).append(float(np.max(apart, initial=0.0)) / size)
        return {name: np.array(values) for name, values in drift.items()}


def _sample(columns: Columns, row: int) -> tuple[Columns, Columns]:
    """Inputs and parameters of one sample by column, and its outputs by field."""
    given: Columns = {}
    found: Columns = {}
    for column, values in columns.items():
        role, _, name = column.partition("/")
        part, key = (found, name) if role == "outputs" else (given, column)
        part[key] = values[row].astype(np.float64)
    return given, found
