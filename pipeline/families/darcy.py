"""Darcy flow: −∇·(a ∇u) = f in Ω, u = g on ∂Ω, with a random permeability a.

Weak form: find u ∈ V_h, u = g on ∂Ω, with ∫ a ∇u·∇v dx = ∫ f v dx for all v ∈ V_h, v = 0 on ∂Ω.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.expressions import function
from pipeline.fields import CosineField, CosineFieldSpec
from pipeline.models import Expression, SpaceSpec, SpecModel
from pipeline.problem import FieldInfo

__all__ = ["Darcy", "DarcySpec", "LogNormal", "TwoPhase"]

Array = NDArray[np.float64]


class LogNormal(SpecModel):
    """a = exp(mean + g) with a Gaussian field g."""

    law: Literal["lognormal"]
    mean: Annotated[float, Field(ge=-50, le=50)] = Field(0.0, description="Mean of log a.")
    field: CosineFieldSpec = Field(CosineFieldSpec(), description="Covariance of g.")

    def transform(self, g: Array) -> Array:
        """Return a at the points where g is given."""
        return np.exp(self.mean + g)


class TwoPhase(SpecModel):
    """a = high where the Gaussian field g ≥ threshold, low elsewhere."""

    law: Literal["two_phase"]
    high: Annotated[float, Field(gt=0)] = Field(12.0, description="Permeability where g ≥ t.")
    low: Annotated[float, Field(gt=0)] = Field(3.0, description="Permeability where g < t.")
    threshold: float = Field(0.0, description="The threshold t.")
    field: CosineFieldSpec = Field(CosineFieldSpec(), description="Covariance of g.")

    def transform(self, g: Array) -> Array:
        """Return a at the points where g is given."""
        return np.where(g >= self.threshold, self.high, self.low)


class DarcySpec(SpecModel):
    """−∇·(a ∇u) = f, u = g on the boundary; input a, output u."""

    family: Literal["darcy"]
    coefficient: Annotated[LogNormal | TwoPhase, Field(discriminator="law")] = Field(
        description="Law of the permeability a."
    )
    source: Expression = Field("1.0", description="Right-hand side f(x, y).")
    boundary: Expression = Field("0.0", description="Dirichlet data g(x, y).")
    input_space: SpaceSpec | None = Field(
        None, description="Space of a: P or DG; default P1 for lognormal, DG0 for two_phase."
    )
    output_space: SpaceSpec = Field(
        SpaceSpec(family="P", degree=1), description="Space of u: P1 or P2."
    )

    REVISION: ClassVar[int] = 1

    @model_validator(mode="after")
    def _spaces(self) -> "DarcySpec":
        if self.input_space is None:
            family, degree = ("P", 1) if self.coefficient.law == "lognormal" else ("DG", 0)
            object.__setattr__(self, "input_space", SpaceSpec(family=family, degree=degree))
        a, u = self.spaces
        if (u.family, u.degree) not in {("P", 1), ("P", 2)}:
            raise ValueError(f"output_space: got {u.family}{u.degree}; allowed: P1, P2")
        if (a.family, a.degree) not in {("P", 1), ("P", 2), ("DG", 0), ("DG", 1)}:
            raise ValueError(f"input_space: got {a.family}{a.degree}; allowed: P1, P2, DG0, DG1")
        return self

    @property
    def spaces(self) -> tuple[SpaceSpec, SpaceSpec]:
        """The spaces of a and u."""
        assert self.input_space is not None  # set by the validator
        return self.input_space, self.output_space


class Darcy:
    """The family at work: what is drawn, what is stored, what is solved."""

    def __init__(self, spec: DarcySpec) -> None:
        self.spec = spec

    def fields(self) -> list[FieldInfo]:
        """Return the permeability a and the pressure u."""
        a, u = self.spec.spaces
        return [
            FieldInfo("a", "input", (a.family, a.degree), "1", "permeability a"),
            FieldInfo("u", "output", (u.family, u.degree), "1", "pressure u"),
        ]

    def statement(self) -> dict[str, Any]:
        """Return `manifest.problem`; a problem without dimensions."""
        grad = "a(x, y)*Derivative({0}(x, y), {1})"
        flux = " + ".join(f"Derivative({grad.format('u', s)}, {s})" for s in "xy")
        energy = " + ".join(f"{grad.format('u', s)}*Derivative(v(x, y), {s})" for s in "xy")
        return {
            "family": "darcy",
            "strong": f"-({flux}) - f",
            "weak": f"Integral({energy} - f*v(x, y), x, y)",
            "meaning": "strong = 0 in the domain; weak = 0 for all v that vanish on the boundary",
            "boundary": [{"where": "boundary", "type": "dirichlet", "expression": "u(x, y) - g"}],
            "initial": [],
            "symbols": {
                "f": {"value": self.spec.source, "units": "1", "meaning": "source"},
                "g": {"value": self.spec.boundary, "units": "1", "meaning": "boundary value"},
            },
            "parameters": {},
        }

    def sampler(self, points: dict[str, Array]) -> "DarcySampler":
        """Return the sampler of a at its dofs."""
        return DarcySampler(self.spec.coefficient, points["a"])

    def discretise(self, spaces: dict[str, Any]) -> Any:
        """Return the linear problem ∫ a ∇u·∇v = ∫ f v, u = g. Collective."""
        import ufl

        from meshes import LinearProblem, expression_on

        V = spaces["u"]
        problem = LinearProblem("u", V, {"inputs/a": spaces["a"]})
        u, v, a = ufl.TrialFunction(V), ufl.TestFunction(V), problem.coefficients["inputs/a"]
        f = expression_on(V.mesh, function(self.spec.source))
        problem.set_forms(a * ufl.inner(ufl.grad(u), ufl.grad(v)) * ufl.dx, f * v * ufl.dx)
        problem.set_dirichlet(function(self.spec.boundary))
        return problem


class DarcySampler:
    """Draws a at the dofs of its space."""

    def __init__(self, law: LogNormal | TwoPhase, points: Array) -> None:
        self._law = law
        self._field = CosineField(law.field, points)

    def inputs(self, rng: Generator) -> dict[str, Array]:
        """Return {"inputs/a": a at the dofs}."""
        return {"inputs/a": self._law.transform(self._field.evaluate(self._field.draw(rng)))}

    def features(self, rng: Generator, count: int) -> Array:
        """Return the leading coefficients of the Gaussian field: distances are L² distances."""
        return self._field.features(self._field.draw(rng), count)
