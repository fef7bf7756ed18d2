"""The random inputs of single samples."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.features import WHOLE, FieldFeatures
from pipeline.inputs import FileSamples, P1Tables, Where, design, is_field_law
from pipeline.ordering.sketch import PILOT
from pipeline.problem import input_fields, laws, sample_rng
from pipeline.spec import Spec
from pipeline.spec_errors import SpecError

__all__ = ["Sampler"]

Array = NDArray[np.float64]
Columns = dict[str, Array]
_PILOT = 16


class Sampler:
    """Draws sample i from (spec, i) alone; knows no DOLFINx.

    What is random is drawn in the order of its declaration from one generator; scalars take
    their quantiles from the spec's design.
    """

    def __init__(self, spec: Spec, spaces: Any) -> None:
        """Prepare the laws.

        Args:
            spec: The spec.
            spaces: The tree of `spaces.h5`, lazy or whole.

        Raises:
            SpecError: A law doesn't suit the mesh, or a file holds too few samples.
        """
        mesh: Any = spec.mesh
        self._samples = spec.ids.stop
        self._seed, self._mesh, self._morph = spec.seed, mesh, mesh.morph if mesh.moves else None
        self._points = _dof_points(spaces, "displacement") if self._morph else None
        fields = {f.name for f in input_fields(spec)}
        self._samplers: dict[str, Any] = {}
        self._lengths: dict[str, int] = {}  # of fields
        self._sketches: dict[tuple[str, int], FieldFeatures] = {}
        for symbol, q in laws(spec).items():
            column = f"inputs/{symbol}" if symbol in fields else f"parameters/{symbol}"
            law: Any = q.value
            if isinstance(law, FileSamples) and (rows := law.rows()) < spec.ids.stop:
                raise SpecError(
                    [
                        f"samples: got ids below {spec.ids.stop}; {law.path} has {rows}, "
                        "ask for at most that"
                    ]
                )
            where = _where(spaces, symbol) if is_field_law(law) else None
            self._samplers[column] = law.at(where) if where is not None else law.sampler()
            if where is not None:
                self._lengths[column] = len(where.points)
        sizes = [s.uniforms for s in self._samplers.values()]
        sizes += [len(self._morph.names)] if self._morph else []
        self._cuts = np.cumsum([0, *sizes])
        self._design = design(spec.design, spec.seed, int(self._cuts[-1]))
        self._scales: list[float] | None = None

    def inputs(self, i: int) -> Columns:
        """Return the input columns of sample i, {"inputs/a": (dofs,), "parameters/k": ()}."""
        latent, moved = self._draw(i)
        columns = {
            column: np.asarray(sampler.evaluate(value), dtype=float)
            for (column, sampler), value in zip(self._samplers.items(), latent, strict=True)
        }
        if self._morph is not None:
            columns["inputs/displacement"] = self._mesh.displacement(self._points, moved).ravel()
            names = self._morph.names
            columns |= {f"parameters/hole_{n}": v for n, v in zip(names, moved, strict=True)}
        return columns

    def features(self, i: int, count: int) -> Array:
        """Return at most `count` numbers whose distances say how similar samples are.

        Of a field with at most 20,000 dofs they are the leading principal coordinates of its
        values, found from the first 256 samples: distances are those of the full fields in the
        Frobenius norm, up to what is left out. A larger one's are those of its law. Those of
        several random inputs stand side by side, each in units of its own scatter.
        """
        parts = self._parts(i, count)
        if len(parts) == 1:
            return parts[0]
        if self._scales is None:
            pilot = [self._parts(j, count) for j in range(min(_PILOT, self._samples))]
            spread = [np.std(np.array(part), axis=0) for part in zip(*pilot, strict=True)]
            self._scales = [float(np.linalg.norm(s)) or 1.0 for s in spread]
        scaled = [part / scale for part, scale in zip(parts, self._scales, strict=True)]
        return np.concatenate([*scaled, np.zeros(0 if scaled else 1)])

    def _parts(self, i: int, count: int) -> list[Array]:
        latent, moved = self._draw(i)
        kinds = len(latent) + (self._morph is not None)
        share = max(1, count // max(1, kinds))
        parts = [
            self._part(column, value, share)
            for column, value in zip(self._samplers, latent, strict=True)
        ]
        return [*parts, moved] if self._morph is not None else parts

    def _part(self, column: str, latent: Any, share: int) -> Array:
        """The features of one random input."""
        sampler = self._samplers[column]
        if not 0 < self._lengths.get(column, 0) <= WHOLE:
            return np.atleast_1d(sampler.features(latent, share))
        if (column, share) not in self._sketches:
            found = FieldFeatures(self._pilot(column), self._lengths[column], share)
            self._sketches[column, share] = found
        return self._sketches[column, share](self._values(column, latent))

    def _pilot(self, column: str) -> Iterator[Array]:
        """The values of a field in the first samples."""
        place = list(self._samplers).index(column)
        for j in range(min(PILOT, self._samples)):
            yield self._values(column, self._draw(j)[0][place])

    def _values(self, column: str, latent: Any) -> Array:
        with np.errstate(all="ignore"):  # the solve stage says what can't be solved for
            return np.asarray(self._samplers[column].evaluate(latent), dtype=float)

    def _draw(self, i: int) -> tuple[list[Any], Array]:
        rng, point = sample_rng(self._seed, i), self._design(i)
        latent = [
            sampler.draw(rng, point[a:b], i)
            for sampler, a, b in zip(
                self._samplers.values(), self._cuts[:-1], self._cuts[1:], strict=False
            )
        ]
        moved = point[self._cuts[len(latent)] :]
        if self._morph is not None:
            low, high = np.array(self._morph.ranges).T
            moved = low + (high - low) * moved
        return latent, moved


def _dof_points(spaces: Any, field: str) -> Array:
    return np.asarray(spaces["spaces"][spaces["fields"][field]["space"]]["points"])


def _where(spaces: Any, symbol: str) -> Where:
    """The places of a field's dofs, and the P1 space beside it."""
    name = spaces["fields"][symbol]["space"]
    space, vertices = spaces["spaces"][name], np.asarray(spaces["mesh"]["points"])

    def p1() -> P1Tables:
        grams = spaces["spaces"]["P1"]["grams"]
        return P1Tables(grams["mass"], grams["stiffness"], space.get("from_P1"))

    return Where(_dof_points(spaces, symbol), vertices.min(axis=0), vertices.max(axis=0), p1)
