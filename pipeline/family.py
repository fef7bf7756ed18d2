"""What a PDE family is: a part of the spec that states its own problem.

    class Poisson(Family):
        '''−Δu = f in Ω, u = g on ∂Ω.'''

        family: Literal["poisson"]
        source: Coefficient = quantity("f", "source", units="K/m^2")
        …
        def outputs(self, dim): return [Output("u", self.space, "K", "temperature")]
        def strong(self, q, u, c): return -q.div(q.grad(u)) - c.f
        def weak(self, q, u, v, c): return q.dx(q.inner(q.grad(u), q.grad(v)) - c.f * v)
        def conditions(self, q, c): return [q.dirichlet("u", 0.0)]

Every quantity is a number, an expression or random, as the spec says; what is random is drawn,
stored and handed over, and the family doesn't notice. Forms are written in a calculus `q`: UFL's
(`meshes.calculus`) to solve, SymPy's (`pipeline.symbolic`) to say in `manifest.problem` what is
solved. `docs/families.md` shows how to write one.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator
from pydantic.fields import FieldInfo as ModelField

from pipeline.models import SpaceSpec, SpecModel

__all__ = ["Family", "Output", "Quantity", "quantity"]


POSITIVE = (0.0, inf)
RESERVED = frozenset({"x", "y", "z", "t", "h", "dt", "load", "displacement", "id", "times"})
"""Symbols that coordinates, time, the mesh and the reader have for themselves."""


@dataclass(frozen=True)
class Output:
    """An output field.

    Attributes:
        symbol: Its name in forms, shards and tables.
        space: Its finite-element space.
        units: Physical units, "1" where it has none.
        description: What it is.
    """

    symbol: str
    space: SpaceSpec
    units: str
    description: str


@dataclass(frozen=True)
class Quantity:
    """Something the forms depend on.

    Attributes:
        symbol: Its name in forms; in shards too if it is random.
        value: A number, an expression, or a law, as the spec says.
        units: Physical units.
        meaning: What it is.
        within: Open interval that its values have to be in; samples with others are refused.
    """

    symbol: str
    value: Any
    units: str
    meaning: str
    within: tuple[float, float] = (-inf, inf)

    def admits(self, values: Any) -> bool:
        """Whether all values are within the interval."""
        return bool(np.all((np.asarray(values) > self.within[0]) & (values < self.within[1])))

    @property
    def demand(self) -> str:
        """What is asked of its values, as text."""
        return "positive" if self.within == POSITIVE else "in ({:g}, {:g})".format(*self.within)


def quantity(
    symbol: str,
    meaning: str,
    default: Any = ...,
    *,
    units: str = "1",
    positive: bool = False,
    within: tuple[float, float] = (-inf, inf),
) -> Any:
    """Declare a quantity as a field of a family.

    Args:
        symbol: Its name in the forms: `c.<symbol>`.
        meaning: What it is.
        default: A number or expression; left out, the spec has to give it.
        units: Physical units.
        positive: Whether it has to be > 0 everywhere: `within=(0, inf)`.
        within: Open interval that its values have to be in.
    """
    text = f"{meaning[0].upper()}{meaning[1:]} {symbol}" + (f" [{units}]." if units != "1" else ".")
    extra: Any = {"symbol": symbol, "units": units, "meaning": meaning}
    bounds = POSITIVE if positive else within
    extra["within"] = [b if isfinite(b) else None for b in bounds]  # JSON has no infinity
    return Field(default, description=text, json_schema_extra=extra, validate_default=True)


class Family(SpecModel):
    """Base of the families; the class attributes say how a problem is solved.

    Attributes:
        REVISION: Raised when equal specs would give other data.
        LINEAR: Whether F is affine in u; if not, Newton's method solves it.
        QUADRATURE: Degree of exactness of integrals, None lets UFL estimate it.
        STRATEGY: The solver strategy where the spec names none.
        DIMENSIONS: Of the meshes it can be posed on.
        SPACES: Spec key of a space → the spaces offered there, such as "P2".
    """

    REVISION: ClassVar[int] = 1
    LINEAR: ClassVar[bool] = True
    QUADRATURE: ClassVar[int | None] = None
    STRATEGY: ClassVar[dict[str, Any]] = {"ksp": "cg", "pc": "icc"}
    DIMENSIONS: ClassVar[tuple[int, ...]] = (1, 2, 3)
    SPACES: ClassVar[dict[str, tuple[str, ...]]] = {}

    @model_validator(mode="after")
    def _offered(self) -> Self:
        for key, allowed in self.SPACES.items():
            space = getattr(self, key)
            if (got := f"{space.family}{space.degree}") not in allowed:
                raise ValueError(f"{key}: got {got}; allowed: {', '.join(allowed)}")
            if space.shape:
                raise ValueError(
                    f"{key}: got shape {list(space.shape)}; leave it out, the family has its own"
                )
        return self

    def outputs(self, dim: int) -> list[Output]:
        """Return the output fields on a mesh of dimension `dim`."""
        raise NotImplementedError("outputs(dim) is missing: return a list of Output")

    def strong(self, q: Any, u: Any, c: Any) -> Any:
        """Return what vanishes in the domain: an expression, or a tuple, one for each output."""
        raise NotImplementedError("strong(q, u, c) is missing: return what vanishes in the domain")

    def weak(self, q: Any, u: Any, v: Any, c: Any) -> Any:
        """Return F(u; v), which vanishes for all v; u and v are tuples with several outputs."""
        raise NotImplementedError("weak(q, u, v, c) is missing: return F(u; v)")

    def conditions(self, q: Any, c: Any) -> list[Any]:
        """Return the essential boundary conditions; by default none."""
        return []

    def initial(self, q: Any, c: Any) -> Any:
        """Return u at the start of a problem in time; None if there is no time."""
        return None

    def times(self) -> list[float]:
        """Return the times t₁ < t₂ < … of the steps, from t₀ = 0; empty if there is no time."""
        return []

    def weights(self, q: Any, v: Any, c: Any) -> Any:
        """Return what the strong form is tested with: v, or more in a Petrov–Galerkin method."""
        return v

    def exact(self, q: Any) -> tuple[Any, dict[str, Any]] | None:
        """Return a manufactured solution and the quantities that go with it, by symbol.

        None (the default) takes smooth ones that fit the shapes; see `pipeline.manufactured`.
        """
        return None

    def quantities(self) -> list[Quantity]:
        """Return the quantities in the order of their declaration; random ones are drawn so."""
        found = []
        for name, field in type(self).model_fields.items():
            if (extra := _declared(field)) is not None:
                low, high = extra["within"]
                bounds = (-inf if low is None else low, inf if high is None else high)
                told = extra | {"within": bounds}
                found.append(Quantity(value=getattr(self, name), **told))
        return found

    def check_symbols(self, dim: int) -> None:
        """Refuse symbols that the statement of a problem could not tell apart.

        Raises:
            ValueError: A symbol is taken, stands twice, or is no name.
        """
        seen: set[str] = set()
        symbols = [q.symbol for q in self.quantities()]
        for symbol in [*symbols, *(o.symbol for o in self.outputs(dim))]:
            if not symbol.isidentifier() or symbol in RESERVED or symbol.startswith(("n_", "v_")):
                raise ValueError(
                    f"problem: the symbol {symbol!r} can't be a quantity's or an output's; take a "
                    f"name that is not {', '.join(sorted(RESERVED))}, n_… or v_…"
                )
            if symbol in seen:
                raise ValueError(
                    f"problem: the symbol {symbol!r} stands for two things; rename one"
                )
            seen.add(symbol)

    def check_mesh(self, dim: int) -> None:
        """Refuse a mesh the problem can't be posed on.

        Raises:
            ValueError: It has another dimension.
        """
        if dim not in self.DIMENSIONS:
            allowed = " or ".join(str(d) for d in self.DIMENSIONS)
            raise ValueError(f"mesh: has dimension {dim}; this family needs {allowed}")


def _declared(field: ModelField) -> dict[str, Any] | None:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) and "symbol" in extra else None  # type: ignore[return-value]
