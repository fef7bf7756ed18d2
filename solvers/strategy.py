"""How to solve a stream of systems, as data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from solvers.gcrodr import GCRODR

Method = Literal["gcrodr", "gmres", "fgmres", "cg", "deflated_cg", "minres", "preonly"]
Preconditioner = Literal[
    "none", "jacobi", "bjacobi", "sor", "asm", "icc", "ilu", "gamg", "mg", "cholesky", "lu"
]
Side = Literal["auto", "left", "right"]
FactorSolver = Literal["mumps", "petsc"]
Guess = Literal["zero", "previous", "pod", "fischer", "superposition"]
Reuse = Literal["fresh", "lagged", "frozen"]
Scaling = Literal["none", "diagonal"]
Block = Literal[1, 16]

_SYMMETRIC = ("cg", "deflated_cg", "minres")
_DIRECT = ("cholesky", "lu")
_RECYCLING = ("gcrodr", "deflated_cg")
_BLOCKS = [
    *(("preonly", pc, "fresh") for pc in _DIRECT),
    *(("cg", pc, reuse) for pc in ("cholesky", "gamg", "mg") for reuse in ("frozen", "lagged")),
]
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
        guess: Start from zero, from the previous solution, or from a projection on the last ten
            solutions: "pod" for operators that change, "fischer" for one that doesn't (KSPGuess);
            "superposition" of earlier solutions, taken as it is where it is good enough.
        reuse: "fresh" sets the preconditioner up for each new matrix; "lagged" keeps it until a
            solve fails or the time lost with it reaches the time of a set-up (`solvers.lag`);
            "frozen" keeps the first one, of the block's mean operator where there are blocks.
        recycling: Carry the space of gcrodr and deflated_cg to the next system; None is True.
        scaling: "diagonal" preconditions the systems D A D with D = diag(A)^-1/2, which takes a
            smooth coefficient out of an elliptic operator but for a term of order zero (P. Concus,
            G. H. Golub, SIAM J. Numer. Anal. 10 (1973) 1103). Blocks only.
        block: Systems solved together, one in each vector lane: 1, or 16 on one rank.
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
    recycling: bool | None = None
    scaling: Scaling = "none"
    block: Block = 1
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
                yield f"{name} is {value!r}: take one of {', '.join(map(str, allowed))}"
        if self.ksp == "preonly" and self.pc not in _DIRECT:
            yield f"ksp 'preonly' with pc {self.pc!r}: a direct solve needs pc cholesky or lu"
        if self.ksp == "preonly" and self.reuse != "fresh":
            yield f"ksp 'preonly' with reuse {self.reuse!r}: an old factor needs cg or gmres around"
        if self.ksp in _SYMMETRIC and self.side == "right":
            yield f"ksp {self.ksp!r} with side 'right': it has the left side only, take auto"
        if self.ksp == "fgmres" and self.side == "left":
            yield "ksp 'fgmres' with side 'left': it has the right side only, take auto"
        if self.recycling and self.ksp not in _RECYCLING:
            yield f"recycling with ksp {self.ksp!r}: only gcrodr and deflated_cg recycle"
        if self.ksp == "gcrodr":
            try:
                GCRODR(self.restart, self.recycle)
            except ValueError as error:
                yield str(error)
        if self.restart < 1:
            yield f"restart is {self.restart}: take at least 1"
        if self.max_it < 1:
            yield f"max_it is {self.max_it}: take at least 1"
        if self.block == 1 and self.scaling != "none":
            yield f"scaling {self.scaling!r} with block 1: only blocks are scaled"
        if self.block in get_args(Block)[1:]:
            yield from self._block_mistakes()

    def _block_mistakes(self) -> Iterator[str]:
        if (self.ksp, self.pc, self.reuse) not in _BLOCKS:
            allowed = "; ".join(" + ".join(b) for b in _BLOCKS)
            yield (
                f"block {self.block} with ksp {self.ksp!r}, pc {self.pc!r}, reuse {self.reuse!r}: "
                f"blocks have {allowed}"
            )
        if self.guess != "zero":
            yield f"block {self.block} with guess {self.guess!r}: blocks start from zero"

    @property
    def label(self) -> str:
        """A short name for tables and ladders, "gcrodr+ilu", "16 × cg+frozen cholesky, scaled"."""
        pc = self.pc if self.reuse == "fresh" else f"{self.reuse} {self.pc}"
        block = "" if self.block == 1 else f"{self.block} × "
        package = f" ({self.factor_solver})" if self.pc in _DIRECT and self.block == 1 else ""
        scaled = ", scaled" if self.scaling != "none" else ""
        guess = "" if self.guess == "zero" else f", guess {self.guess}"
        return f"{block}{self.ksp}+{pc}{package}{scaled}{guess}"

    @property
    def direct(self) -> bool:
        """Whether a solve is a factorisation and two triangular solves."""
        return self.ksp == "preonly"

    @property
    def recycles(self) -> bool:
        """Whether a Krylov space passes from one system to the next."""
        return self.ksp in _RECYCLING and self.recycling is not False

    @property
    def carries(self) -> bool:
        """Whether anything of one solve could spoil the next."""
        return self.recycles or self.reuse != "fresh" or self.guess != "zero"

    @property
    def true_norm(self) -> bool:
        """Whether the method's own norm is that of the unpreconditioned residual."""
        return self.pc == "none" or self.ksp in ("cg", "deflated_cg") or self.right

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
    "scaling": Scaling,
    "block": Block,
}


_GUESSES = {
    "pod": {"ksp_guess_type": "pod", "ksp_guess_pod_size": "10"},
    "fischer": {"ksp_guess_type": "fischer", "ksp_guess_fischer_model": "1,10"},
}


def check_ranks(strategy: Strategy, ranks: int) -> None:
    """Refuse what doesn't run on several ranks. Raises ValueError."""
    if ranks > 1 and strategy.pc in _DIRECT and strategy.factor_solver == "petsc":
        raise ValueError(
            f"factor_solver 'petsc' with pc {strategy.pc!r} on {ranks} ranks: it is serial, "
            "take mumps or one rank a solve"
        )
    if ranks > 1 and strategy.block > 1:
        raise ValueError(
            f"block {strategy.block} on {ranks} ranks: blocks are serial, take block 1 or one rank "
            "a solve"
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
    if pc == "mg":
        found |= {"pc_mg_galerkin": "both", "mg_levels_pc_type": "sor"}
        # Chebyshev's eigenvalue estimates would be those of the first matrix
        found |= {"mg_levels_ksp_type": "richardson", "mg_levels_ksp_max_it": "1"}
    if pc == "icc":
        found[f"{sub}pc_factor_shift_type"] = "positive_definite"
    found |= _GUESSES.get(strategy.guess, {})
    if pc == "asm" and strategy.ksp in _SYMMETRIC:
        found["pc_asm_type"] = "basic"  # the restricted variant is not symmetric
    return found
