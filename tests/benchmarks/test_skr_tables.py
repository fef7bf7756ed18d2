"""From raw rows to tables, verdicts, the picture and the page of `benchmarks.skr`."""

import pytest

from benchmarks.skr_docs import BEGIN, END, markdown, shown, write_docs
from benchmarks.skr_goals import goals
from benchmarks.skr_numbers import AtLeast, ratio
from benchmarks.skr_paper import HEADLINES, PCS, TOLERANCES, paper_ratio
from benchmarks.skr_plot import nearest_rows, plot


def row(set="darcy-released", n=6400, pc="none", tol=1e-8, ranks=1, systems=4, **changes):
    made = dict(
        set=set, n=n, pc=pc, tol=tol, ranks=ranks, systems=systems, side="left", sort_ms=0.1
    )
    for method, its, ms in (
        ("gmres", 2000.0, 60.0),
        ("cold", 110.0, 11.0),
        ("recycled", 105.0, 10.5),
        ("sorted", 100.0, 10.0),
    ):
        made |= {f"{method}_its": its, f"{method}_ms": ms, f"{method}_failed": 0}
        made[f"{method}_residual"] = 9e-9
    return made | changes


def test_bounds_are_printed_as_bounds_and_compare_as_numbers():
    assert f"{AtLeast(12.345):.3g}" == "≥12.3" and f"{12.345:.3g}" == "12.3"
    assert AtLeast(20.0) >= 19 and max(AtLeast(2.0), 3.0) == 3.0
    assert f"{ratio(row(), 'its'):.3g}" == "20"
    assert f"{ratio(row(gmres_failed=1), 'ms'):.3g}" == "≥6"


def test_a_shown_row_has_ratios_failures_and_the_papers():
    made = shown(row(gmres_failed=2, recycled_residual=3e-8))
    assert made["failed"] == "2/0/0/0"
    assert made["paper"] == "2.7 / 19.1"
    assert made["GCRO-DR residual"] == 3e-8
    assert "≥2,000" in markdown([made])
    assert shown(row(n=2500))["paper"] == "–"


@pytest.mark.parametrize(
    ("name", "n", "pc", "tol", "expected"),
    [
        ("helmholtz-released", 10_000, "asm", 1e-7, (13.9, 30.0)),
        ("thermal", 11_611, "sor", 1e-11, (2.62, 10.2)),  # within 10 %
        ("poisson", 71_289, "icc", 1e-5, (0.99, 3.92)),
        ("darcy", 10_000, "none", 1e-8, None),
        ("darcy", 6400, "none", 1e-11, None),
    ],
)
def test_the_papers_figures_are_found(name, n, pc, tol, expected):
    assert paper_ratio(name, n, pc, tol) == expected


def test_the_papers_table_is_complete():
    assert TOLERANCES["helmholtz"] == (1e-2, 1e-5, 1e-7)
    for word, n in HEADLINES.items():
        assert all(paper_ratio(word, n, pc, tol) for pc in PCS for tol in TOLERANCES[word])


def verdicts(*rows):
    return {g["goal"]: g["verdict"] for g in goals(list(rows))}


def test_verdicts_follow_the_figures():
    found = verdicts(row(), row(set="helmholtz-released", n=10_000, tol=1e-7))
    assert found["released Darcy, n = 6400, none, 1e-8: iterations"] == "yes"
    assert found["released Darcy, n = 6400, none, 1e-8: time"] == "yes"
    assert [v for k, v in found.items() if "Helmholtz" in k] == ["NO"]  # 6 < 13.9
    assert [v for k, v in found.items() if "failures" in k] == ["yes"]
    slow = verdicts(row(gmres_its=1800.0, gmres_ms=40.0, sorted_failed=1))
    assert list(slow.values()) == ["NO", "NO", "NO"]


def test_verdicts_take_the_longest_sequence_on_one_rank():
    found = goals(
        [row(systems=40), row(gmres_its=100.0), row(ranks=2, systems=80, gmres_its=100.0)]
    )
    assert found[0]["found"] == "20.0"


def test_microseconds_have_a_verdict_at_their_sizes_only():
    names = [k for k in verdicts(row(n=2500), row(n=6400), row(n=10_000, tol=1e-5))]
    assert [n for n in names if "µs" in n] == [
        "released Darcy, n = 2500, none: µs an iteration",
        "released Darcy, n = 10000, none: µs an iteration",
    ]
    slow = goals([row(n=2500, recycled_ms=9.0)])
    assert [g["verdict"] for g in slow if "µs" in g["goal"]] == ["NO"]  # 85.7 µs


def test_the_picture_takes_rows_nearest_to_the_papers(tmp_path):
    rows = [row(pc=pc, n=n) for pc in PCS for n in (2500, 6400)]
    rows += [row(pc="none", systems=40, gmres_its=9.0), row(ranks=2, systems=80), row(n=10_000)]
    chosen = nearest_rows(rows, "darcy")
    assert {r["n"] for r in chosen} == {6400} and [r["pc"] for r in chosen] != []
    assert sorted(r["pc"] for r in chosen) == sorted(PCS)
    assert next(r for r in chosen if r["pc"] == "none")["systems"] == 40
    plot([*rows, row(set="darcy"), row(set="thermal", n=2625, gmres_failed=1)], tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"


def test_a_page_keeps_what_is_outside_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nearlier\n{END}\nafter\n")
    for _ in range(2):
        write_docs(page, [shown(row())], [], goals([row()]), "side. ")
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert "earlier" not in text and text.count("### darcy-released") == 1 and "### Goals" in text


def test_a_page_without_markers_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{END}{BEGIN}")
    with pytest.raises(ValueError, match="put them in"):
        write_docs(page, [shown(row())], [], [], "")
    assert page.read_text() == f"{END}{BEGIN}"
