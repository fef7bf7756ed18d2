"""The picture of `benchmarks.skr`: GMRES over SKR in iterations and in time, beside the paper's."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.skr_paper import HEADLINES, PCS, paper_ratio

__all__ = ["plot"]

TOLERANCE = {"darcy": 1e-8, "helmholtz": 1e-7, "thermal": 1e-8, "poisson": 1e-8}
SERIES = {  # by the set's name: label, colour
    "-released": ("this project, released matrices", "#1f5aa6"),
    "": ("this project, true operator", "#d1670b"),
}
PAPER = ("the paper", "#8a8a8a")


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw one column a set of the paper, iterations above, time below.

    Of each set the rows on one rank are drawn whose size and tolerance are nearest to the paper's.

    Args:
        rows: As `skr_run` writes them.
        path: Where the PNG goes.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    words = [w for w in HEADLINES if any(r["set"].split("-")[0] == w for r in rows)]
    figure, axes = plt.subplots(
        2, len(words), figsize=(3.3 * len(words) + 0.6, 5.6), sharex=True, squeeze=False
    )
    for column, word in enumerate(words):
        _column(axes[:, column], word, rows)
    axes[0, 0].set_ylabel("iterations, GMRES(40) / SKR")
    axes[1, 0].set_ylabel("time, GMRES(40) / SKR")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if any(r["gmres_failed"] for r in rows):
        label = "at least: GMRES reached 10,000 its."
        handles[label] = plt.Line2D([], [], color="#444444", marker="^", linestyle="none")
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _column(axes: Any, word: str, rows: list[dict[str, Any]]) -> None:
    """Fill both panels of one set."""
    tol = TOLERANCE[word]
    paper = [paper_ratio(word, HEADLINES[word], pc, tol) for pc in PCS]
    places = np.arange(len(PCS))
    title = f"{word.capitalize()}\npaper: n = {HEADLINES[word]}, rtol {tol:.0e}"
    for which, axis in enumerate(axes):
        values = [p[1 - which] if p else np.nan for p in paper]
        axis.plot(places, values, "s", color=PAPER[1], label=PAPER[0], markersize=6)
        axis.axhline(1.0, color="#bbbbbb", linewidth=0.8)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axis.yaxis.set_minor_formatter(lambda v, _: f"{v:g}" if f"{v:.0e}"[0] in "235" else "")
        axis.grid(axis="y", which="both", color="#eeeeee")
        axis.set_axisbelow(True)
        axis.set_xticks(places, PCS, rotation=45, ha="right")
    for suffix, (label, colour) in SERIES.items():
        chosen = nearest_rows([r for r in rows if r["set"] == word + suffix], word)
        if not chosen:
            continue
        title += f"\n{label.split(', ')[1]}: n = {chosen[0]['n']}, rtol {chosen[0]['tol']:.0e}"
        for row in chosen:
            place = PCS.index(row["pc"]) + (0.22 if suffix else -0.22)
            marker = "^" if row["gmres_failed"] else "o"
            for axis, unit in zip(axes, ("its", "ms"), strict=True):
                ratio = row[f"gmres_{unit}"] / row[f"sorted_{unit}"]
                axis.plot(place, ratio, marker, color=colour, markersize=6)
        axes[0].plot([], [], "o", color=colour, label=label)
    axes[0].set_title(title, fontsize=9)


def nearest_rows(rows: list[dict[str, Any]], word: str) -> list[dict[str, Any]]:
    """The rows on one rank at the size and then the tolerance nearest to the paper's.

    Where most preconditioners were run comes first; of a preconditioner, the longest sequence.
    """
    groups: dict[tuple[int, float], dict[str, dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda r: r["systems"]):
        if row["ranks"] == 1:
            groups.setdefault((row["n"], row["tol"]), {})[row["pc"]] = row

    def badness(key: tuple[int, float]) -> tuple[int, float, float]:
        away = abs(np.log(key[0] / HEADLINES[word])), abs(np.log(key[1] / TOLERANCE[word]))
        return -len(groups[key]), float(away[0]), float(away[1])

    return list(groups[min(groups, key=badness)].values()) if groups else []
