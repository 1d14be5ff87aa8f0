"""What the Kubernetes authority promises beside the records themselves."""

from __future__ import annotations

import struct

import dns.message
import pytest
from twisted.internet.defer import Deferred

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster.model import KINDS, Endpoint, EndpointSlice, Namespace, Pod, Port, Service
from k8sdns.cluster.store import Store
from k8sdns.wire import writer

W = names.from_text
CLUSTER = W("cluster.local")
HTTP = Port("http", 80, "TCP")


def service(
    name="web", namespace="shop", ips=("10.96.0.1",), ports=(HTTP,), external="", version="1"
):
    kind = "ExternalName" if external else "ClusterIP"
    return Service(namespace, name, version, kind, ips, external, ports, ())


def endpoint(address, hostname="", zone=""):
    return Endpoint(address, hostname, "", "", zone)


def piece(name, service, *endpoints, namespace="shop", ports=(HTTP,)):
    return EndpointSlice(namespace, name, service, "1", ports, endpoints, None)


SHOP = (
    Namespace("shop", "1"),
    Namespace("ext", "1"),
    service(),
    service("db", ips=("None",)),
    piece("db-1", "db", endpoint("10.1.0.1", "db-0", "eu-a"), endpoint("10.1.0.2", "", "EU-B")),
    service("docs", "ext", (), (), "www.example.com"),
    service("intern", "ext", (), (), "web.shop.svc.cluster.local"),
    service("out", "ext", (), (), "docs.ext.svc.cluster.local"),
    service("loop", "ext", (), (), "pool.ext.svc.cluster.local"),
    service("pool", "ext", (), (), "loop.ext.svc.cluster.local"),
    service("below", "ext", (), (), "x.below.ext.svc.cluster.local"),
    service("dangling", "ext", (), (), "gone.shop.svc.cluster.local"),
    Pod("shop", "client", "1", "10.1.9.9"),
)


def filled(*things, synced=KINDS):
    store = Store(clock=lambda: 1_700_000_000.0)
    for kind in synced:
        store.listing(kind)
    for thing in things:
        store.upsert(thing)
    for kind in synced:
        store.listed(kind)
    return store


@pytest.fixture
def store():
    return filled(*SHOP)


def authority_of(store, *zones, **options):
    return KubernetesAuthority(store, zones or (CLUSTER, W("in-addr.arpa")), **options)


def ask(authority, name, rtype="A"):
    qname = names.from_text(name, lower=False)
    return authority.answer(Question(qname, records.TYPES[rtype]))


def texts(answer):
    return [records.rdata_text(record) for record in answer.answer]


class FakeLookup:
    """Knows www.example.com; says NXDOMAIN to all else; may be made to wait."""

    def __init__(self, tc=False):
        self.asked = []
        self.waiting = None
        self.tc = tc

    def lookup(self, question, qname, qtype):
        self.asked.append((names.to_text(qname), qtype))
        if self.waiting is not None:
            return self.waiting
        if qname.lower() == W("www.example.com") and qtype == records.A:
            return Answer((records.address(qname, "192.0.2.53", 300),), tc=self.tc)
        return Answer(rcode=records.NXDOMAIN)


# -- memory --------------------------------------------------------------------------------


def test_the_same_question_gets_the_same_answer_until_its_service_changes(store):
    authority = authority_of(store)
    first = ask(authority, "web.shop.svc.cluster.local")
    assert ask(authority, "web.shop.svc.cluster.local") is first
    store.upsert(service("other", ips=("10.96.0.9",)))
    assert ask(authority, "web.shop.svc.cluster.local") is first
    assert first.is_current
    store.upsert(service(ips=("10.96.0.2",), version="2"))
    assert not first.is_current
    assert texts(ask(authority, "web.shop.svc.cluster.local")) == ["10.96.0.2"]


def test_denials_are_one_object_a_zone_and_cost_no_memory(store):
    authority = authority_of(store)
    denials = {id(ask(authority, f"x{n}.shop.svc.cluster.local")) for n in range(300)}
    empties = {
        id(authority.answer(Question(W("web.shop.svc.cluster.local"), 300 + n))) for n in range(99)
    }
    assert (len(denials), len(empties)) == (1, 1)
    assert not authority._memo.answers


