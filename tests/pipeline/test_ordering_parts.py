"""The parts of the near-linear sort, each against an independent computation."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.ordering import Sketch, path_length
from pipeline.ordering.fragments import fragment_path
from pipeline.ordering.grid import on_grid
from pipeline.ordering.improve import improve
from pipeline.ordering.neighbours import LEAF, neighbours


def points(n, d, seed):
    rng = np.random.default_rng(seed)
    return on_grid(rng.normal(size=(n, d))).astype(np.float32)


def exact_neighbours(rows, count):
    rows = rows.astype(float)
    squares = np.sum(rows**2, axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T  # exact on the grid
    np.fill_diagonal(distances, np.inf)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(distances, order, axis=1)


@pytest.mark.parametrize("d", [1, 32, 500])
def test_distances_on_the_grid_are_exact(d):
    rows = on_grid(np.random.default_rng(d).normal(size=(20, d)) * 1e-200)
    assert np.abs(rows).max() <= 2**19
    whole = [[int(x) for x in row] for row in rows]
    for a, b in itertools.combinations(range(20), 2):
        exact = sum((x - y) ** 2 for x, y in zip(whole[a], whole[b], strict=True))
        assert exact == int(rows[a] @ rows[a] + rows[b] @ rows[b] - 2 * (rows[a] @ rows[b]))


def test_few_points_have_their_exact_neighbours_with_ties_by_index():
    rows = np.random.default_rng(0).integers(-2, 3, (LEAF, 2)).astype(np.float32)
    found, distances = neighbours(rows, 7)
    order, exact = exact_neighbours(rows, 7)
    assert np.array_equal(found, order)
    assert np.array_equal(distances, exact)


@pytest.mark.parametrize(("d", "share"), [(2, 0.98), (6, 0.9), (12, 0.7)])
def test_most_near_neighbours_of_many_points_are_found(d, share):
    rows = points(2000, d, 1)
    found, distances = neighbours(rows, 8)
    order, exact = exact_neighbours(rows, 8)
    hits = np.mean([len(set(a) & set(b)) / 8 for a, b in zip(found, order, strict=True)])
    assert hits > share
    assert np.all(distances >= exact)
    assert all(len(set(row)) == 8 and i not in row for i, row in enumerate(found))


def test_fragments_are_the_greedy_matching():
    rows = points(40, 3, 2)
    path = fragment_path(rows, *neighbours(rows, 39))
    edges = {frozenset(pair) for pair in itertools.pairwise(path.tolist())}
    assert edges == brute_force_matching(rows.astype(float))


def brute_force_matching(rows):
    pairs = sorted(
        itertools.combinations(range(len(rows)), 2),
        key=lambda pair: np.sum((rows[pair[0]] - rows[pair[1]]) ** 2),
    )
    group, degree, edges = list(range(len(rows))), [0] * len(rows), set()
    for a, b in pairs:
        if group[a] != group[b] and degree[a] < 2 and degree[b] < 2:
            edges.add(frozenset((a, b)))
            degree[a], degree[b] = degree[a] + 1, degree[b] + 1
            old, new = group[b], group[a]
            group = [new if g == old else g for g in group]
    return edges


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 14), st.integers(1, 3), st.integers(0, 10**6), st.booleans())
@example(28, 3, 81, False)  # needs the look at all points in the end
@example(28, 3, 0, False)  # turns that gain less than 5 % of an edge
@example(28, 3, 8, False)  # segments of three
def test_no_move_is_left_that_shortens_the_path(n, d, seed, ties):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 5 if ties else 10**5, (n, d)).astype(float)
    start = rng.permutation(n)
    path = improve(rows.astype(np.float32), start, neighbours(rows.astype(np.float32), n - 1)[0])
    assert np.array_equal(np.sort(path), np.arange(n))
    length = path_length(rows, path)
    assert length <= path_length(rows, start) * (1 + 1e-12)
    others = [*turned(path), *carried(rows, path)]
    assert min(path_length(rows, other) for other in others) >= length * (1 - 1e-9)


def turned(path):
    """Every 2-opt move."""
    for i, j in itertools.combinations(range(len(path) + 1), 2):
        yield np.concatenate([path[:i], path[i:j][::-1], path[j:]])


def carried(rows, path):
    """Every Or-opt move with a new edge that is shorter than what the segment's going saves."""
    for i, k in itertools.product(range(len(path)), (1, 2, 3)):
        rest = np.concatenate([path[:i], path[i + k :]])
        saved = path_length(rows, path) - path_length(rows, rest)
        saved -= path_length(rows, path[i : i + k])
        for j, way in itertools.product(range(len(rest) + 1), (1, -1)):
            segment = path[i : i + k][::way]
            before, after = rest[max(j - 1, 0) : j], rest[j : j + 1]
            new = [(before, segment[:1]), (segment[-1:], after)]
            shortest = [
                path_length(rows, np.concatenate(e)) for e in new if len(e[0]) and len(e[1])
            ]
            if shortest and min(shortest) < saved * (1 - 1e-9):
                yield np.concatenate([rest[:j], segment, rest[j:]])


def test_a_circle_in_disorder_is_put_in_order():
    angles = np.random.default_rng(5).permutation(np.arange(400)) * 2 * np.pi / 400
    rows = on_grid(np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)
    path = improve(rows, np.arange(400), neighbours(rows, 8)[0])
    assert path_length(rows, path) < 1.25 * 399 / 400 * 2 * np.pi * 2**19


def test_a_sketch_keeps_distances_along_the_leading_directions():
    rng = np.random.default_rng(6)
    rows = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 5000)) + 100.0
    sketch = Sketch(rows[:50], 8)
    images = sketch(rows)
    assert images.shape == (300, 3)  # the pilot's rank
    for a, b in [(0, 1), (7, 250), (200, 299)]:
        assert np.isclose(np.linalg.norm(images[a] - images[b]), np.linalg.norm(rows[a] - rows[b]))


def test_a_sketch_of_a_row_does_not_depend_on_the_rows_beside_it():
    rng = np.random.default_rng(7)
    rows = rng.lognormal(size=(500, 3000))
    sketch = Sketch(rows[:100], 16)
    whole = sketch(rows)
    assert all(sketch(rows[i]).tobytes() == whole[i].tobytes() for i in range(0, 500, 17))
    backwards = sketch(np.asfortranarray(rows[::-1]))[::-1]
    assert np.array_equal(backwards, whole)


@pytest.mark.parametrize("value", [0.0, 3.0, 1e-300])
def test_a_sketch_of_equal_rows_is_finite(value):
    images = Sketch(np.full((4, 6), value), 3)(np.full((2, 6), value))
    assert images.shape == (2, 1) and not images.any()
