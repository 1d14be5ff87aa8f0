"""What we ask clusters to grant and to run is the least that does the work."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture
def manifests():
    documents = yaml.safe_load_all((ROOT / "deploy" / "k8sdns.yaml").read_text())
    return {document["kind"]: document for document in documents}


def test_the_role_may_list_and_watch_and_nothing_else(manifests):
    rules = manifests["ClusterRole"]["rules"]
    granted = {resource for rule in rules for resource in rule["resources"]}
    assert granted == {"services", "namespaces", "pods", "endpointslices"}
    assert all(sorted(rule["verbs"]) == ["list", "watch"] for rule in rules)


def test_the_container_is_nobody_on_a_read_only_root(manifests):
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    context = container["securityContext"]
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert "USER 65532:65532" in (ROOT / "deploy" / "Dockerfile").read_text()


def test_the_service_and_its_pods_find_one_another(manifests):
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selector = manifests["Service"]["spec"]["selector"]
    assert selector.items() <= labels.items()
    protocols = [p["protocol"] for p in manifests["Service"]["spec"]["ports"] if p["port"] == 53]
    assert sorted(protocols) == ["TCP", "UDP"]