def test_the_memory_is_bounded():
    store = filled(SHOP[0], *(service(f"s{n}", ips=(f"10.96.1.{n}",)) for n in range(50)))
    authority = authority_of(store, memo_bound=10)
    for n in range(50):
        assert texts(ask(authority, f"s{n}.shop.svc.cluster.local")) == [f"10.96.1.{n}"]
        assert len(authority._memo.answers) <= 10


def test_a_closed_authority_no_longer_follows_the_store(store):
    authority = authority_of(store)
    answer = ask(authority, "web.shop.svc.cluster.local")
    assert answer.is_current
    authority.close()
    assert not store._subscribers
    assert not answer.is_current


def test_the_serial_moves_with_the_cluster(store):
    authority = authority_of(store)
    before = ask(authority, "cluster.local", "SOA").answer[0]
    store.upsert(service("new", ips=("10.96.0.8",)))
    after = ask(authority, "cluster.local", "SOA").answer[0]
    assert before != after
    assert ask(authority, "gone.shop.svc.cluster.local").authority == (after,)
    assert authority.zone_serial(CLUSTER) == store.serial


# -- before everything is known ----------------------------------------------------------------


def test_nothing_is_denied_before_the_first_listing_even_where_it_would_fall_through():
    authority = authority_of(Store(), fallthrough=(names.ROOT,))
    for name, rtype in (("web.shop.svc.cluster.local", "A"), ("1.0.0.10.in-addr.arpa", "PTR")):
        answer = ask(authority, name, rtype)
        assert (answer.rcode, answer.aa, len(answer.authority)) == (records.SERVFAIL, True, 1)
        (code, octets) = answer.options[0]
        assert (code, struct.unpack("!H", octets[:2])[0]) == (15, 14)
        assert b"services" in octets


def test_what_is_known_is_answered_before_everything_is():
    store = filled(*SHOP, synced=("services",))
    authority = authority_of(store)
    assert texts(ask(authority, "web.shop.svc.cluster.local")) == ["10.96.0.1"]
    assert ask(authority, "gone.shop.svc.cluster.local").rcode == records.SERVFAIL
    assert authority.waits_for() == "namespaces, endpointslices"


def test_an_alias_whose_target_may_still_come_is_not_denied():
    store = filled(*SHOP, synced=("services",))
    assert ask(authority_of(store), "dangling.ext.svc.cluster.local").rcode == records.SERVFAIL


def test_denials_begin_with_the_last_listing():
    store = Store()
    authority = authority_of(store, noendpoints=True)
    for kind in ("namespaces", "services"):
        assert ask(authority, "x.shop.svc.cluster.local").rcode == records.SERVFAIL
        store.listed(kind)
    assert ask(authority, "x.shop.svc.cluster.local").rcode == records.NXDOMAIN
    assert authority.waits_for() == ""


# -- letters and octets ------------------------------------------------------------------------


def reply(authority, name, rtype):
    question = Question(names.from_text(name, lower=False), records.TYPES[rtype])
    question.message = b"\x00\x01"
    return dns.message.from_wire(writer.reply(question, authority.answer(question), 1232))


def test_names_come_back_in_the_letters_of_the_question(store):
    got = reply(authority_of(store), "_HTTP._tcp.WEB.shop.svc.Cluster.LOCAL", "SRV")
    assert got.answer[0].name.to_text() == "_HTTP._tcp.WEB.shop.svc.Cluster.LOCAL."
    assert got.answer[0][0].target.to_text().endswith("Cluster.LOCAL.")


@pytest.mark.parametrize("name", ["foo.dns", "bar.web", "ns.dns.ns", "hostmaster", "aaaaaaaaaa"])
@pytest.mark.parametrize("first", ["foo.dns", "bar.web", "xx.hostmaster", "aaaaaaaaaa"])
def test_the_soa_of_a_denial_is_the_same_behind_every_name(store, first, name):
    authority = authority_of(store)
    reply(authority, f"{first}.cluster.local", "A")
    soa = reply(authority, f"{name}.cluster.local", "A").authority[0]
    assert soa.name.to_text() == "cluster.local."
    assert soa[0].mname.to_text() == "ns.dns.cluster.local."
    assert soa[0].rname.to_text() == "hostmaster.cluster.local."


