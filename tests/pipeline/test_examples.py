"""Every file of `examples/`, small, from end to end; a new example joins by itself."""

from pathlib import Path

import pytest
import sympy
import yaml

from pipeline import stages
from pipeline.spec import load_spec
from storage import DataFolder, open_dataset

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SAMPLES = 3
COARSEST = {1: 8, 2: 4, 3: 2}  # cells along a side, by dimension
SIZES = {"disk": 0.4, "annulus": 0.3, "perforated_plate": 0.15, "channel_cylinder": 0.12}


def small(path):
    """Overrides for a few samples on a coarse mesh, from the keys of the spec's own mesh."""
    raw = yaml.safe_load(path.read_text())
    found = [f"samples={SAMPLES}", "train=null", "storage.shard_size=2"]
    mesh = raw["mesh"]
    if "resolution" in mesh:
        n = mesh["resolution"]
        if isinstance(n, list):
            found.append(f"mesh.resolution={[max(1, min(k, k // 8 or 2)) for k in n]}")
        else:
            found.append(f"mesh.resolution={min(n, 8)}")
    if "size" in mesh:
        found.append(f"mesh.size={max(mesh['size'], SIZES.get(mesh['domain'], 0.3))}")
    return found


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_from_end_to_end(path, tmp_path):
    spec = load_spec(path, small(path))
    stages.solve(spec, tmp_path, quiet=True)
    (place,) = (p for p in tmp_path.iterdir() if p.is_dir())
    folder = DataFolder(place)
    stages.finalise(spec, folder)
    result = stages.check(spec, folder, full=True)
    assert result.sound, result.as_dict()
    assert result.recomputed == SAMPLES
    dataset = open_dataset(place, verify=True)
    assert len(dataset) == SAMPLES and not dataset.manifest["failures"]
    assert dataset.column("solve/true_residual").max() <= spec.rtol
    assert (place / "previews" / "samples.png").stat().st_size > 1000
    assert_says_itself(dataset)


def assert_says_itself(dataset):
    """All texts of `manifest.problem` parse, and name nothing that the manifest doesn't explain."""
    said = dataset.manifest["problem"]
    assert said["strong"] and said["weak"]
    texts = [*said["strong"], *said["initial"], *(term["integrand"] for term in said["weak"])]
    for condition in said["boundary"]:
        texts += [*condition["value"], *condition["expression"]]
    known = {*said["symbols"], *said["outputs"], "x", "y", "z", "t", "dt", "h", "load"}
    for text in texts:
        parsed = sympy.sympify(text)
        names = {str(s) for s in parsed.free_symbols}
        names |= {f.func.__name__ for f in parsed.atoms(sympy.core.function.AppliedUndef)}
        for name in names:
            assert root_of(name, known) in known, f"{name} in {text}"


def root_of(name, known):
    """The symbol that a name belongs to: v_u_x and u_before_y are u's, n_x is the normal's."""
    if name in known or name in ("n_x", "n_y", "n_z"):
        return name if name in known else "x"
    bare = name.removeprefix("v_").replace("_before", "")
    while bare not in known and "_" in bare:
        bare = bare.rpartition("_")[0]
    return bare
