"""What is under ``deploy``: linted, valid by the schemas of Compose and Kubernetes, and true of the commands and
metrics that it names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate
from typer.main import get_command
from typer.testing import CliRunner

import lapel
from api_shop import fill
from lapel.apps.api import ApiOptions, create_app
from lapel.apps.api.serving import Serving
from lapel.apps.cli import app

DEPLOY = Path(__file__).parents[1] / "deploy"
MANIFESTS = sorted(each for each in (DEPLOY / "kubernetes").rglob("*.yaml") if each.name != "kustomization.yaml")


def manifests() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text())


def containers() -> Iterator[dict[str, Any]]:
    for each in manifests():
        pod = each.get("spec", {}).get("template", {}).get("spec", {})
        yield from (*pod.get("initContainers", ()), *pod.get("containers", ()))


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_docker_files_pass_hadolint_and_run_as_nobody(name: str) -> None:
    line = [str(Path(sys.executable).parent / "hadolint"), str(DEPLOY / name)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    last = (DEPLOY / name).read_text().split("\nFROM ")[-1]
    assert "USER 10001" in last


def test_compose_is_valid() -> None:
    line = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*line, str(DEPLOY / "compose.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for name in ("api-1", "api-2", "page", "tools"):
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["user"] == "10001:10001"
    for mount in (each for service in services.values() for each in service.get("volumes", ()) if each[:2] == "./"):
        assert (DEPLOY / mount.split(":")[0]).exists()


def test_manifests_are_valid_and_let_nobody_be_root() -> None:
    kinds = set()
    for each in manifests():
        validate(each, "1.33", strict=True)
        kinds.add(each["kind"])
    assert kinds >= {"Deployment", "StatefulSet", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert len(list(containers())) == 5
    for each in containers():
        own = each["securityContext"]
        assert own["readOnlyRootFilesystem"]
        assert not own["allowPrivilegeEscalation"]
        if each["name"] == "api":
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(each)
    named = yaml.safe_load((DEPLOY / "kubernetes/base/kustomization.yaml").read_text())["resources"]
    assert {path.name for path in MANIFESTS} == set(named)


def test_commands_in_them_are_commands() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    lines = [services[name]["command"] for name in ("api-1", "page", "tools")]
    lines += [each["args"] for each in containers() if each["name"] == "api"]
    shell = " ".join(each["args"][0] for each in containers() if "command" in each)
    kept = re.search(r"lapel -q (backup) \"[^\"]+\" (--store \S+)", shell)
    lines += [" ".join(kept.groups()).split()] if kept else []
    lines += [["restore", "x", "--store", "y"]] if "lapel restore" in shell else []
    assert len(lines) == 7
    commands: Any = get_command(app).commands  # type: ignore[attr-defined]
    for words in lines:
        options = {name for each in commands[words[0]].params for name in each.opts}
        assert {word for word in words if word.startswith("--")} <= options
    assert CliRunner().invoke(app, ["--help"]).exit_code == 0


def test_behind_a_proxy_each_client_has_a_pace_of_its_own() -> None:
    """Without it all clients are the proxy's address, and together they get the pace of one."""
    served = [each for each in containers() if each["name"] == "api"]
    assert len(served) == 2
    for each in served:
        assert {"name": "FORWARDED_ALLOW_IPS", "value": "*"} in each["env"]
    assert yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["api-1"]["environment"]
    assert "-e FORWARDED_ALLOW_IPS=*" in (DEPLOY / "cloud-init.yaml").read_text()


def test_the_ingress_leads_to_all_that_is_for_others(tmp_path: Path) -> None:
    (ingress,) = (each for each in manifests() if each["kind"] == "Ingress")
    exact, prefix = set(), set()
    for each in ingress["spec"]["rules"][0]["http"]["paths"]:
        (exact if each["pathType"] == "Exact" else prefix).add(each["path"])
    with lapel.open_store(fill(tmp_path)) as store:
        served = create_app(store)
        paths = {"/openapi.json", "/m", "/m/x", "/widget.js", *served.openapi()["paths"]}
        served.state.serving.close()
    out = {path for path in paths if path not in exact and not any(f"{path}/".startswith(f"{p}/") for p in prefix)}
    assert out == {"/metrics"}


def test_metrics_in_them_are_told(tmp_path: Path) -> None:
    with lapel.open_store(fill(tmp_path)) as store:
        serving = Serving(store, ApiOptions())
        serving.metrics.requests.labels("/v1/search", "POST", 200).inc()
        serving.metrics.seconds.labels("/v1/search").observe(1)
        serving.metrics.refused.labels("overloaded").inc()
        told = serving.metrics.text().decode()
        serving.close()
    dashboard = (DEPLOY / "grafana/dashboards/lapel.json").read_text()
    assert len(json.loads(dashboard)["panels"]) == 8
    texts = [dashboard, (DEPLOY / "alerts.yml").read_text(), (DEPLOY / "kubernetes/base/search.yaml").read_text()]
    named = set(re.findall(r"lapel_[a-z_]+", " ".join(texts)))
    assert len(named) >= 7
    for each in named:
        assert re.search(rf"^{each}[ {{]", told, re.MULTILINE), each
    assert yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]["metrics_path"] == "/metrics"
