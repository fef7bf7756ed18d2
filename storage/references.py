"""Publications of the methods and programs that data sets are made with."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DOLFINX", "GCRODR", "PETSC", "SKR", "SPON", "Reference"]


@dataclass(frozen=True)
class Reference:
    """A publication.

    Attributes:
        key: of BibTeX.
        kind: of BibTeX: "article", "inproceedings", "misc".
        authors: "Family, Given" each.
        title: without a period.
        year: of publication.
        where: journal, volume and pages, or proceedings.
        doi: without the address; "" if there is none.
        arxiv: its number; "" if there is none.
    """

    key: str
    kind: str
    authors: tuple[str, ...]
    title: str
    year: int
    where: str
    doi: str = ""
    arxiv: str = ""


SKR = Reference(
    "skr",
    "inproceedings",
    (
        "Wang, Hong",
        "Hao, Zhongkai",
        "Wang, Jie",
        "Geng, Zijie",
        "Wang, Zhen",
        "Li, Bin",
        "Wu, Feng",
    ),
    "Accelerating Data Generation for Neural Operators via Krylov Subspace Recycling",
    2024,
    "International Conference on Learning Representations (ICLR)",
    arxiv="2401.09516",
)
GCRODR = Reference(
    "gcrodr",
    "article",
    (
        "Parks, Michael L.",
        "de Sturler, Eric",
        "Mackey, Greg",
        "Johnson, Duane D.",
        "Maiti, Spandan",
    ),
    "Recycling Krylov Subspaces for Sequences of Linear Systems",
    2006,
    "SIAM Journal on Scientific Computing 28(5), 1651-1674",
    doi="10.1137/040607277",
)
DOLFINX = Reference(
    "dolfinx",
    "misc",
    (
        "Baratta, Igor A.",
        "Dean, Joseph P.",
        "Dokken, Jørgen S.",
        "Habera, Michal",
        "Hale, Jack S.",
        "Richardson, Chris N.",
        "Rognes, Marie E.",
        "Scroggs, Matthew W.",
        "Sime, Nathan",
        "Wells, Garth N.",
    ),
    "DOLFINx: The next generation FEniCS problem solving environment",
    2023,
    "Zenodo",
    doi="10.5281/zenodo.10447666",
)
PETSC = Reference(
    "petsc",
    "inproceedings",
    ("Balay, Satish", "Gropp, William D.", "McInnes, Lois Curfman", "Smith, Barry F."),
    "Efficient Management of Parallelism in Object Oriented Numerical Software Libraries",
    1997,
    "Modern Software Tools in Scientific Computing, Birkhäuser, 163-202",
)
SPON = Reference(
    "spon",
    "misc",
    ("Bouziani, Nacime", "Boullé, Nicolas"),
    "Structure-Preserving Operator Learning",
    2024,
    "arXiv",
    arxiv="2410.01065",
)
