"""prefect.yaml, read more strictly than Prefect does: it ignores keys that it doesn't know."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text():
    return yaml.safe_load((ROOT / "prefect.yaml").read_text())


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
        assert set(parameters) == set(flow.parameters.properties)
        assert flow.validate_parameters(parameters)
        load_spec(parameters["spec"], parameters["overrides"])
        assert deployment["schedules"]
        for schedule in deployment["schedules"]:
            assert set(schedule) == {"cron", "timezone", "slug"}
            CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])


def test_flows_import_pipeline_only():
    allowed = set(sys.stdlib_module_names) | {"flows", "pipeline", "prefect", "pydantic"}
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
