"""The scale model gives what can be said without it."""

from dataclasses import replace

import pytest

from benchmarks.scale_model import (
    COMMIT_OPERATIONS,
    READINGS,
    RECORD_OPERATIONS,
    Case,
    Costs,
    Server,
    Solving,
    stages,
)

QUICK = 1e15  # operations and bytes a second: none is waited for
CASE = Case(0.5, 10, 10_000, 100, 1e6, 10, True, 1, QUICK, QUICK)


def test_a_server_serves_in_the_order_of_asking():
    server = Server()
    assert [server.serve(now, 2.0) for now in (0.0, 1.0, 10.0)] == [2.0, 4.0, 12.0]
    assert server.busy == 6.0


def test_solving_alone_scales_perfectly():
    for workers in (1, 4, 10, 100):
        found = Solving(replace(CASE, workers=workers, tasks=workers), Costs())
        assert found.end == pytest.approx(10_000 * 0.5 / workers, rel=1e-6)
        assert found.busy["cores"] == pytest.approx(found.end, rel=1e-6)


def test_every_task_is_done_where_there_are_more_than_workers():
    found = Solving(replace(CASE, tasks=100), Costs(start=1.0))
    assert found.end == pytest.approx(10 * (1.0 + 100 * 0.5), rel=1e-6)


def test_tasks_wait_for_the_scheduler():
    found = Solving(replace(CASE, tasks=100), Costs(task=60.0))  # longer than a worker takes
    assert found.end == pytest.approx(100 * 60 + 100 * 0.5, rel=1e-6)
    assert found.busy["scheduler"] == pytest.approx(6000)


def test_names_and_bytes_are_shared_by_all():
    slow = Solving(replace(CASE, metadata=10.0), Costs())
    names = COMMIT_OPERATIONS * 100 + READINGS * RECORD_OPERATIONS * 100
    assert slow.busy["names"] == pytest.approx(names / 10)
    every = Solving(replace(CASE, metadata=10.0, own=False), Costs())
    assert every.busy["names"] - slow.busy["names"] == pytest.approx(
        READINGS * RECORD_OPERATIONS * 100 * 9 / 10  # ten tasks read all instead of a tenth
    )
    disk = Solving(replace(CASE, bandwidth=1e5), Costs())
    assert disk.end == pytest.approx(50 + 100 * 10, rel=1e-2)  # the first shards after 50 s


def test_what_processes_share_takes_less():
    costs = Costs(draw=1e-3, reading=0.2, record=0.01)
    one, _ = stages(CASE, costs)
    ten, _ = stages(replace(CASE, processes=10), costs)
    assert one["sample"] == pytest.approx(10 * ten["sample"])
    assert one["manifest"] == pytest.approx(20 + 2) and ten["manifest"] == pytest.approx(2 + 2)
