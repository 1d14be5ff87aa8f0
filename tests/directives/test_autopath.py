"""``autopath``: the search list of a client, walked for it."""

from __future__ import annotations

import dns.message
import dns.rcode
import pytest

from k8sdns import names
from k8sdns.authorities.upstream import resolvconf
from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.testing import Upstream, serve

POD, OTHER = "10.244.1.1", "10.244.1.2"
CLUSTER = [
    *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
      for name in ("shop", "data")),
    *({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"client{at}", "namespace": "shop"},
       "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}]}}
      for at, ip in enumerate((POD,))),
    *({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space},
       "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]}}
      for name, space, ip in (("web", "shop", "10.96.0.10"), ("db", "data", "10.96.0.11"))),
]  # fmt: skip

COREFILE = """. {
    autopath @kubernetes
    kubernetes cluster.local {
        manifests cluster.yaml
        pods %s
    }
    forward . 192.0.2.53
}"""


@pytest.fixture
def upstream():
    return Upstream("www.example.org. 300 A 192.0.2.80", "example.org. 300 SOA a. b. 1 2 3 4 5")


@pytest.fixture
def served(upstream):
    with serve(COREFILE % "verified", cluster=CLUSTER, upstreams={"192.0.2.53": upstream}) as it:
        yield it


def texts(reply):
    return [line for rrset in reply.answer for line in rrset.to_text().splitlines()]


SEARCH = "shop.svc.cluster.local."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", ["web.shop.svc.cluster.local. 5 IN A 10.96.0.10"]),
        (
            "db.data",
            [
                f"db.data.{SEARCH} 5 IN CNAME db.data.svc.cluster.local.",
                "db.data.svc.cluster.local. 5 IN A 10.96.0.11",
            ],
        ),
        (
            "db.data.svc",
            [
                f"db.data.svc.{SEARCH} 5 IN CNAME db.data.svc.cluster.local.",
                "db.data.svc.cluster.local. 5 IN A 10.96.0.11",
            ],
        ),
        (
            "www.example.org",
            [
                f"www.example.org.{SEARCH} 300 IN CNAME www.example.org.",
                "www.example.org. 300 IN A 192.0.2.80",
            ],
        ),
    ],
)
def test_the_first_candidate_that_exists_answers(served, name, expected):
    reply = served.ask(f"{name}.{SEARCH}", client=POD)
    assert texts(reply) == expected
    assert served.total("coredns_autopath_success_total") == 1


def test_the_question_comes_back_in_the_client_s_letters(served):
    reply = served.ask(f"DB.data.{SEARCH}", client=POD)
    assert reply.question[0].name.to_text() == f"DB.data.{SEARCH}"
    assert reply.answer[0].name.to_text() == f"DB.data.{SEARCH}"


def test_existing_without_records_of_the_type_wins_too(served):
    reply = served.ask(f"db.data.{SEARCH}", "AAAA", client=POD)
    assert (reply.rcode(), texts(reply)) == (dns.rcode.NOERROR, [])


def test_where_none_exists_the_first_denial_is_the_answer(served):
    reply = served.ask(f"nothing.example.org.{SEARCH}", client=POD)
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.name.to_text() for rrset in reply.authority] == ["cluster.local."]
    assert served.total("coredns_autopath_success_total") == 0


@pytest.mark.parametrize(
    ("name", "client"),
    [
        ("www.example.org.data.svc.cluster.local.", POD),  # not its first domain
        (f"www.example.org.{SEARCH}", OTHER),  # no pod
        ("www.example.org.svc.cluster.local.", POD),
        (f"www.xshop.{SEARCH[5:]}", POD),
    ],
)
def test_other_names_and_clients_are_left_alone(served, upstream, name, client):
    assert served.ask(name, client=client).rcode() == dns.rcode.NXDOMAIN
    assert upstream.asked == []


def test_the_domain_itself_is_a_name_like_any_other(served):
    assert served.ask(SEARCH, client=POD).rcode() == dns.rcode.NOERROR


def test_a_failure_ends_the_walk():
    with serve(COREFILE % "verified", cluster=CLUSTER) as served:  # nobody answers upstream
        query = dns.message.make_query(f"www.example.org.{SEARCH}", "A")
        exchange = served.send(query, client=POD)
        served.advance(15)
        assert exchange.reply.rcode() == dns.rcode.SERVFAIL


def test_without_verified_pods_nothing_happens(upstream):
    upstreams = {"192.0.2.53": upstream}
    with serve(COREFILE % "insecure", cluster=CLUSTER, upstreams=upstreams) as served:
        assert served.ask(f"db.data.{SEARCH}", client=POD).rcode() == dns.rcode.NXDOMAIN


def test_a_candidate_that_is_too_long_is_passed_over(served):
    name = ".".join(["x" * 60] * 3) + f".{SEARCH}"
    assert served.ask(name, client=POD).rcode() == dns.rcode.NXDOMAIN


# -- a file ----------------------------------------------------------------------------------


def test_a_file_gives_every_client_its_list():
    text = """. {
        autopath example.org resolv.conf
        file zone example.org example.net
    }"""
    zone = "@ 60 SOA ns a 1 2 3 4 5\nweb 60 A 192.0.2.1\n"
    files = {"resolv.conf": "search a.example.org example.net\n", "zone": zone}
    with serve(text, files=files) as served:
        assert texts(served.ask("web.a.example.org.")) == [
            "web.a.example.org. 60 IN CNAME web.example.net.",
            "web.example.net. 60 IN A 192.0.2.1",
        ]
        assert texts(served.ask("web.example.net.")) == ["web.example.net. 60 IN A 192.0.2.1"]


def test_a_file_that_is_not_there_ends_the_start():
    with pytest.raises(ConfigurationError, match=r'plugin/autopath: failed to parse ".*/none"'):
        serve(". {\nautopath none\nwhoami\n}")


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("search a.org B.net\n", ("a.org", "b.net")),
        ("domain a.org\nnameserver 192.0.2.1\n", ("a.org",)),
        ("search a.org\nsearch b.org\n", ("b.org",)),
        ("search a..org b.org\n", ("b.org",)),
        ("search " + "a.org " * 100, ("a.org",) * 32),
        ("nameserver 192.0.2.1\n", ()),
    ],
)
def test_the_search_list_of_resolv_conf_is_read(text, search):
    assert resolvconf.parse(text).search == tuple(map(names.from_text, search))


# -- the Corefile ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stanza", "message"),
    [
        ("autopath", "no resolv-conf specified"),
        ("autopath @kubernetes {\nttl 5\n}", "no options"),
        ("autopath @kubernetes\nautopath @kubernetes", "only be used once"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(checked, stanza, message):
    with pytest.raises(CorefileError, match=r"^Corefile:[23] - plugin/autopath: ") as caught:
        checked(f". {{\n{stanza}\n}}")
    assert message in str(caught.value)


def test_a_directive_that_knows_no_lists_is_refused():
    with pytest.raises(
        ConfigurationError,
        match=r"^Corefile:2 - plugin/autopath: whoami does not know clients' search lists",
    ):
        serve(". {\nautopath @whoami\nwhoami\n}")


def test_a_directive_that_is_not_there_is_said():
    with serve(". {\nautopath @kubernetes\nwhoami\n}") as served:
        assert served.ask("a.org").rcode() == dns.rcode.NOERROR
        assert any("autopath does nothing" in line for line in served.lines)
