"""The data card: a README.md whose front matter Hugging Face reads, and whose text people read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.citation import SPDX, cite, title
from storage.exports.description import Facts, facts_of
from storage.exports.options import ExportOptions
from storage.exports.target import file_in, new_file

if TYPE_CHECKING:
    from storage.dataset import Dataset

__all__ = ["export_card"]

_SIZES: tuple[tuple[int, str], ...] = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
)
_SIZES += ((10**7, "1M<n<10M"), (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))
_MARKDOWN = "\\`*_[]<>|#"


def export_card(dataset: Dataset, out: Path, options: ExportOptions) -> list[Path]:
    """Write a `README.md` for the folder of the data set, or of the copy that is published.

    Args:
        dataset: the data set.
        out: the file, or the folder it goes into.
        options: `force`.

    Raises:
        StorageError: the file exists and `force` is False.
    """
    out = file_in(out, "README.md")
    facts = facts_of(dataset)
    text = f"---\n{_front_matter(dataset, facts)}---\n\n{_body(dataset, facts)}"
    with new_file(out, options.force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [out]


def _front_matter(dataset: Dataset, facts: Facts) -> str:
    """What the hub knows of a data set, as YAML.

    Its splits are files, ours are drawn by id: the shards are one split, "full".
    """
    import yaml

    tags = ["operator-learning", "partial-differential-equations", "finite-elements", "hdf5"]
    tags += [facts.family.replace("_", "-")] if facts.family else []
    tags += [f"{dataset.mesh['gdim']}d", str(dataset.mesh["cell_type"])]
    known = facts.licence in SPDX or facts.licence == "unknown"
    about: dict[str, Any] = {"pretty_name": title(dataset.manifest)}
    about |= {"license": facts.licence.lower() if known else "other"}
    about |= {} if known else {"license_name": facts.licence}
    size = next((name for most, name in _SIZES if facts.samples < most), "n>1B")
    about |= {"size_categories": [size], "tags": list(dict.fromkeys(tags))}
    about["configs"] = [
        {
            "config_name": "samples",
            "default": True,
            "data_files": [{"split": "full", "path": "shards/*.h5"}],
        }
    ]
    return yaml.safe_dump(about, sort_keys=False, allow_unicode=True)


def _body(dataset: Dataset, facts: Facts) -> str:
    sections = [
        f"# {_escaped(facts.folder)}",
        f"{facts.samples} samples. {_escaped(facts.summary)}",
        *_problem(facts),
        f"## Fields\n\n{_fields(facts)}\n\nMesh: {facts.mesh}.{_times(facts)}",
        f"## Splits\n\n{_splits(dataset, facts)}",
        f"## Verification\n\n{facts.verified}",
        f"## How to load\n\n{_loading(dataset, facts)}",
        f"## Licence and citation\n\nLicence: {_escaped(facts.licence)}. "
        f"Made with {facts.made}.\n\n"
        f"{_code(cite(dataset.manifest), 'bibtex')}",
    ]
    return "\n\n".join(sections) + "\n"


def _problem(facts: Facts) -> list[str]:
    if not facts.equations:
        return []
    lines = [f"{equation} = 0" for equation in facts.equations]
    text = f"## Problem\n\nIn the domain, as SymPy writes it:\n\n{_code(chr(10).join(lines))}"
    said = [f"- `{name}`: {_escaped(law)}" for name, law in facts.laws.items()]
    said += [f"- {_escaped(condition)}" for condition in facts.conditions]
    return [text, "\n".join(said)]


def _fields(facts: Facts) -> str:
    rows = ["| field | role | space | unknowns | units | |", "|---|---|---|---|---|---|"]
    for name, field in facts.fields.items():
        cells = [field[key] for key in ("role", "space", "unknowns", "units", "description")]
        rows.append("| " + " | ".join([f"`{name}`", *(_escaped(str(c)) for c in cells)]) + " |")
    return "\n".join(rows)


def _times(facts: Facts) -> str:
    return f" {facts.times} time steps." if facts.times else ""


def _splits(dataset: Dataset, facts: Facts) -> str:
    if not facts.splits:
        return "None are drawn."
    rule = dataset.manifest["splits"]
    counts = ", ".join(f"{name} {count}" for name, count in facts.splits.items())
    return (
        f"{counts}. A sample's split is drawn by a hash of (seed {rule['seed']}, id): shards hold "
        "samples in the order of solving, in which neighbours are alike, so a split by position "
        "would be biased. Normalise all splits by the statistics of the training split "
        "(`statistics` in manifest.json)."
    )


def _loading(dataset: Dataset, facts: Facts) -> str:
    given = next((n for n, f in facts.fields.items() if f["role"] == "input"), "a")
    space = next((f["space"] for f in facts.fields.values() if f["role"] == "output"), "P1")
    ours = (
        "from rekrylov import open_dataset\n\n"
        f'data = open_dataset("{facts.folder}")  # NumPy and h5py only\n'
        f'train = data.split("train")\n'
        f'sample = train[0]  # {{"id": …, "{given}": …}}: coefficients\n'
        f'mass = data.spaces["{space}"]["grams/mass"]  # ‖u‖² = uᵀ M u\n'
        "samples = train.torch()  # a PyTorch data set\n"
    )
    plain = (
        "import h5py\n\n"
        f'with h5py.File("shards/{_first(dataset)}") as shard:\n'
        f'    {given} = shard["inputs/{given}"][:]  # (samples, unknowns)\n'
    )
    hub = (
        "from datasets import load_dataset\n\n"
        'rows = load_dataset("path or name of this data set", "samples", split="full")\n'
        f'{given} = rows[0]["inputs"]["{given}"]\n'
    )
    return "\n\n".join(
        [
            f"With Rekrylov:\n\n{_code(ours, 'python')}",
            f"A shard is plain HDF5, the samples on the first axis:\n\n{_code(plain, 'python')}",
            "Hugging Face's `datasets` reads the coefficients, sample by sample in the order of "
            "the shards; meshes, spaces and splits are in `spaces.h5` and `manifest.json`, which "
            f"it doesn't read:\n\n{_code(hub, 'python')}",
        ]
    )


def _first(dataset: Dataset) -> str:
    return str(next((shard["file"] for shard in dataset.manifest["shards"]), "0000-000000.h5"))


def _code(text: str, language: str = "") -> str:
    """A block of code whose fence is longer than any in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _escaped(text: str) -> str:
    """Text in one line, whose marks are no Markdown and no HTML."""
    return "".join(f"\\{c}" if c in _MARKDOWN else c for c in " ".join(text.split()))
