"""What a system costs to assemble: by the forms, and by sparse products where they apply.

`python -m benchmarks.assembly [--squares 64 128 256] [--cube 32] [--samples 12]`

For each family and mesh the shortest of the samples' times, A and b together; the data of each
sample are new. "PETSc" is DOLFINx' assembly through PETSc's functions, as its demos have it, A anew
each time; "forms" is what is used before there are products, and where there are none ("-": the
family isn't affine in its data). The set-up of the products is counted in assemblies by the forms,
their bytes in those of the matrix. Times are CPU times of the one thread.
"""

import time
from typing import Any

from benchmarks.report import parser, report

LOG = {"law": "lognormal", "field": {"kind": "cosine", "sigma": 1.0}}
FIELD = {"law": "gaussian", "field": {"kind": "cosine"}}
NUMBER = {"law": "uniform", "low": 0.1, "high": 0.4}
P2 = {"family": "P", "degree": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "darcy": {"family": "darcy", "coefficient": LOG},
    "darcy, f and g random": {
        "family": "darcy",
        "coefficient": LOG,
        "source": FIELD,
        "boundary": FIELD,
    },
    "darcy, a in DG0": {"family": "darcy", "coefficient": {"law": "two_phase"}},
    "darcy, P2": {"family": "darcy", "coefficient": LOG, "output_space": P2},
    "poisson, f random": {"family": "poisson", "source": FIELD},
    "elasticity": {"family": "elasticity", "modulus": LOG},
    "curl_curl": {"family": "curl_curl", "reluctivity": LOG},
    "convection, no SUPG": {
        "family": "convection_diffusion",
        "diffusivity": NUMBER,
        "velocity_x": FIELD,
        "stabilise": False,
    },
    "helmholtz, k random": {"family": "helmholtz", "wave_number": LOG},
}


def measure(problem: dict[str, Any], mesh: dict[str, Any], samples: int) -> dict[str, Any]:
    """Milliseconds, set-up and bytes of one family on one mesh."""
    from mpi4py import MPI

    from meshes.problem import _PATIENCE
    from pipeline.discretisation import Discretisation
    from pipeline.sampler import Sampler
    from pipeline.spaces import spaces_tree
    from pipeline.spec import parse_spec

    count = _PATIENCE + samples
    spec = parse_spec(
        {"name": "assembly", "samples": count, "seed": 1, "problem": problem, "mesh": mesh}
    )
    tree = spaces_tree(spec)
    there, sampler = Discretisation(spec, tree, MPI.COMM_SELF), Sampler(spec, tree)
    reference, seconds, plain = Petsc(there.problem), [], []
    for i in range(count):
        there.set(sampler.inputs(i))
        start = time.process_time()
        there.problem.assemble()
        seconds.append(time.process_time() - start)
        if i < _PATIENCE:
            start = time.process_time()
            reference.assemble()
            plain.append(time.process_time() - start)
    forms, products = min(seconds[: _PATIENCE - 1]), min(seconds[_PATIENCE:])
    affine = there.problem._affine
    matrix = 12 * there.problem.A.getInfo()["nz_used"]
    return {
        "n": there.problem.free.size,
        "PETSc ms": 1e3 * min(plain),
        "forms ms": 1e3 * forms,
        "products ms": "-" if affine is None else 1e3 * products,
        "set-up, assemblies": "-" if affine is None else (seconds[_PATIENCE - 1] - forms) / forms,
        "MB": "-" if affine is None else affine.bytes / 1e6,
        "matrices": "-" if affine is None else affine.bytes / matrix,
    }


class Petsc:
    """A and b of a problem by DOLFINx' functions for PETSc, in place."""

    def __init__(self, problem: Any) -> None:
        import dolfinx.fem.petsc as fem_petsc

        self.problem = problem
        self.A = fem_petsc.create_matrix(problem._a)
        self.b = fem_petsc.create_vector(problem.W)

    def assemble(self) -> None:
        """Assemble both for the present data."""
        import dolfinx.fem.petsc as fem_petsc

        a, bcs = self.problem._a, self.problem.dirichlet.bcs
        self.A.zeroEntries()
        fem_petsc.assemble_matrix(self.A, a, bcs=bcs)
        self.A.assemble()
        self.b.set(0.0)
        fem_petsc.assemble_vector(self.b, self.problem._L)
        fem_petsc.apply_lifting(self.b, [a], bcs=[bcs])
        for bc in bcs:
            bc.set(self.b.array_w)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--squares", type=int, nargs="*", default=[64, 128, 256])
    arguments.add_argument("--cube", type=int, nargs="*", default=[32])
    arguments.add_argument("--samples", type=int, default=12)
    asked = arguments.parse_args()
    meshes: dict[str, Any] = {
        f"{n}²": {"domain": "unit_square", "resolution": n} for n in asked.squares
    }
    meshes |= {f"{n}³": {"domain": "box", "resolution": [n, n, n]} for n in asked.cube}
    rows = []
    for name, problem in FAMILIES.items():
        for mesh, keys in meshes.items():
            if mesh.endswith("³") and "P2" in name:
                keys = keys | {"resolution": [n // 2 for n in keys["resolution"]]}
                mesh = f"{keys['resolution'][0]}³"
            found = measure(problem, keys, asked.samples)
            rows.append({"family": name, "mesh": mesh, **found})
            print(rows[-1], flush=True)
    report("assembly", rows, asked.results, note="One core, CPU time; the shortest of the samples.")


if __name__ == "__main__":
    main()
