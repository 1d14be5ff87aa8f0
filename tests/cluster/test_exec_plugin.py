"""Exec plugins: one run at a time, cached, bounded; a failure is never an anonymous request.

Runs real programs on a reactor of their own, in a subprocess, because a test process has none.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from k8sdns.cluster.access import AccessError, ExecSpec, Secret
from k8sdns.cluster.exec_plugin import plugin_environment, read_exec_credential

V1 = "client.authentication.k8s.io/v1"


def credential(**status):
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}).encode()


def test_a_token_and_its_expiry_are_read():
    output = credential(token="t", expirationTimestamp="2030-01-01T00:00:00Z")
    grant, expires = read_exec_credential(output, V1)
    assert grant.authorization == b"Bearer t"
    assert expires == 1893456000


def test_a_client_certificate_is_read():
    grant, expires = read_exec_credential(
        credential(clientCertificateData="C", clientKeyData="K"), V1
    )
    assert (grant.authorization, grant.certificate, grant.key) == (b"", b"C", b"K")
    assert expires is None


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"s3cr3t",
        b"{}",
        b'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"}',
        credential(),
        credential(token=""),
        credential(clientCertificateData="s3cr3t"),
        credential(token="s3cr3t").replace(b"/v1", b"/v1beta1"),
        credential(token="s3cr3t").replace(b"ExecCredential", b"Other"),
        b"\xff\xfe",
    ],
)
def test_what_is_no_credential_is_refused_without_quoting_it(output):
    with pytest.raises(AccessError) as caught:
        read_exec_credential(output, V1)
    assert "s3cr3t" not in str(caught.value)


def test_the_plugin_is_told_about_the_cluster_and_that_nobody_is_there():
    spec = ExecSpec(
        "/bin/x",
        environment=(("NAME", Secret("value")),),
        cluster=Secret(b'{"server":"https://api"}'),
    )
    environment = plugin_environment(spec, {"PATH": "/bin"})
    assert environment["PATH"] == "/bin"
    assert environment["NAME"] == "value"
    told = json.loads(environment["KUBERNETES_EXEC_INFO"])
    assert told["spec"] == {"interactive": False, "cluster": {"server": "https://api"}}


PROGRAM = """
import sys, time
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from k8sdns.cluster.access import ExecSpec, Secret
from k8sdns.cluster.exec_plugin import ExecCredentialSource

def ask(source):
    asked = Deferred.fromCoroutine(source.grant())
    return asked.addCallbacks(
        lambda grant: grant.authorization.decode(), lambda failure: failure.getErrorMessage())

def source_of(script, run_for=5.0, wall_clock=time.time):
    spec = ExecSpec(sys.executable, (Secret("-c"), Secret(script)))
    return ExecCredentialSource(spec, reactor, wall_clock, run_for=run_for)

def done(result):
    print(result if isinstance(result, str) else "\\n".join(map(str, result)))
    reactor.stop()

OK = '''
import json, os, sys
count = %r
open(count, "a").write("x")
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
  "status": {"token": str(os.path.getsize(count)), "expirationTimestamp": "1970-01-01T01:00:00Z"}}))
'''
"""


def run(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + textwrap.dedent(script) + "\nreactor.run()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split("\n")[:-1]


def test_many_requests_share_one_run_until_the_credential_expires(tmp_path):
    found = run(
        """
        now = [0.0]
        source = source_of(OK % sys.argv[1], wall_clock=lambda: now[0])
        def later(first):
            now[0] = 3595.0
            return ask(source).addCallback(lambda last: [*first, last])
        asked = gatherResults([ask(source), ask(source), ask(source)])
        asked.addCallback(lambda all: ask(source).addCallback(lambda one: [*all, one]))
        asked.addCallback(later).addCallback(done)
        """,
        str(tmp_path / "count"),
    )
    assert found == ["Bearer 1"] * 4 + ["Bearer 2"]


def test_a_refused_credential_is_asked_for_again(tmp_path):
    found = run(
        """
        source = source_of(OK % sys.argv[1], wall_clock=lambda: 0.0)
        def again(grant):
            source.rejected(grant)
            return ask(source)
        Deferred.fromCoroutine(source.grant()).addCallback(again).addCallback(done)
        """,
        str(tmp_path / "count"),
    )
    assert found == ["Bearer 2"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('no session ' + 'A' * 60)", "exit code 1. no session <redacted>"),
        ("import time; time.sleep(60)", "took longer than 1 s"),
        ("import time, os; os.fork() or os.setsid(); time.sleep(20)", "took longer than 1 s"),
        ("print('s3cr3t')", "printed something that is no ExecCredential"),
        ("print('x' * 3000000)", "printed more than"),
    ],
    ids=["fails", "hangs", "leaves a child", "babbles", "floods"],
)
def test_a_failure_is_told_to_every_waiter_in_words(script, said):
    found = run(
        f"""
        source = source_of({script!r}, run_for=1.0)
        gatherResults([ask(source), ask(source)]).addCallback(done)
        """
    )
    assert len(found) == 2
    assert all(said in line for line in found), found
    assert all(line.startswith("exec plugin ") for line in found)
    assert not any("s3cr3t" in line for line in found)
