"""prefect.yaml, read more strictly than Prefect does: it ignores keys that it doesn't know."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text():
    return yaml.safe_load((ROOT / "prefect.yaml").read_text())


def test_the_file_is_the_one_in_the_package():
    from flows.deployments import DEPLOYMENTS

    assert (ROOT / "prefect.yaml").resolve() == DEPLOYMENTS


def test_every_flow_has_a_deployment_and_the_pool_is_that_of_up(text):
    from flows.deployments import POOL

    entries = {d["entrypoint"] for d in text["deployments"]}
    assert entries == {
        f"flows.{n}.{n}" for n in ["refresh", "audit", "generate", "train", "campaign"]
    }
    assert {d["work_pool"]["name"] for d in text["deployments"]} == {POOL}


def test_keys_are_those_that_prefect_knows(text):
    from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel

    known = set(DeploymentConfig.model_fields)
    assert set(text) <= set(PrefectYamlModel.model_fields)
    assert text["deployments"]
    for deployment in text["deployments"]:
        assert set(deployment) <= known, set(deployment) - known
        assert set(deployment["work_pool"]) <= {"name", "job_variables", "work_queue_name"}
    PrefectYamlModel.model_validate(text)


def test_job_variables_are_those_of_a_process_pool(text):
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()["variables"]["properties"]
    for deployment in text["deployments"]:
        variables = deployment["work_pool"]["job_variables"]
        assert set(variables) <= set(template)
        assert "command" not in variables  # or a cancelled run's process group isn't killed
        assert all(isinstance(value, str) for value in variables["env"].values())


def test_parameters_and_schedules_are_valid(text, monkeypatch):
    from prefect.client.schemas.schedules import CronSchedule
    from prefect.flows import load_flow_from_entrypoint

    from pipeline.spec import load_spec

    monkeypatch.chdir(ROOT)
    for deployment in text["deployments"]:
        flow = load_flow_from_entrypoint(deployment["entrypoint"])
        parameters = deployment["parameters"]
        assert set(parameters) <= set(flow.parameters.properties)
        assert flow.validate_parameters(parameters)
        if "spec" in parameters:
            load_spec(parameters["spec"], [])
        assert deployment["enforce_parameter_schema"] is True
        for schedule in deployment.get("schedules", []):
            assert set(schedule) == {"cron", "timezone", "slug"}
            CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])


def test_schedules_are_those_of_the_two_flows_that_need_no_one(text):
    found = {d["name"]: d for d in text["deployments"] if d.get("schedules")}
    assert set(found) == {"nightly", "weekly"}
    for deployment in found.values():
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}


@pytest.mark.parametrize("name", ["generate", "train", "refresh", "campaign"])
def test_the_form_shows_every_field_with_a_text(name):
    from importlib import import_module

    from prefect.utilities.callables import parameter_schema

    schema = parameter_schema(getattr(import_module(f"flows.{name}"), name)).model_dump()
    assert all(field["description"] for field in schema["properties"].values())
    assert '"oneOf"' not in json.dumps(schema), "the form doesn't know it"
    spec = schema["definitions"]["Spec"]["properties"]
    assert {"$ref": "#/definitions/Darcy"} in spec["problem"]["anyOf"]
    assert len(spec["mesh"]["anyOf"]) > 5


def test_flows_import_pipeline_and_storage_only():
    allowed = set(sys.stdlib_module_names) | {"flows", "pipeline", "storage"}
    allowed |= {"prefect", "prefect_dask", "dask", "distributed", "dask_jobqueue"}
    allowed |= {"psutil", "pydantic", "typer", "yaml"}
    for path in (ROOT / "flows").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path


@pytest.mark.parametrize("package", ["pipeline", "storage", "solvers", "meshes"])
def test_prefect_is_imported_in_flows_only(package):
    for path in (ROOT / package).rglob("*.py"):
        source = path.read_text()
        assert "import prefect" not in source and "from prefect" not in source, path


def test_importing_flows_starts_no_mpi():
    code = (
        "import sys, flows.generate as _; print({'mpi4py', 'petsc4py', 'dolfinx'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
