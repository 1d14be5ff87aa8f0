"""The authority equals a naive oracle that spells out every record of a small cluster.

The oracle is written from the Kubernetes DNS specification 1.1.0 and CoreDNS's documented choices
where that leaves one: it lists what exists, and looks names up in the list.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict

from hypothesis import given, strategies as st

from k8sdns import names, records
from k8sdns.answers import Answer, Question
from k8sdns.authorities.kubernetes import KubernetesAuthority
from k8sdns.cluster.model import KINDS
from k8sdns.cluster.store import Store
from k8sdns.testing.strategies import ADDRESSES, HOSTNAMES, NAMESPACES, SERVICES, clusters

ZONE = "cluster.local."
TTL = 5
TYPES = [records.A, records.AAAA, records.SRV, records.CNAME, records.TXT, records.ANY, 65]

options = st.fixed_dictionaries(
    {
        "pods": st.sampled_from(["disabled", "insecure", "verified"]),
        "namespaces": st.sampled_from(
            [None, None, frozenset({"default"}), frozenset({"svc", "gone"})]
        ),
        "endpoint_pod_names": st.booleans(),
        "ignore_empty_service": st.sampled_from([False, False, True]),
        "noendpoints": st.sampled_from([False, False, True]),
    }
)


class Oracle:
    """Every name of the zone, spelled out; `found` is name → type → set of rdata in text."""

    def __init__(self, store: Store, options) -> None:
        self.store, self.options = store, options
        self.found = defaultdict(lambda: defaultdict(set))
        self.exposed = {
            n.name
            for n in store.things("namespaces")
            if options["namespaces"] is None or n.name in options["namespaces"]
        }
        self.exists = {ZONE, f"svc.{ZONE}", f"pod.{ZONE}"}
        for namespace in self.exposed:
            self.exists.add(f"{namespace}.svc.{ZONE}")
            if options["pods"] != "disabled":
                self.exists.add(f"{namespace}.pod.{ZONE}")
        for service in store.things("services"):
            if service.namespace in self.exposed:
                self._service(service)
        if options["pods"] == "verified":
            for pod in store.things("pods"):
                if pod.namespace in self.exposed:
                    self._pod(pod.namespace, pod.ip)
        if options["pods"] == "insecure":
            for namespace in self.exposed:
                for address in ADDRESSES:
                    self._pod(namespace, address)

    def _pod(self, namespace, address):
        if address.endswith("::"):
            return  # its label would end in a hyphen; the name with a 0 is another address
        name = f"{dashed(address)}.{namespace}.pod.{ZONE}"
        self._place(name, [(address, 0, name)])

    def _place(self, name, entries):
        """Put what `entries`, (address, port, target), give at `name`."""
        if not entries:
            return
        self.exists.add(name)
        for address, port, target in entries:
            rtype = records.AAAA if ":" in address else records.A
            self.found[name][rtype].add(str(ipaddress.ip_address(address)))
            if port != -1:
                weight = max(100 // len(entries), 1)
                self.found[name][records.SRV].add(f"0 {weight} {port} {target}")

    def _service(self, service):
        own = f"{service.name}.{service.namespace}.svc.{ZONE}"
        rows = self._endpoint_rows(service, own)
        if service.type == "ExternalName":
            if service.external_name != "10.9.9.9":
                self.exists.add(own)
                for rtype in (records.CNAME, records.A, records.AAAA):
                    self.found[own][rtype].add(f"{service.external_name}.")
            return
        headless = service.cluster_ips == ("None",)
        if self.options["ignore_empty_service"] and not headless and not rows:
            return
        for label in {row[0] for row in rows}:
            at = [row[1:4] for row in rows if row[0] == label]
            self._place(f"{label}.{own}", at)
        if not headless:
            rows = [("", ip, p.port, own, p) for p in service.ports for ip in service.cluster_ips]
        self._place(own, [row[1:4] for row in rows])
        for port in {row[4] for row in rows}:
            if port.name:
                at = [
                    r[1:4] for r in rows if (r[4].name, r[4].protocol) == (port.name, port.protocol)
                ]
                self._place(f"_{port.name}._{port.protocol.lower()}.{own}", at)

    def _endpoint_rows(self, service, own):
        if self.options["noendpoints"]:
            return []
        rows = []
        for piece in sorted(self.store.things("endpointslices"), key=lambda s: s.name):
            if (piece.namespace, piece.service) == (service.namespace, service.name):
                for endpoint in piece.endpoints:
                    address = endpoint.address
                    label = self._label(endpoint, address)
                    for port in piece.ports:
                        rows.append((label, address, port.port, f"{label}.{own}", port))
        return rows

    def _label(self, endpoint, address):
        if endpoint.hostname:
            return endpoint.hostname
        if self.options["endpoint_pod_names"] and endpoint.target:
            return endpoint.target
        label = dashed(address)
        return label + "0" if label.endswith("-") else label

    def says(self, name, rtype):
        """Return (rcode, rdata texts)."""
        if name not in self.exists:
            return records.NXDOMAIN, set()
        return records.NOERROR, self.found[name][rtype]


def dashed(address):
    return address.replace(".", "-").replace(":", "-")


def interesting_names():
    yield ZONE
    first = [
        "",
        *HOSTNAMES[2:],
        "nope",
        "pod-x",
        "10-0-0-1",
        "fd00--1",
        "fd00-0-1--",
        "fd00-0-1--0",
    ]
    for tree in ("svc", "pod", "foo"):
        yield f"{tree}.{ZONE}"
        for namespace in (*NAMESPACES, "none"):
            yield f"{namespace}.{tree}.{ZONE}"
    for namespace in (*NAMESPACES, "none"):
        for service in (*SERVICES, "nope"):
            own = f"{service}.{namespace}.svc.{ZONE}"
            yield own
            for label in first[1:]:
                yield f"{label}.{own}"
            for port in ("http", "dns", "nope"):
                for protocol in ("tcp", "udp"):
                    yield f"_{port}._{protocol}.{own}"
        for label in ("10-0-0-1", "10-0-0-2", "fd00--1", "web"):
            yield f"{label}.{namespace}.pod.{ZONE}"
    yield f"a.b.c.web.default.svc.{ZONE}"


NAMES = {name: names.from_text(name) for name in interesting_names()}


def filled(some) -> Store:
    store = Store(clock=lambda: 1000.0)
    for kind in KINDS:
        store.listing(kind)
    for thing in some:
        store.upsert(thing)
    for kind in KINDS:
        store.listed(kind)
    return store


def said(authority, name, rtype):
    answer = authority.answer(Question(NAMES[name], rtype))
    assert isinstance(answer, Answer)
    assert answer.aa
    assert bool(answer.authority) == (not answer.answer), "the SOA goes with denials alone"
    return answer.rcode, {records.rdata_text(record) for record in answer.answer}


def everything_said(authority):
    return {(name, rtype): said(authority, name, rtype) for name in NAMES for rtype in TYPES}


@given(clusters(), options)
def test_the_authority_says_what_the_oracle_says(some, options):
    store = filled(some)
    oracle = Oracle(store, options)
    authority = KubernetesAuthority(store, [names.from_text(ZONE)], ttl=TTL, **options)
    for (name, rtype), answer in everything_said(authority).items():
        assert answer == oracle.says(name, rtype), (name, rtype)


@given(clusters(), clusters(), st.data(), options)
def test_a_memory_of_answers_never_shows(before, after, data, options):
    """After any changes the authority says what one would that has just started."""
    store = filled(before)
    zones = [names.from_text(ZONE)]
    authority = KubernetesAuthority(store, zones, **options)
    everything_said(authority)
    for thing in after:
        store.upsert(thing)
    for kind in KINDS:
        for thing in list(store.things(kind)):
            if data.draw(st.booleans()):
                namespace = "" if kind == "namespaces" else thing.namespace
                store.delete(kind, namespace, thing.name)
    assert everything_said(authority) == everything_said(
        KubernetesAuthority(store, zones, **options)
    )


@given(clusters(), clusters(), st.sampled_from([*ADDRESSES, "10.96.0.1", "10.96.0.2", "fd00::2"]))
def test_the_names_of_an_address_are_never_old(before, after, address):
    store = filled(before)
    zones = [names.from_text(zone) for zone in (ZONE, "in-addr.arpa", "ip6.arpa")]
    question = Question(names.reverse_name(address), records.PTR)
    authority = KubernetesAuthority(store, zones)
    authority.answer(question)
    for thing in after:
        store.upsert(thing)
    now, fresh = authority.answer(question), KubernetesAuthority(store, zones).answer(question)
    assert (now.rcode, now.answer) == (fresh.rcode, fresh.answer)


@given(st.binary(min_size=1, max_size=40), st.integers(1, 12))
def test_a_zone_matches_at_label_boundaries_alone(octets, cut):
    """A label that ends in the octets of the zone is not in the zone (and its tail never is)."""
    zone = names.from_text(ZONE)
    authority = KubernetesAuthority(filled([]), [zone])
    swallowed = (octets + zone[:-1])[-63:]
    outside = bytes((len(swallowed),)) + swallowed + b"\x00"
    assert authority.answer(Question(outside, records.A)) is None
    label = octets[:cut]
    inside = bytes((len(label),)) + label + zone
    assert authority.answer(Question(inside, records.A)) is not None
