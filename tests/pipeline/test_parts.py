"""`rekrylov solve --part K/N`: parts that solve one data set without knowing of each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import assert_same, assert_sound, committed, folder_of, samples

from pipeline import stages
from pipeline.chains import Batch, Part, all_batches, missing_batches
from pipeline.spec import data_key, load_spec
from storage import read_records

pytestmark = pytest.mark.timeout(120)


def batches_of(sizes):
    """Batches of one segment with the given numbers of samples."""
    ends = np.cumsum([0, *sizes])
    return [Batch(0, k, np.arange(ends[k], ends[k + 1]), int(ends[k])) for k in range(len(sizes))]


def keys(batches):
    return [(batch.segment, batch.index) for batch in batches]


def parts(count):
    return [Part(k, count) for k in range(1, count + 1)]


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 60))
def test_parts_are_disjoint_contiguous_and_cover_everything(sizes, count):
    batches = batches_of(sizes)
    in_a_row = [key for part in parts(count) for key in keys(part.of(batches))]
    assert in_a_row == keys(batches)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 60))
def test_parts_are_even_up_to_a_batch(sizes, count):
    work = [sum(len(b.ids) for b in part.of(batches_of(sizes))) for part in parts(count)]
    assert max(abs(each - sum(sizes) / count) for each in work) <= max(sizes)


@pytest.mark.parametrize(("text", "part"), [("1/1", Part(1, 1)), ("3/10", Part(3, 10))])
def test_what_a_part_is_called(text, part):
    assert Part.parse(text) == part
    assert str(part) == text


@pytest.mark.parametrize(
    "text", ["", "3", "0/3", "4/3", "-1/3", "1/0", "1/3/5", "1 /3", "a/b", "٣/٤"]
)
def test_bad_values(text):
    with pytest.raises(ValueError, match=r"expected K/N with 1 <= K <= N, for example 3/10"):
        Part.parse(text)


def test_a_part_stays_the_same_whatever_is_solved(spec, tmp_path):
    parsed = load_spec(spec, [])
    stages.solve(parsed, tmp_path, quiet=True, part=Part(2, 3))
    folder, key = folder_of(tmp_path), data_key(parsed)
    solved = folder.committed()
    assert solved == set(keys(Part(2, 3).of(all_batches(folder))))
    left = [keys(missing_batches(folder, parsed.ids, key, part=part)) for part in parts(3)]
    first, last = (keys(part.of(all_batches(folder))) for part in (Part(1, 3), Part(3, 3)))
    assert left == [first, [], last]
    (half,) = (set(keys(missing_batches(folder, parsed.ids, key, part=p))) for p in [Part(1, 2)])
    assert half == set(keys(Part(1, 2).of(all_batches(folder)))) - solved


def test_a_part_leaves_out_what_is_not_asked_for(spec, tmp_path):
    stages.solve(load_spec(spec, []), tmp_path, quiet=True, part=Part(1, 12))
    few = load_spec(spec, ["samples=5"])
    folder, key = folder_of(tmp_path), data_key(few)
    expected = {
        (b.segment, b.index)
        for b in missing_batches(folder, load_spec(spec, []).ids, key)
        if min(b.ids) < 5
    }
    found = [keys(missing_batches(folder, few.ids, key, part=part)) for part in parts(4)]
    assert {each for part in found for each in part} == expected


def test_parts_one_after_the_other_make_the_data_set(rekrylov, spec, tmp_path):
    parsed, whole, root = load_spec(spec, []), tmp_path / "whole", tmp_path / "parts"
    stages.solve(parsed, root, quiet=True, part=Part(2, 2))
    before = committed(root)
    assert len(before) == 6
    done = rekrylov("solve", spec, "--root", root, "--part", "1/2", ranks=2)
    assert done.code == 0, done.text
    assert done.out.count("24 of 24 samples stored in 6 shards, 0 failed, 0 missing") == 1
    assert before.items() <= committed(root).items()
    stages.solve(parsed, whole, quiet=True)
    for folder in (folder_of(root), folder_of(whole)):
        stages.finalise(parsed, folder)
    assert_same(samples(root), samples(whole))
    assert_sound(root)


def test_a_part_without_batches(spec, tmp_path):
    parsed, part = load_spec(spec, []), Part(1, 30)
    stages.solve(parsed, tmp_path, quiet=True, part=part)
    found = stages.status(parsed, folder_of(tmp_path), part)
    assert (found.samples, found.missing, found.shards) == (0, 0, 0)
    assert committed(tmp_path) == {}


def test_the_exit_code_is_that_of_the_part(rekrylov, spec, tmp_path):
    """With a coefficient that is negative for few of the samples: other parts have none of them."""
    law = ["problem.coefficient={law: uniform, low: -0.1, high: 1.0}"]
    parsed = load_spec(spec, law)
    stages.solve(parsed, tmp_path, quiet=True)
    counts = {part: stages.status(parsed, folder_of(tmp_path), part) for part in parts(12)}
    good, bad = (
        next(p for p, count in counts.items() if (count.failed > 0) == fails)
        for fails in (False, True)
    )
    for part, code in ((good, 0), (bad, 3)):
        done = rekrylov("solve", spec, "--root", tmp_path, "--set", *law, "--part", str(part))
        assert done.code == code, done.text
        assert f"{counts[part].failed} failed, 0 missing" in done.out
    assert sum(count.failed for count in counts.values()) == len(failures(folder_of(tmp_path)))


def failures(folder):
    return [failure for record in read_records(folder) for failure in record.failures]


def test_a_bad_part_is_a_wrong_argument(rekrylov, spec, tmp_path):
    done = rekrylov("solve", spec, "--root", tmp_path, "--part", "4/3", ranks=2)
    assert done.code == 2
    assert done.err.count("got '4/3'") == 1
    assert not list(tmp_path.iterdir())