def test_a_target_that_would_be_too_long_is_left_out():
    zone = names.from_labels([b"z" * 63, b"y" * 40])
    wide = "s" * 63
    store = filled(
        Namespace("n" * 20, "1"),
        service(wide, "n" * 20, ("None",)),
        piece("x", wide, endpoint("10.0.0.1", "e" * 63), namespace="n" * 20),
    )
    authority = KubernetesAuthority(store, [zone, W("in-addr.arpa")])
    qname = names.from_labels([wide.encode(), b"n" * 20, b"svc"], zone)
    answer = authority.answer(Question(qname, records.SRV))
    assert (answer.rcode, answer.answer) == (records.NOERROR, ())
    assert ask(authority, "1.0.0.10.in-addr.arpa", "PTR").rcode == records.NXDOMAIN
    assert all(len(record.owner) <= 255 for record in authority.zone_records(zone))


# -- where questions go on -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fallthrough", "name", "goes_on"),
    [
        ((), "gone.shop.svc.cluster.local", False),
        ((".",), "gone.shop.svc.cluster.local", True),
        (("svc.cluster.local",), "gone.shop.svc.cluster.local", True),
        (("svc.cluster.local",), "gone.cluster.local", False),
        (("local",), "gone.cluster.local", True),
        (("in-addr.arpa",), "gone.cluster.local", False),
        ((".",), "shop.svc.cluster.local", False),
    ],
)
def test_only_missing_names_fall_through(store, fallthrough, name, goes_on):
    authority = authority_of(store, fallthrough=tuple(W(zone) for zone in fallthrough))
    assert (ask(authority, name) is None) is goes_on


def test_the_longest_zone_answers(store):
    authority = authority_of(store, W("example.org"), W("cluster.example.org"))
    inner = ask(authority, "x.cluster.example.org")
    assert inner.authority[0].owner == W("cluster.example.org")
    assert ask(authority, "x.example.org").authority[0].owner == W("example.org")
    assert ask(authority, "x.example.com") is None


@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
def test_a_transfer_is_refused_here(store, rtype):
    assert ask(authority_of(store), "cluster.local", rtype).rcode == records.REFUSED


# -- ExternalName ----------------------------------------------------------------------------


def test_an_alias_inside_the_zone_is_followed_here(store):
    lookup = FakeLookup()
    answer = ask(authority_of(store, lookup=lookup), "intern.ext.svc.cluster.local")
    assert texts(answer) == ["web.shop.svc.cluster.local.", "10.96.0.1"]
    assert answer.answer[1].owner == W("web.shop.svc.cluster.local")
    assert not lookup.asked


def test_a_followed_alias_is_as_fresh_as_its_target(store):
    authority = authority_of(store)
    ask(authority, "intern.ext.svc.cluster.local")
    store.upsert(service(ips=("10.96.0.7",), version="2"))
    assert texts(ask(authority, "intern.ext.svc.cluster.local"))[1:] == ["10.96.0.7"]


def test_an_alias_that_leads_out_is_looked_up_each_time(store):
    lookup = FakeLookup(tc=True)
    authority = authority_of(store, lookup=lookup)
    answer = ask(authority, "out.ext.svc.cluster.local")
    assert texts(answer) == ["docs.ext.svc.cluster.local.", "www.example.com.", "192.0.2.53"]
    assert [record.ttl for record in answer.answer] == [5, 5, 300]
    assert (answer.aa, answer.tc) == (True, True)
    ask(authority, "out.ext.svc.cluster.local")
    assert len(lookup.asked) == 2


def test_an_answer_may_be_waited_for(store):
    lookup = FakeLookup()
    lookup.waiting = Deferred()
    waiting = ask(authority_of(store, lookup=lookup), "docs.ext.svc.cluster.local")
    got = []
    waiting.addCallback(got.append)
    assert not got
    lookup.waiting.callback(Answer((records.address(W("www.example.com"), "192.0.2.1", 9),)))
    assert texts(got[0]) == ["www.example.com.", "192.0.2.1"]


@pytest.mark.parametrize("lookup", [None, FakeLookup()])
def test_an_alias_whose_target_is_unknown_outside_stands_alone(store, lookup):
    answer = ask(authority_of(store, lookup=lookup), "docs.ext.svc.cluster.local", "AAAA")
    assert (answer.rcode, texts(answer)) == (records.NOERROR, ["www.example.com."])


