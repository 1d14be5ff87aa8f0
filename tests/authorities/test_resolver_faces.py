"""Authorities as Twisted Names resolvers, and Twisted Names resolvers as authorities."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from twisted.internet import defer
from twisted.internet.interfaces import IResolver
from twisted.internet.task import Clock
from twisted.names import dns, error
from twisted.names.common import ResolverBase
from twisted.names.resolve import ResolverChain
from zope.interface.verify import verifyObject

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.adapter import ResolverAuthority
from k8sdns.authorities.base import Authority, RcodeError, dotted_name, record_of, wire_name
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster.model import KINDS, Endpoint, EndpointSlice, Namespace, Port, Service
from k8sdns.cluster.store import Store
from k8sdns.errors import Refused
from k8sdns.interfaces import IAuthority, IMetadata, IReadiness, ISearchPath, ITransferable

W = names.from_text
WEB = W("web.shop.svc.cluster.local")


def cluster(synced=True):
    store = Store(clock=lambda: 1000.0)
    port = (Port("http", 80, "TCP"),)
    store.upsert(Namespace("shop", "1"))
    store.upsert(Service("shop", "web", "1", "ClusterIP", ("10.96.0.1", "fd00::1"), "", port, ()))
    store.upsert(Service("shop", "db", "1", "ClusterIP", ("None",), "", port, ()))
    store.upsert(Service("shop", "ext", "1", "ExternalName", (), "www.example.com", (), ()))
    ready = Endpoint("10.1.0.1", "db-0", "", "", "")
    store.upsert(EndpointSlice("shop", "db-x", "db", "1", port, (ready,), None))
    for kind in KINDS if synced else ():
        store.listed(kind)
    zones = [W("cluster.local"), W("in-addr.arpa")]
    return KubernetesAuthority(store, zones, local_addresses=["192.0.2.1"])


class FakeResolver(ResolverBase):
    """Says what it is given: sections, or a failure."""

    def __init__(self, said):
        super().__init__()
        self.said = said
        self.asked = []

    def _lookup(self, name, cls, type, timeout):  # noqa: A002
        self.asked.append(name)
        if isinstance(self.said, defer.Deferred):
            return self.said
        if isinstance(self.said, Exception):
            return defer.fail(self.said)
        return defer.succeed(self.said)


def result_of(waiting):
    got = []
    waiting.addBoth(got.append)
    return got[0]


def adapted(said, **options):
    return ResolverAuthority(FakeResolver(said), "stock", Clock(), **options)


def test_an_authority_keeps_every_promise_of_its_interfaces():
    authority = cluster()
    for interface in (IAuthority, IResolver, IReadiness, IMetadata, ISearchPath, ITransferable):
        assert verifyObject(interface, authority, tentative=interface is IResolver)
    assert verifyObject(IAuthority, adapted(([], [], [])))


# -- law 5: both faces say the same ------------------------------------------------------------

interesting = st.sampled_from(
    [
        "web.shop.svc.cluster.local", "db.shop.svc.cluster.local", "gone.shop.svc.cluster.local",
        "_http._tcp.web.shop.svc.cluster.local", "db-0.db.shop.svc.cluster.local", "cluster.local",
        "shop.svc.cluster.local", "dns-version.cluster.local", "1.0.96.10.in-addr.arpa",
        "ns.dns.cluster.local", "ext.shop.svc.cluster.local", "www.example.com",
    ]
)  # fmt: skip
types = st.sampled_from([1, 2, 5, 6, 12, 16, 28, 33, 65, 252, 255])


@given(interesting, types, st.booleans(), st.booleans())
def test_both_faces_say_the_same(name, rtype, synced, capitals):
    authority = cluster(synced)
    text = name.upper() if capitals else name
    question = Question(names.from_text(text, lower=False), rtype)
    answer = authority.answer(question)
    got = result_of(authority.query(dns.Query(text.encode(), rtype, dns.IN)))
    if answer is None:
        assert got.type is error.DomainError
    elif answer.rcode == records.NXDOMAIN:
        assert got.type is error.DNSNameError
    elif answer.rcode != records.NOERROR:
        assert got.value.answer.rcode == answer.rcode
        assert isinstance(got.value, error.ResolverError)
    else:
        sections = tuple(tuple(record_of(header) for header in part) for part in got)
        assert sections == (answer.answer, answer.authority, answer.additional)
        assert all(header.auth for part in got for header in part)


@given(interesting, types, st.booleans())
def test_an_authority_that_went_through_twisted_names_and_back_is_the_same(name, rtype, synced):
    authority = cluster(synced)
    there_and_back = ResolverAuthority(authority, "again", Clock())
    question = Question(W(name), rtype)
    one, other = authority.answer(question), there_and_back.answer(question)
    if one is None:
        assert other is None
    else:
        assert (one.rcode, one.answer) == (other.rcode, other.answer)


@given(
    st.lists(st.binary(min_size=1, max_size=20).filter(lambda label: b"." not in label), max_size=8)
)
def test_names_survive_twisted_names(labels):
    name = names.from_labels(labels)
    assert wire_name(dotted_name(name)) == name


def test_lookup_methods_end_in_the_same_answers():
    got = result_of(cluster().lookupAddress("web.shop.svc.cluster.local"))
    assert got[0][0].payload.dottedQuad() == "10.96.0.1"
    assert (
        result_of(cluster().lookupService("_http._tcp.web.shop.svc.cluster.local"))[0][
            0
        ].payload.port
        == 80
    )


def test_a_query_error_leaves_as_its_rcode():
    class Strict(Authority):
        word = "strict"

        def answer(self, question):
            raise Refused("not today")

    got = result_of(Strict().query(dns.Query(b"a.example", 1)))
    assert isinstance(got.value, RcodeError)
    assert got.value.answer.rcode == records.REFUSED


def test_a_name_that_is_none_is_nobodys():
    assert result_of(cluster().query(dns.Query(b"a..b", 1))).type is error.DomainError


# -- stacked in a stock chain --------------------------------------------------------------------


def test_a_stock_chain_asks_the_next_for_names_that_are_not_ours():
    last = FakeResolver(([dns.RRHeader(b"www.example.com", dns.A)], [], []))
    chain = ResolverChain([cluster(), last])
    assert len(result_of(chain.query(dns.Query(b"www.example.com", dns.A)))[0]) == 1
    ours = result_of(chain.query(dns.Query(b"web.shop.svc.cluster.local", dns.A)))
    assert ours[0][0].payload.dottedQuad() == "10.96.0.1"
    assert last.asked == [b"www.example.com"]


def test_a_stock_chain_does_not_ask_the_next_after_a_failure():
    last = FakeResolver(([], [], []))
    chain = ResolverChain([cluster(synced=False), last])
    got = result_of(chain.query(dns.Query(b"gone.shop.svc.cluster.local", dns.A)))
    assert isinstance(got.value, RcodeError)
    assert not last.asked


# -- stock resolvers in our chain ------------------------------------------------------------------


def test_records_of_a_stock_resolver():
    mail = dns.RRHeader(
        b"example.com", dns.MX, dns.IN, 60, dns.Record_MX(10, b"mail.example.com", 60), auth=True
    )
    answer = adapted(([mail], [], [])).answer(Question(W("example.com"), records.MX))
    assert isinstance(answer, Answer)
    assert answer.answer == (
        records.Record(W("example.com"), records.MX, 60, b"\x00\x0a" + W("mail.example.com")),
    )
    assert (answer.aa, answer.source) == (True, "stock")


@pytest.mark.parametrize(
    ("failure", "rcode"),
    [
        (error.DNSNameError(), records.NXDOMAIN),
        (error.AuthoritativeDomainError(), records.NXDOMAIN),
        (error.DNSFormatError(), records.FORMERR),
        (error.DNSServerError(), records.SERVFAIL),
        (error.DNSNotImplementedError(), records.NOTIMP),
        (error.DNSQueryRefusedError(), records.REFUSED),
        (error.DNSUnknownError(), records.SERVFAIL),
        (error.ResolverError(), records.SERVFAIL),
        (error.DNSQueryTimeoutError(1), records.SERVFAIL),
    ],
)
def test_failures_that_are_rcodes(failure, rcode):
    assert adapted(failure).answer(Question(WEB)).rcode == rcode


@pytest.mark.parametrize("failure", [error.DomainError(), NotImplementedError()])
def test_failures_that_mean_not_mine(failure):
    assert adapted(failure).answer(Question(WEB)) is None


def test_any_other_failure_is_a_bug_and_stays_one():
    with pytest.raises(KeyError):
        adapted(KeyError("bug")).answer(Question(WEB))


def test_answers_of_another_class_are_not_given():
    header = dns.RRHeader(b"version.bind", dns.TXT, dns.IN, 0, dns.Record_TXT(b"no"))
    authority = adapted(([header], [], []))
    assert authority.answer(Question(W("version.bind"), records.TXT, records.CH)) is None
    assert authority.answer(Question(W("version.bind"), records.TXT)) is not None


def test_a_silent_resolver_is_waited_for_only_so_long():
    clock = Clock()
    authority = ResolverAuthority(FakeResolver(defer.Deferred()), "stock", clock, answer_within=2.0)
    got = []
    authority.answer(Question(WEB)).addCallback(got.append)
    clock.advance(1.9)
    assert not got
    clock.advance(0.2)
    assert got[0].rcode == records.SERVFAIL
    assert got[0].options


def test_a_late_answer_is_waited_for():
    late = defer.Deferred()
    got = []
    adapted(late).answer(Question(WEB)).addCallback(got.append)
    late.callback(
        ([dns.RRHeader(b"a.example", dns.A, dns.IN, 5, dns.Record_A("192.0.2.1"))], [], [])
    )
    assert got[0].answer == (records.address(W("a.example"), "192.0.2.1", 5),)
