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


ZONE = """
$ORIGIN example.org.
@ 60 IN SOA ns hostmaster 1 7200 1800 86400 30
@ 60 IN NS ns
ns 60 IN A 192.0.2.53
*.apps 60 IN A 192.0.2.1
www.apps 60 IN A 192.0.2.2
"""


@pytest.mark.parametrize(
    ("metadata", "name", "expected"),
    [
        ("metadata", "a.b.apps.example.org", "[INFO] *.apps.example.org."),
        ("metadata", "www.apps.example.org", "[INFO] -"),
        ("metadata", "nothing.example.org", "[INFO] -"),
        ("", "a.b.apps.example.org", "[INFO] -"),
    ],
)
def test_the_wildcard_that_answered_is_known(serve, tmp_path, lines, metadata, name, expected):
    zone = tmp_path / "db.example.org"
    zone.write_text(ZONE)
    server = serve(
        f'. {{\n{metadata}\nlog . "{{/zone/wildcard}}"\n'
        f"file {zone} example.org {{\nreload 0\n}}\n}}"
    )
    server.ask(name)
    assert lines[-1] == expected