@pytest.mark.parametrize("name", ["loop", "below", "dangling"])
def test_an_alias_that_leads_nowhere_inside_is_empty_not_missing(store, name):
    authority = authority_of(store)
    answer = ask(authority, f"{name}.ext.svc.cluster.local")
    assert (answer.rcode, answer.answer, len(answer.authority)) == (records.NOERROR, (), 1)
    assert len(ask(authority, f"{name}.ext.svc.cluster.local", "CNAME").answer) == 1


# -- the top, the way back, options ----------------------------------------------------------


def test_the_apex_and_its_name_server(store):
    authority = authority_of(store, local_addresses=("192.0.2.9", "2001:db8::9"))
    servers = ask(authority, "CLUSTER.local", "NS")
    assert texts(servers) == ["ns.dns.cluster.local."]
    assert len(servers.additional) == 2
    assert texts(ask(authority, "NS.dns.cluster.LOCAL")) == ["192.0.2.9"]
    assert texts(ask(authority, "ns.dns.cluster.local", "AAAA")) == ["2001:db8::9"]
    assert not ask(authority, "ns.dns.cluster.local", "TXT").answer


def test_the_service_in_front_of_this_server_is_its_name(store):
    store.upsert(piece("web-1", "web", endpoint("192.0.2.9")))
    store.upsert(piece("db-2", "db", endpoint("192.0.2.9", "db-9")))
    authority = authority_of(store, local_addresses=("192.0.2.9",))
    got = set(texts(ask(authority, "cluster.local", "NS")))
    assert got == {"web.shop.svc.cluster.local.", "db-9.db.shop.svc.cluster.local."}


def test_without_any_address_there_is_no_name_server(store):
    assert not ask(authority_of(store), "cluster.local", "NS").answer


@pytest.mark.parametrize("name", ["cluster.local", "svc.cluster.local", "shop.svc.cluster.local"])
def test_empty_names_exist_for_txt_too(store, name):
    """CoreDNS says NXDOMAIN here, which would deny everything below (RFC 8020)."""
    assert ask(authority_of(store), name, "TXT").rcode == records.NOERROR


def test_the_schema_version(store):
    answer = ask(authority_of(store), "dns-version.cluster.local", "TXT")
    assert answer.answer[0].rdata == b"\x051.1.0"
    assert ask(authority_of(store), "dns-version.cluster.local").rcode == records.NXDOMAIN


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("1.0.96.10", ["web.shop.svc.cluster.local."]),
        ("1.0.1.10", ["db-0.db.shop.svc.cluster.local."]),
        ("2.0.1.10", ["10-1-0-2.db.shop.svc.cluster.local."]),
    ],
)
def test_names_of_addresses(store, name, targets):
    authority = authority_of(store)
    assert texts(ask(authority, f"{name}.in-addr.arpa", "PTR")) == targets
    other = ask(authority, f"{name}.in-addr.arpa")
    assert (other.rcode, other.answer) == (records.NOERROR, ())


@pytest.mark.parametrize("address", ["1.0.96.10", "1.0.1.10"])
def test_addresses_in_namespaces_that_are_not_served_have_no_names(store, address):
    authority = authority_of(store, namespaces=frozenset({"ext"}))
    assert ask(authority, f"{address}.in-addr.arpa", "PTR").rcode == records.NXDOMAIN


@pytest.mark.parametrize("label", ["fd00-1--0", "2001-db8--1"])
def test_no_endpoint_name_ends_in_a_hyphen(store, label):
    store.upsert(piece("six", "db", endpoint("fd00:1::"), endpoint("2001:db8::1")))
    assert ask(authority_of(store), f"{label}.db.shop.svc.cluster.local", "AAAA").answer


