"""What docs/differences-from-coredns.md says of replies is so, and no excused case is missing."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.edns
import dns.message
import pytest
from zope.interface import implementer

from k8sdns.corefile.settings import Directive
from k8sdns.errors import ConfigurationError
from k8sdns.interfaces import IAuthority
from k8sdns.testing import Upstream, serve

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "differences-from-coredns.md").read_text(encoding="utf-8")
CLUSTER = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.10.1", "ports": [{"port": 80}]},
    },
]
COREFILE = """. {
    errors
    cache 30
    kubernetes cluster.local in-addr.arpa {
        manifests cluster.yaml
        fallthrough
        @OPTIONS@
    }
    forward . 192.0.2.53
}"""


@dataclass(frozen=True)
class Nothing:
    """No options."""


@implementer(IAuthority)
class Buggy:
    word = "buggy"

    def answer(self, _question: Any) -> Any:
        raise ZeroDivisionError("a bug")


BUGGY = Directive("buggy", Nothing, lambda _settings, block: block.add(Buggy()), follows="whoami")


def served(options: str = "", cluster: Any = CLUSTER) -> Any:
    upstream = Upstream("www.example.org. 60 A 192.0.2.80")
    text = COREFILE.replace("@OPTIONS@", options)
    return serve(text, cluster=cluster, upstreams={"192.0.2.53": upstream})


def excused() -> set[str]:
    path = ROOT / "tests" / "test_conformance.py"
    spec = importlib.util.spec_from_file_location("conformance", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return set(module.DIFFERENCES)


def test_every_excused_case_is_explained() -> None:
    assert sorted(case for case in excused() if f"`{case}`" not in PAGE) == []


def test_a_service_that_was_asked_for_before_it_existed_is_there_at_once() -> None:
    with served() as server:
        assert server.ask("new.shop.svc.cluster.local").rcode() == 3
        new = CLUSTER[1] | {"metadata": {"name": "new", "namespace": "shop"}}
        server.write("cluster.yaml", [*CLUSTER, new])
        server.advance(1)
        assert server.ask("new.shop.svc.cluster.local").rcode() == 0


@pytest.mark.parametrize(("ttl", "expected"), [(0, 0), (5, 5), (300, 30)])
def test_cache_bounds_live_ttls_from_above_only(ttl: int, expected: int) -> None:
    with served(f"ttl {ttl}") as server:
        assert server.ask("web.shop.svc.cluster.local").answer[0].ttl == expected


@pytest.mark.parametrize("name", ["cluster.local", "svc.cluster.local", "shop.svc.cluster.local"])
def test_txt_at_a_parent_is_empty(name: str) -> None:
    with served() as server:
        reply = server.ask(name, "TXT")
        assert (reply.rcode(), reply.answer) == (0, [])


def test_letter_case_means_nothing() -> None:
    with served() as server:
        assert server.ask("Cluster.LOCAL", "NS").answer
        assert server.ask("NS.Dns.Cluster.LOCAL", "A").rcode() == 0


def test_other_types_at_an_addresss_name_are_empty() -> None:
    with served() as server:
        assert server.ask("1.10.96.10.in-addr.arpa", "PTR").answer
        reply = server.ask("1.10.96.10.in-addr.arpa", "A")
        assert (reply.rcode(), reply.answer) == (0, [])


@pytest.mark.parametrize(("theirs", "said"), [(512, 512), (1000, 1000), (4096, 1232)])
def test_our_opt_says_the_smaller_size(theirs: int, said: int) -> None:
    with served() as server:
        reply = server.ask("web.shop.svc.cluster.local", use_edns=0, payload=theirs)
        assert reply.payload == said


@pytest.mark.parametrize("code", [3, 8, 9, 10, 11, 12, 65001])
def test_no_option_comes_back(code: int) -> None:
    with served() as server:
        option = dns.edns.GenericOption(code, b"12345678")
        query = dns.message.make_query("web.shop.svc.cluster.local", "A", use_edns=0)
        query.use_edns(0, options=[option])
        assert server.send(query).reply.options == ()


def test_a_question_that_is_missing_is_formerr() -> None:
    with served() as server:
        message = bytes.fromhex("0001 0100 0001 0000 0000 0000")
        reply = server.servers[0].respond(message, ("192.0.2.9", 1), ("", 53))
        assert reply[3] & 0xF == 1


def test_options_of_older_versions_are_read_with_a_warning() -> None:
    with served("upstream\n resyncperiod 5m\n transfer to *") as server:
        for word in ("upstream", "resyncperiod", "transfer"):
            assert any(word in line for line in server.lines), word


def test_multicluster_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match=r"multicluster.*one cluster's own Services"):
        served("multicluster clusterset.local")


def test_what_is_called_tls_is_never_served_in_clear() -> None:
    with pytest.raises(ConfigurationError, match="tls"):
        serve("tls://. {\n whoami\n}")


def test_debug_does_not_let_a_bug_end_the_process() -> None:
    with serve(". {\n debug\n errors\n buggy\n}", directives=[BUGGY]) as server:
        assert server.ask("www.example.org").rcode() == 2
        assert server.ask("www.example.org").rcode() == 2
        assert server.halted == []


def test_a_zone_argument_that_is_none_is_told() -> None:
    with serve(". {\n acl exa..mple {\n block\n }\n whoami\n}") as server:
        assert any("exa..mple" in line for line in server.lines)
