"""The tables of the SKR paper as data: GMRES / SKR, time ratio and iteration ratio.

Wang, Hao, Wang, Geng, Wang, Li, Wu, "Accelerating Data Generation for Neural Operators via Krylov
Subspace Recycling", ICLR 2024, arXiv 2401.09516, its main table of four sets. 100 systems an
experiment; the time is that of a whole run of the solver, sorting and assembly left out.
"""

__all__ = ["HEADLINES", "PCS", "TOLERANCES", "paper_ratio"]

PCS = ("none", "jacobi", "bjacobi", "sor", "asm", "icc", "ilu")

HEADLINES = {"darcy": 6400, "helmholtz": 10_000, "thermal": 11_063, "poisson": 71_313}
"""Unknowns in the paper's table, by the first word of our sets' names."""

_TABLE = {
    ("darcy", 1e-2): "2.62/19.2 2.88/22.6 3.21/23.6 2.69/23.3 2.23/13.4 1.97/9.55 1.93/9.44",
    ("darcy", 1e-5): "2.92/21.1 3.42/24.5 4.07/28.6 3.45/27.9 3.66/22.2 3.18/14.9 3.08/14.4",
    ("darcy", 1e-8): "2.70/19.1 3.09/22.9 4.00/27.5 3.54/27.5 4.53/25.8 4.11/18.9 3.70/17.2",
    ("thermal", 1e-5): "4.53/20.8 3.32/15.0 2.38/10.3 1.96/8.76 2.46/10.3 2.40/10.3 2.35/10.3",
    ("thermal", 1e-8): "5.35/23.6 3.06/13.5 2.73/11.1 2.34/9.30 2.83/11.1 2.77/11.1 2.69/11.1",
    ("thermal", 1e-11): "5.47/24.9 2.93/12.8 3.05/11.7 2.62/10.2 3.14/11.7 3.08/11.7 3.01/11.7",
    ("poisson", 1e-5): "1.27/4.69 1.28/4.68 1.13/3.87 1.19/4.05 1.46/3.93 0.99/3.92 0.98/3.92",
    ("poisson", 1e-8): "1.74/6.29 1.75/6.30 1.19/3.97 1.35/4.45 1.94/4.83 1.32/4.83 1.30/4.87",
    ("poisson", 1e-11): "1.90/6.83 1.91/6.82 1.19/3.95 1.33/4.35 2.12/5.11 1.42/5.13 1.38/5.13",
    ("helmholtz", 1e-2): "7.74/17.3 8.44/20.3 8.83/21.5 8.37/22.3 10.6/25.4 4.77/21.4 3.88/17.6",
    ("helmholtz", 1e-5): "7.61/16.5 8.62/20.0 11.4/26.5 10.5/26.2 13.1/29.3 6.38/28.3 6.13/27.2",
    ("helmholtz", 1e-7): "6.47/13.7 7.96/18.1 11.3/26.2 10.6/25.9 13.9/30.0 6.72/29.3 6.34/28.0",
}

TOLERANCES = {word: tuple(t for w, t in _TABLE if w == word) for word in HEADLINES}
"""The paper's, by the first word of a set."""

_NEAR = 0.1


def paper_ratio(name: str, n: int, pc: str, tol: float) -> tuple[float, float] | None:
    """Return (time, iterations) of the paper for a set of ours, None where it has no such row.

    Sizes match within 10 %: our meshes are not the paper's.
    """
    word = name.split("-")[0]
    cells = _TABLE.get((word, tol))
    if cells is None or pc not in PCS or abs(n / HEADLINES[word] - 1) > _NEAR:
        return None
    time, iterations = cells.split()[PCS.index(pc)].split("/")
    return float(time), float(iterations)
