"""``metadata``: labels of the queries that it is asked to describe."""

from __future__ import annotations

import pytest

MANIFESTS = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.7
  ports: [{name: http, port: 80, protocol: TCP}]
"""
FORMAT = '"{/kubernetes/service} {/kubernetes/namespace} {/log/type} {/log/class}"'


def served(serve, tmp_path, metadata):
    manifests = tmp_path / "web.yaml"
    manifests.write_text(MANIFESTS)
    return serve(
        f". {{\n{metadata}\nlog . {FORMAT}\n"
        f"kubernetes cluster.local {{\nmanifests {manifests}\n}}\n}}"
    )


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("metadata", "[INFO] web shop SERVERERROR error"),
        ("metadata cluster.local", "[INFO] web shop SERVERERROR error"),
        ("metadata example.org", "[INFO] - - - -"),
        ("", "[INFO] - - - -"),
    ],
)
def test_labels_are_there_for_the_zones_given(serve, tmp_path, lines, metadata, expected):
    server = served(serve, tmp_path, metadata)
    server.ask("web.shop.svc.cluster.local")
    assert lines[-1] == expected


def test_labels_travel_with_a_question_that_a_stage_changed(serve):
    answer = r'"{{ .Name }} 5 IN TXT {{ .Meta \"view/name\" }}"'
    found = serve(
        ". {\nmetadata\nview here {\nexpr true\n}\nheader {\nquery set aa\n}\n"
        f"template IN TXT . {{\nanswer {answer}\n}}\n}}"
    ).ask("example.org", "TXT")
    assert found.answer[0][0].to_text() == '"here"'
