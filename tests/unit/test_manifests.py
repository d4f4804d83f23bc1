"""What runs the service in containers fits Kubernetes, Compose, nginx and the service itself.

No image is built here, and nothing is started.
"""

import importlib.metadata
import importlib.resources
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import check_jsonschema
import jsonschema
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from starlette.testclient import TestClient

from nbhelpers import serving
from nbhelpers.classifier import served
from nbhelpers.course import results

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE, NGINX = ((ROOT / "deploy" / name).read_text(encoding="utf-8") for name in ("Dockerfile", "nginx.conf"))
DOCUMENTS = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yml").read_text(encoding="utf-8")))
KINDS = {document["kind"]: document for document in DOCUMENTS}
POD = KINDS["Deployment"]["spec"]["template"]
[CONTAINER] = POD["spec"]["containers"]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text(encoding="utf-8"))
LIMITS = serving.DEFAULTS
[PORT] = [int(port) for port in re.findall(r'"--port", "(\d+)"', DOCKERFILE)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=KINDS)
def test_kubernetes_knows_each_field(document):
    kubernetes_validate.validate(document, "1.37", strict=True)


def test_compose_knows_each_field():
    schemas = importlib.resources.files(check_jsonschema) / "builtin_schemas" / "vendor"
    jsonschema.validate(COMPOSE, json.loads((schemas / "compose-spec.json").read_text(encoding="utf-8")))


def test_the_probes_ask_for_paths_that_answer_without_a_key():
    model = serving.Model(
        ("no", "yes"), lambda texts: [{"input_ids": [1]} for _ in texts], list, lambda examples: [[[0.0, 1.0]]]
    )
    with TestClient(serving.create_app(model, api_key="secret")) as client:
        for name, path in (("startupProbe", "/health"), ("readinessProbe", "/ready"), ("livenessProbe", "/health")):
            assert CONTAINER[name]["httpGet"] == {"path": path, "port": "http"}
            assert client.get(path).status_code == 200
        assert client.get("/metrics").status_code == 401
    [url] = re.findall(r"http://127\.0\.0\.1:\d+/\w+", COMPOSE["services"]["service"]["healthcheck"]["test"][-1])
    assert url == f"http://127.0.0.1:{PORT}/ready"


def test_the_parts_find_each_other():
    labels = POD["metadata"]["labels"]
    assert {document["metadata"]["name"] for document in DOCUMENTS} == {"nbhelpers"}
    assert KINDS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert KINDS["Service"]["spec"]["selector"] == labels
    assert KINDS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert KINDS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "nbhelpers"
    assert "replicas" not in KINDS["Deployment"]["spec"]  # each `kubectl apply` would undo the autoscaler's number
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": PORT}]
    assert KINDS["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert [entry["name"] for entry in CONTAINER["env"]] == [serving.API_KEY]
    assert list(COMPOSE["services"]["service"]["environment"]) == [serving.API_KEY]
    assert re.findall(r"server ([\w.:]+) max_fails", NGINX)[0] == f"127.0.0.1:{PORT}"


def test_open_requests_have_time_to_end():
    spare = 2
    wait = CONTAINER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["spec"]["terminationGracePeriodSeconds"] >= wait + LIMITS.shutdown_timeout + spare
    assert int(COMPOSE["services"]["service"]["stop_grace_period"].rstrip("s")) >= LIMITS.shutdown_timeout + spare
    assert CONTAINER["readinessProbe"]["timeoutSeconds"] > 2  # which the model has to answer


def test_nothing_in_a_container_can_be_changed():
    _, user = re.findall(r"USER (\d+):(\d+)", DOCKERFILE)[0]
    inside, outside = CONTAINER["securityContext"], POD["spec"]["securityContext"]
    assert inside["readOnlyRootFilesystem"]
    assert not inside["allowPrivilegeEscalation"]
    assert inside["capabilities"] == {"drop": ["ALL"]}
    assert outside["runAsNonRoot"]
    assert outside["runAsUser"] == int(user) > 0
    service = COMPOSE["services"]["service"]
    assert service["read_only"]
    assert service["user"] == f"{user}:{user}"
    assert service["cap_drop"] == ["ALL"]


def test_the_memory_that_is_asked_for_is_enough():
    """The numbers are those of the service under the load of 64 clients."""
    last = {row["row"]: row["mib"] for row in results.read("service") if "mib" in row}
    small, large = sorted(last[f"64 clients, {form}"] for form in ("onnx", "int8"))
    text = (ROOT / "deploy" / "kubernetes.yml").read_text(encoding="utf-8")
    assert f"takes {round(small, -1):.0f} to {round(large, -1):.0f} MiB" in text
    asked = int(CONTAINER["resources"]["requests"]["memory"].removesuffix("Mi"))
    assert 1.5 * large < asked < 1024 * int(CONTAINER["resources"]["limits"]["memory"].removesuffix("Gi"))


def test_nginx_has_the_limits_of_the_service():
    def value(name):
        [found] = re.findall(rf"\b{name} (\d+)[smk]*;", NGINX)
        return int(found)

    assert value("client_max_body_size") * 1024 == LIMITS.max_body_bytes
    assert value("client_header_timeout") == LIMITS.head_timeout
    assert value("client_body_timeout") == LIMITS.body_timeout
    assert value("keepalive_timeout") < LIMITS.head_timeout
    assert value("proxy_read_timeout") > LIMITS.request_timeout


def test_the_image_has_all_that_the_service_imports():
    """It is imported in a process in which all other packages are missing."""
    command = re.search(r"RUN pip install (.*?)\n[A-Z]", DOCKERFILE.replace("\\\n", ""), re.S)[1]
    installed = {canonicalize_name(name) for name in command.split()[3:]}
    assert installed <= {canonicalize_name(Requirement(x).name) for x in importlib.metadata.requires("nbhelpers")}
    waiting = list(installed)
    while waiting:
        for need in map(Requirement, importlib.metadata.requires(waiting.pop()) or ()):
            name = canonicalize_name(need.name)
            if name not in installed and (need.marker is None or need.marker.evaluate({"extra": ""})):
                installed.add(name)
                waiting.append(name)
    homes = importlib.metadata.packages_distributions()
    there = {*installed, "nbhelpers"}
    missing = [module for module, names in homes.items() if not there & {canonicalize_name(name) for name in names}]
    code = f"""
import sys
sys.modules |= dict.fromkeys({missing!r})  # to import None is a ModuleNotFoundError
import nbhelpers.course.cli, nbhelpers.serving
from nbhelpers.classifier import served
print(sorted(name for name in ("torch", "transformers") if sys.modules.get(name)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("content", "cores"), [("200000 100000\n", 2), ("50000 100000\n", 0.5), ("max 100000\n", math.inf), ("", math.inf)]
)
def test_the_limit_of_a_container_is_read(content, cores, tmp_path, monkeypatch):
    (tmp_path / "cpu.max").write_text(content)
    assert served.core_limit(tmp_path / "cpu.max") == cores
    assert served.core_limit(tmp_path / "nothing") == math.inf
    monkeypatch.setattr(served, "core_limit", lambda: cores)
    monkeypatch.setattr(served.psutil, "cpu_count", lambda logical: 64)
    monkeypatch.setattr(served.os, "sched_getaffinity", lambda process: range(64), raising=False)
    assert served.num_cores() == {2: 2, 0.5: 1, math.inf: 64}[cores]
