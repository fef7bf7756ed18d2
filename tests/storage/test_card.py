"""The data card: its front matter for the hub, its text for people, its shards for `datasets`."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml
from synthetic import KEY, make_dataset

from storage import DataFolder, StorageError, build_manifest, open_dataset
from storage.exports import FORMATS, ExportOptions

EVIL = (
    "</script><img src=x onerror=alert(1)> | `x` *y* [z](javascript:1)\n# title\n---\nlicense: mit"
)
COMMON = {
    "name": "darcy",
    "data_key": KEY,
    "rtol": 1e-8,
    "licence": "CC-BY-4.0",
    "citation": "",
    "problem": {
        "family": "darcy",
        "description": "−∇·(a ∇u) = f in Ω.",
        "strong": ["-f - a*Derivative(u(x), x)"],
        "boundary": [{"type": "dirichlet", "where": "left", "expression": ["u - (g)"]}],
        "symbols": {"a": {"meaning": "permeability", "units": "m^2", "law": {"law": "lognormal"}}},
    },
}


def card(root, common=COMMON, kind="scalar", **options):
    folder = make_dataset(root, kind, **options)
    build_manifest(DataFolder(folder), common, split_seed=1)
    (path,) = FORMATS["card"](open_dataset(folder), folder, ExportOptions())
    assert path == folder / "README.md"
    return folder, path.read_text(encoding="utf-8")


def front_matter(text):
    found = re.match(r"---\n(.*?)\n---\n", text, re.S)
    return yaml.safe_load(found[1]), text[found.end() :]


def test_it_says_what_a_reader_asks_for(tmp_path):
    folder, text = card(tmp_path, failed=(5,))
    about, body = front_matter(text)
    assert about["license"] == "cc-by-4.0" and about["size_categories"] == ["n<1K"]
    assert {"operator-learning", "darcy", "2d", "triangle"} <= set(about["tags"])
    for wanted in (
        "23 samples",
        "-f - a*Derivative(u(x), x) = 0",
        "dirichlet on left: u - (g) = 0",
        "permeability \\[m^2\\], random: lognormal",
        "| `u` | output | p1 | 25 |",
        "at most 1e-08 was allowed, 1.00e-09 is the largest",
        "left out: 1",
        f'open_dataset("{folder.name}")',
        "@misc{darcy_0123456789",
    ):
        assert wanted in body, wanted
    counts = {
        name: len(open_dataset(folder).split(name)) for name in ("train", "validation", "test")
    }
    assert ", ".join(f"{name} {n}" for name, n in counts.items()) + ". A sample's split" in body


def test_its_python_runs(tmp_path):
    folder, text = card(tmp_path)
    ours, plain = re.findall(r"```python\n(.*?)```", text, re.S)[:2]
    script = f"{ours}\nassert len(train) and mass.shape\nimport os; os.chdir('{folder.name}')\n"
    script += f"{plain}\nassert a.shape[1] == 25\n"
    done = subprocess.run(
        [sys.executable, "-c", script.replace("samples = train.torch()", "")],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_names_and_texts_are_only_text(tmp_path):
    problem = COMMON["problem"] | {"description": EVIL, "strong": ["```\n<script>", "u"]}
    changes = {"problem": problem, "licence": EVIL, "name": EVIL, "citation": f"```{EVIL}"}
    _, text = card(tmp_path, COMMON | changes)
    about, body = front_matter(text)
    assert about["license"] == "other" and about["license_name"] == EVIL
    outside = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", body, flags=re.S | re.M)
    assert not re.search(r"(?<!\\)<", outside) and "\n# title" not in outside
    assert len(re.findall(r"^# ", outside, re.M)) == 1


def test_it_is_not_replaced_unasked(tmp_path):
    folder, text = card(tmp_path)
    with pytest.raises(StorageError, match="exists"):
        FORMATS["card"](open_dataset(folder), folder, ExportOptions())
    FORMATS["card"](open_dataset(folder), folder / "OTHER.md", ExportOptions())
    assert (folder / "OTHER.md").read_text() == text


def test_the_hub_reads_it(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    folder, _ = card(tmp_path)
    read = hub.DatasetCard.load(folder / "README.md")
    assert read.data.license == "cc-by-4.0" and read.data.configs[0]["config_name"] == "samples"
    assert read.data.pretty_name.startswith("darcy: 24 solved")


def test_datasets_loads_the_shards(tmp_path):
    pytest.importorskip("datasets")
    folder, _ = card(tmp_path, kind="mixed")
    script = (
        "import numpy as np, sys\nfrom datasets import load_dataset\n"
        f"rows = load_dataset({str(folder)!r}, 'samples', split='full')\n"
        "columns = [rows['samples'], rows['inputs'], rows['outputs']]\n"
        "np.savez(sys.argv[1], id=[r['id'] for r in columns[0]], a=[r['a'] for r in columns[1]],"
        " velocity=[r['velocity'] for r in columns[2]])\n"
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "read.npz")],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | offline,
    )
    assert done.returncode == 0, done.stderr
    read, dataset = np.load(tmp_path / "read.npz"), open_dataset(folder)
    assert sorted(read["id"].tolist()) == dataset.ids.tolist()
    order = np.argsort(read["id"])
    for name in ("a", "velocity"):
        assert np.array_equal(read[name][order], dataset.read(name))
