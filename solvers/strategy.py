"""How to solve a stream of systems, as data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from solvers.gcrodr import GCRODR

Method = Literal["gcrodr", "gmres", "fgmres", "cg", "minres", "preonly"]
Preconditioner = Literal[
    "none", "jacobi", "bjacobi", "sor", "asm", "icc", "ilu", "gamg", "cholesky", "lu"
]
Side = Literal["auto", "left", "right"]
FactorSolver = Literal["mumps", "petsc"]
Guess = Literal["zero", "previous"]
Reuse = Literal["fresh", "lagged"]

_SYMMETRIC = ("cg", "minres")
_DIRECT = ("cholesky", "lu")
_SERIAL = ("icc", "ilu", "sor")  # on several ranks: block Jacobi with these inside


@dataclass(frozen=True, slots=True)
class Strategy:
    """KSP × PC × reuse × guess × recycling × block. Immutable, hashable, holds no PETSc object.

    Attributes:
        ksp: The Krylov method; "preonly" is a direct solve with pc "cholesky" or "lu".
        pc: The preconditioner. On several ranks "icc", "ilu" and "sor" act inside the ranks'
            diagonal blocks (block Jacobi).
        side: "auto" is right where the method has it (gcrodr, gmres, fgmres), else left.
        factor_solver: The package behind "cholesky" and "lu"; "petsc" is serial.
        restart: m of gcrodr, gmres, fgmres.
        recycle: k of gcrodr.
        guess: Start from zero or from the previous solution of the stream.
        reuse: "fresh" sets the preconditioner up for each new matrix; "lagged" keeps it until
            a solve fails or takes `lag_factor` times the iterations of a fresh one.
        lag_factor: See `reuse`.
        recycling: Carry gcrodr's space to the next system; None is True for gcrodr.
        block: Systems held at once; only 1 so far.
        max_it: Iterations allowed for one attempt.
        fallback: Climb the ladder (fresh start, then MUMPS LU) when an attempt fails.
    """

    ksp: Method = "gcrodr"
    pc: Preconditioner = "ilu"
    side: Side = "auto"
    factor_solver: FactorSolver = "mumps"
    restart: int = 40
    recycle: int = 20
    guess: Guess = "zero"
    reuse: Reuse = "fresh"
    lag_factor: float = 2.0
    recycling: bool | None = None
    block: int = 1
    max_it: int = 10_000
    fallback: bool = True

    def __post_init__(self) -> None:
        """Check names and combinations. Raises ValueError, one line a mistake."""
        if mistakes := list(self._mistakes()):
            raise ValueError("; ".join(mistakes))

    def _mistakes(self) -> Iterator[str]:
        for name, kind in _CHOICES.items():
            value, allowed = getattr(self, name), get_args(kind)
            if value not in allowed:
                yield f"{name} is {value!r}: take one of {', '.join(allowed)}"
        if self.ksp == "preonly" and self.pc not in _DIRECT:
            yield f"ksp 'preonly' with pc {self.pc!r}: a direct solve needs pc cholesky or lu"
        if self.ksp == "preonly" and self.reuse == "lagged":
            yield "ksp 'preonly' with reuse 'lagged': an old factor needs cg or gmres around it"
        if self.ksp in _SYMMETRIC and self.side == "right":
            yield f"ksp {self.ksp!r} with side 'right': it has the left side only, take auto"
        if self.ksp == "fgmres" and self.side == "left":
            yield "ksp 'fgmres' with side 'left': it has the right side only, take auto"
        if self.recycling and self.ksp != "gcrodr":
            yield f"recycling with ksp {self.ksp!r}: only gcrodr recycles"
        if self.ksp == "gcrodr":
            try:
                GCRODR(self.restart, self.recycle)
            except ValueError as error:
                yield str(error)
        if self.restart < 1:
            yield f"restart is {self.restart}: take at least 1"
        if self.block != 1:
            yield f"block is {self.block}: only 1 is available so far"
        if self.max_it < 1:
            yield f"max_it is {self.max_it}: take at least 1"
        if not self.lag_factor >= 1.0:
            yield f"lag_factor is {self.lag_factor}: take at least 1"

    @property
    def label(self) -> str:
        """A short name for tables and ladders, "gcrodr+ilu"."""
        return f"{self.ksp}+{self.pc}"

    @property
    def direct(self) -> bool:
        """Whether a solve is a factorisation and two triangular solves."""
        return self.ksp == "preonly"

    @property
    def recycles(self) -> bool:
        """Whether a Krylov space passes from one system to the next."""
        return self.ksp == "gcrodr" and self.recycling is not False

    @property
    def carries(self) -> bool:
        """Whether anything of one solve could spoil the next."""
        return self.recycles or self.reuse == "lagged" or self.guess == "previous"

    @property
    def true_norm(self) -> bool:
        """Whether the method's own norm is that of the unpreconditioned residual."""
        return self.pc == "none" or self.ksp == "cg" or self.right

    @property
    def right(self) -> bool:
        """Whether the preconditioner stands on the right."""
        return self.side != "left" and self.ksp in ("gcrodr", "gmres", "fgmres")


_CHOICES = {
    "ksp": Method,
    "pc": Preconditioner,
    "side": Side,
    "factor_solver": FactorSolver,
    "guess": Guess,
    "reuse": Reuse,
}


def check_ranks(strategy: Strategy, ranks: int) -> None:
    """Refuse what doesn't run on several ranks. Raises ValueError."""
    if ranks > 1 and strategy.pc in _DIRECT and strategy.factor_solver == "petsc":
        raise ValueError(
            f"factor_solver 'petsc' with pc {strategy.pc!r} on {ranks} ranks: it is serial, "
            "take mumps or one rank a solve"
        )


def options(strategy: Strategy, ranks: int) -> dict[str, str]:
    """The PETSc options of a strategy, without prefix."""
    pc = strategy.pc
    inner = pc if pc in _SERIAL and ranks > 1 else None
    found = {"ksp_converged_use_initial_residual_norm": "true"}
    found |= {"pc_type": "bjacobi" if inner else pc}
    sub = "sub_" if inner or pc in ("bjacobi", "asm") else ""
    if inner:
        found |= {"sub_ksp_type": "preonly", "sub_pc_type": inner}
    if pc in _DIRECT:
        found["pc_factor_mat_solver_type"] = strategy.factor_solver
        if strategy.factor_solver == "petsc":
            found["pc_factor_mat_ordering_type"] = "nd"
    if pc == "icc":
        found[f"{sub}pc_factor_shift_type"] = "positive_definite"
    if pc == "asm" and strategy.ksp in _SYMMETRIC:
        found["pc_asm_type"] = "basic"  # the restricted variant is not symmetric
    return found
