"""The flows on a real server: what they make, how they end, and what they show."""

import math
import time
from pathlib import Path

import httpx
import pytest
import yaml

from pipeline import stages
from storage import DataFolder, open_dataset, read_order

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def raw():
    from tests.flows.conftest import TINY

    return yaml.safe_load(TINY)


@pytest.fixture(scope="module")
def made(server, raw, tmp_path_factory):
    """What `generate` returned for a spec given as plain data."""
    from flows.generate import generate

    return generate(raw, str(tmp_path_factory.mktemp("root")), 2)


def artifacts(key: str) -> list:
    """The artifacts of a key, the newest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        return client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
            sort=ArtifactSort.CREATED_DESC,
        )


def test_a_data_set_comes_of_a_spec_given_as_data(made):
    dataset = open_dataset(made["folder"])
    assert list(dataset.ids) == list(range(6)) == list(range(made["stored"]))
    assert stages.check(None, DataFolder(Path(made["folder"]))).sound
    assert set(made["stage_seconds"]) == {"sample", "order", "solve", "finalise"}


def test_the_run_shows_progress_tables_and_a_picture(made):
    name = Path(made["folder"]).name
    (progress,) = artifacts(f"{name}-progress")
    assert progress.type == "progress" and progress.data == 100.0
    (numbers,) = artifacts(f"{name}-numbers")
    assert '"stored", "value": "6"' in numbers.data
    (shards,) = artifacts(f"{name}-shards")
    assert shards.data.count('"batch"') == made["shards"]
    (picture,) = artifacts(f"{name}-samples")
    assert picture.type == "image" and picture.data.startswith("data:image/png;base64,")
    assert artifacts(f"{name}-failures") == []


def test_the_data_set_is_an_asset(made, server):
    wanted = {"filter": {"event": {"name": ["prefect.asset.materialization.succeeded"]}}}
    keys, end = set(), time.monotonic() + 60
    while not keys and time.monotonic() < end:  # events come by another way than states
        found = httpx.post(f"{server.url}/events/filter", json=wanted, timeout=60).json()
        keys = {event["resource"]["prefect.resource.id"] for event in found["events"]}
    assert f"file://{Path(made['folder']).resolve()}" in keys


def test_work_that_is_done_is_cached_until_a_shard_is_gone(made):
    from flows.solve import solve

    folder = DataFolder(Path(made["folder"]))
    (spec,) = folder.runs.glob("*.yaml")
    arguments = (str(spec), str(folder.path), 1)
    first = solve(*arguments, return_state=True)
    assert (first.name, solve(*arguments, return_state=True).name) == ("Completed", "Cached")
    part = solve(*arguments, "1/2", return_state=True)
    assert part.name == "Completed"  # another part, another key
    record = folder.record(0, 0)
    kept = record.read_bytes()
    record.unlink()
    assert solve(*arguments, return_state=True).name == "Completed"
    assert stages.status(stages_spec(spec), folder).missing == 0
    assert record.exists() and record.read_bytes() != kept  # solved again


def stages_spec(path):
    from pipeline.spec import load_spec

    return load_spec(path)


def test_refresh_finishes_and_grows_up_to_a_limit(made, raw, tmp_path):
    from flows.refresh import refresh, target

    folder = DataFolder(Path(made["folder"]))
    found = refresh(made["folder"], add=3, most=8)
    assert (found["stored"], found["samples"]) == (8, 8)  # of 9 that it would have had
    assert [len(s.ids) for s in read_order(folder.order)] == [6, 2]
    again = refresh(raw, str(folder.path.parent), add=3, most=8)
    assert again["stored"] == 8
    spec = stages_spec(sorted(folder.runs.glob("*.yaml"))[0])
    assert target.fn(spec, str(tmp_path), 3, 100) == 6  # the first run makes what the spec says
    assert target.fn(spec, str(folder.path.parent), 3, 100) == 11


def test_a_retried_refresh_adds_no_more(made):
    from prefect import flow

    from flows.refresh import target

    folder = DataFolder(Path(made["folder"]))
    spec = stages_spec(sorted(folder.runs.glob("*.yaml"))[0])
    seen = []

    @flow(retries=1)
    def tried():
        seen.append(target(spec, str(folder.path.parent), 3, 100))
        if len(seen) == 1:
            (folder.path / "order.h5").rename(folder.path / "kept.h5")
            raise RuntimeError("once")

    try:
        tried()
    finally:
        (folder.path / "kept.h5").rename(folder.path / "order.h5")
    assert len(seen) == 2 and seen[0] == seen[1]


def test_a_campaign_makes_a_data_set_a_point(server, raw, tmp_path):
    from flows.campaign import campaign
    from flows.embedded import value

    alpha, field = "problem.coefficient.field.alpha", "problem.coefficient"
    grid = {"samples": [2], alpha: [2.0, 3.0]}
    state = campaign(raw | {"name": "A_grid.of-2"}, grid, str(tmp_path), return_state=True)
    rows = value(state)
    assert state.name == "Completed" and [row[alpha] for row in rows] == ["2.0", "3.0"]
    assert [len(open_dataset(row["data set"])) for row in rows] == [2, 2]
    assert len({row["data set"] for row in rows}) == 2
    assert len(artifacts("a-grid-of-2-campaign")) == 1
    bad = {field: [{"law": "deterministic", "value": -1.0}]}
    state = campaign(raw | {"samples": 1}, bad, str(tmp_path), return_state=True)
    assert state.is_failed()


def test_a_grid_is_its_product_in_order():
    from flows.campaign import _MOST, points
    from pipeline.spec_errors import SpecError

    assert list(points({"a": [1, 2], "b": ["x", None]})) == [
        *(["a=1", 'b="x"'], ["a=1", "b=null"], ["a=2", 'b="x"'], ["a=2", "b=null"])
    ]
    assert list(points({})) == [[]]
    with pytest.raises(SpecError, match="no values"):
        list(points({"a": []}))
    side = math.isqrt(_MOST) + 1
    with pytest.raises(SpecError, match="more than"):
        list(points({"a": list(range(side)), "b": list(range(side))}))


def test_an_audit_fails_when_there_is_damage(made, tmp_path):
    from flows.audit import audit
    from flows.embedded import value

    root = Path(made["folder"]).parent
    sound = audit(str(root), return_state=True)
    assert sound.name == "Completed" and [v["sound"] for v in value(sound)] == [True]
    shard = next(root.glob("*/shards/*.h5"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    (root / "broken-0123456789" / "shards").mkdir(parents=True)
    (root / "broken-0123456789" / "manifest.json").write_text("{")
    state = audit(str(root), return_state=True)
    assert (state.name, state.message) == ("DamageFound", "2 of 2 data sets are damaged")
    codes = {f["code"] for verdict in value(state) for f in verdict["findings"]}
    assert "shard.checksum" in codes
    report = artifacts("audit-report")[0].data
    assert "shard.checksum" in report and f"rekrylov repair {root}" in report
    with pytest.raises(Exception, match="is no folder"):
        audit(str(tmp_path / "none"))


def test_a_trained_operator_is_shown(server, raw, tmp_path):
    from flows.generate import generate
    from flows.train import train

    small = {"kind": "spon", "processor": {"kind": "messages", "width": 4}}
    trained = raw | {"samples": 12, "train": {"epochs": 1, "operator": small}}
    found = generate(trained, str(tmp_path))
    name = Path(found["folder"]).name
    assert Path(found["report"]).parent.name == "training"
    (report,) = artifacts(f"{name}-training")
    assert report.type == "markdown" and "![" not in report.data and "test" in report.data.lower()
    (picture,) = artifacts(f"{name}-predictions")
    assert picture.data.startswith("data:image/png")
    assert train(found["folder"]) == found["report"]  # nothing to do: shown again
    with pytest.raises(Exception, match="train: missing"):
        train(raw, str(tmp_path))