def test_an_endpoint_has_a_name_in_every_service_that_selects_it(store):
    authority = authority_of(store)
    ask(authority, "1.0.1.10.in-addr.arpa", "PTR")
    store.upsert(piece("w", "web", endpoint("10.1.0.1")))
    got = set(texts(ask(authority, "1.0.1.10.in-addr.arpa", "PTR")))
    assert got == {"db-0.db.shop.svc.cluster.local.", "10-1-0-1.web.shop.svc.cluster.local."}


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("eu-a.pin", ["10.1.0.1"]),
        ("EU-b.pin", ["10.1.0.2"]),
        ("eu-c.pin", []),
        ("eu-a.prefer", ["10.1.0.1"]),
        ("eu-c.prefer", ["10.1.0.1", "10.1.0.2"]),
    ],
)
def test_zonal_names(store, name, addresses):
    answer = ask(authority_of(store, zonal=True), f"{name}._zone.db.shop.svc.cluster.local")
    assert (answer.rcode, texts(answer)) == (records.NOERROR, addresses)


@pytest.mark.parametrize("service", ["web", "gone"])
def test_zonal_names_are_for_headless_services(store, service):
    answer = ask(
        authority_of(store, zonal=True), f"eu-a.pin._zone.{service}.shop.svc.cluster.local"
    )
    assert answer.rcode == records.NXDOMAIN


def test_a_ceiling_holds_for_every_ttl_from_then_on(store):
    authority = authority_of(store, ttl=3600)
    ask(authority, "web.shop.svc.cluster.local")
    authority.limit_ttl(7)
    for name, rtype in (
        ("web.shop.svc.cluster.local", "A"),
        ("dns-version.cluster.local", "TXT"),
        ("cluster.local", "SOA"),
    ):
        assert ask(authority, name, rtype).answer[0].ttl == 7


def test_the_soa_lives_no_longer_than_five_minutes(store):
    soa = ask(authority_of(store, ttl=3600), "cluster.local", "SOA").answer[0]
    assert soa.ttl == 300
    assert records.rdata_text(soa).endswith(" 7200 1800 86400 3600")


# -- what others ask ---------------------------------------------------------------------------


def test_a_transfer_holds_what_questions_get(store):
    """Every record of a transfer but the glue is what a question for it gets (weights aside)."""
    authority = authority_of(store, local_addresses=("192.0.2.9",))
    zone = list(authority.zone_records(CLUSTER))
    assert zone[0] == zone[-1]
    assert zone[0].rtype == records.SOA
    assert {records.type_name(record.rtype) for record in zone} == {
        "SOA",
        "NS",
        "A",
        "SRV",
        "CNAME",
    }
    for record in zone[3:]:
        answer = authority.answer(Question(record.owner, record.rtype))
        assert (record.owner, record.rdata) in {(r.owner, r.rdata) for r in answer.answer}
    assert list(authority.zone_records(W("example.org"))) == []
    assert authority.zone_serial(W("example.org")) is None


def test_a_reverse_zone_transfers_its_apex_alone(store):
    kinds = [record.rtype for record in authority_of(store).zone_records(W("in-addr.arpa"))]
    assert kinds == [records.SOA, records.SOA]


def described(authority, name, host):
    question = Question(W(name), records.A)
    question.address = (host, 1)
    labels = {}
    authority.describe(question, labels)
    return labels


def test_metadata_says_what_is_asked_and_which_pod_asks(store):
    authority = authority_of(store, pods="verified")
    labels = described(authority, "_http._tcp.web.shop.svc.cluster.local", "10.1.9.9")
    assert labels == {
        "kubernetes/endpoint": "",
        "kubernetes/kind": "svc",
        "kubernetes/namespace": "shop",
        "kubernetes/port-name": "http",
        "kubernetes/protocol": "tcp",
        "kubernetes/service": "web",
        "kubernetes/client-namespace": "shop",
        "kubernetes/client-pod-name": "client",
    }
    assert "kubernetes/parse-error" in described(authority, "x.cluster.local", "10.0.0.1")
    assert described(authority, "example.com", "10.1.9.9") == {}


def test_the_search_path_of_a_known_pod(store):
    authority = authority_of(store, pods="verified", search=(W("corp.example"),))
    question = Question(W("web.shop.svc.cluster.local"), records.A)
    assert authority.search_path(question) == ()
    question.address = ("10.1.9.9", 1)
    path = [names.to_text(suffix) for suffix in authority.search_path(question)]
    assert path == [
        "shop.svc.cluster.local.",
        "svc.cluster.local.",
        "cluster.local.",
        "corp.example.",
    ]
