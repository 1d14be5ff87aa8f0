"""Missing names of one namespace are denied on a short way, which must end wherever they appear."""

from __future__ import annotations

import pytest

from k8sdns import names, records
from k8sdns.answers import Question
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster.model import KINDS, Namespace, Port, Service
from k8sdns.cluster.store import Store

W = names.from_text
SHOP = "shop.svc.cluster.local"


def service(name):
    return Service(
        "shop", name, "1", "ClusterIP", ("10.96.0.1",), "", (Port("http", 80, "TCP"),), ()
    )


def authority_of(store, *zones, **options):
    return KubernetesAuthority(store, [W(zone) for zone in ("cluster.local", *zones)], **options)


@pytest.fixture
def store():
    made = Store(clock=lambda: 1_700_000_000.0)
    for kind in KINDS:
        made.listing(kind)
    made.upsert(Namespace("shop", "1"))
    for kind in KINDS:
        made.listed(kind)
    return made


def ask(authority, name, rtype="A"):
    return authority.answer(Question(W(name), records.TYPES[rtype]))


def test_a_service_is_there_as_soon_as_it_exists_however_often_it_was_denied(store):
    authority = authority_of(store)
    for _ in range(3):
        assert ask(authority, f"web.{SHOP}").rcode == records.NXDOMAIN
    store.upsert(service("web"))
    assert ask(authority, f"web.{SHOP}").answer
    assert ask(authority, f"other.{SHOP}").rcode == records.NXDOMAIN
    store.delete("services", "shop", "web")
    assert ask(authority, f"web.{SHOP}").rcode == records.NXDOMAIN


@pytest.mark.parametrize("rtype", ["SOA", "PTR", "AXFR", "TXT", "SRV"])
def test_every_type_is_answered_as_at_the_first_question(store, rtype):
    first = ask(authority_of(store), f"web.{SHOP}", rtype)
    authority = authority_of(store)
    ask(authority, f"other.{SHOP}")
    later = ask(authority, f"web.{SHOP}", rtype)
    assert (later.rcode, later.authority) == (first.rcode, first.authority)


def test_a_namespace_that_goes_away_takes_its_names_along(store):
    authority = authority_of(store, fallthrough=[W("cluster.local")])
    assert ask(authority, f"web.{SHOP}") is None
    store.delete("namespaces", "", "shop")
    assert ask(authority, SHOP) is None
    store.upsert(Namespace("shop", "2"))
    assert ask(authority, SHOP).rcode == records.NOERROR


def test_a_zone_of_its_own_below_a_namespace_keeps_its_names(store):
    authority = authority_of(store, f"own.{SHOP}")
    assert ask(authority, f"web.{SHOP}").rcode == records.NXDOMAIN
    assert ask(authority, f"own.{SHOP}").rcode == records.NOERROR


def test_names_at_and_above_the_root_are_nobodys(store):
    authority = authority_of(store)
    ask(authority, f"web.{SHOP}")
    assert ask(authority, ".") is None
    assert ask(authority, "shop") is None
