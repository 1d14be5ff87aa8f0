"""``k8s_external``: Services under other zones."""

from __future__ import annotations

import dns.flags
import dns.rcode
import dns.reversename
import pytest

from k8sdns.errors import CorefileError
from k8sdns.testing import Upstream, serve


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(name, *, ip="None", external=(), balancer=(), ports=(("http", 80),), space="shop"):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space},
        "spec": {
            "type": "LoadBalancer" if balancer else "ClusterIP",
            "clusterIP": ip,
            "clusterIPs": [ip],
            "externalIPs": list(external),
            "ports": [{"name": port, "port": at, "protocol": "TCP"} for port, at in ports],
        },
        "status": {"loadBalancer": {"ingress": list(balancer)}},
    }


def endpoints(name, *endpoints):
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [ip], "conditions": {"ready": True}, "hostname": host}
            for host, ip in endpoints
        ],
    }


CLUSTER = [
    namespace("shop"),
    namespace("hidden"),
    service("web", ip="10.96.0.1", external=("192.0.2.1", "2001:db8::1"),
            ports=(("http", 80), ("https", 443))),
    service("lb", ip="10.96.0.2", balancer=({"ip": "192.0.2.2"},)),
    service("named", ip="10.96.0.3", balancer=({"hostname": "lb.example.net"},)),
    service("both", ip="10.96.0.4", balancer=({"ip": "192.0.2.4"}, {"hostname": "b.example.net"})),
    service("inner", ip="10.96.0.5"),
    service("db"),
    service("web", ip="10.96.0.6", external=("192.0.2.6",), space="hidden"),
    endpoints("db", ("db-0", "10.244.0.1"), ("db-1", "10.244.0.2")),
    endpoints("inner", ("in-0", "10.244.0.5")),
]  # fmt: skip
UPSTREAM = Upstream("lb.example.net. 60 A 192.0.2.99")


def served(options="", zones="example.org in-addr.arpa ip6.arpa"):
    corefile = f""".:53 {{
        kubernetes cluster.local {{
            manifests cluster.yaml
            namespaces shop
        }}
        k8s_external {zones} {{
            {options}
        }}
        transfer {{
            to *
        }}
        forward . 192.0.2.53
    }}"""
    return serve(corefile, cluster=CLUSTER, upstreams={"192.0.2.53": UPSTREAM})


@pytest.fixture(scope="module")
def plain():
    with served() as server:
        yield server


@pytest.fixture(scope="module")
def headless():
    with served("headless") as server:
        yield server


def texts(section):
    return sorted(line for rrset in section for line in rrset.to_text().splitlines())


def short(section, zone=".example.org."):
    return [line.replace(zone, "").replace(" IN", "") for line in texts(section)]


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("web.shop", "A", ["web.shop 5 A 192.0.2.1"]),
        ("web.shop", "AAAA", ["web.shop 5 AAAA 2001:db8::1"]),
        ("_http._tcp.web.shop", "A", ["_http._tcp.web.shop 5 A 192.0.2.1"]),
        ("lb.shop", "A", ["lb.shop 5 A 192.0.2.2"]),
        ("both.shop", "A", ["both.shop 5 A 192.0.2.4"]),
        ("named.shop", "CNAME", ["named.shop 5 CNAME lb.example.net."]),
        ("named.shop", "A", ["lb.example.net. 60 A 192.0.2.99",
                             "named.shop 5 CNAME lb.example.net."]),
        ("_https._tcp.web.shop", "SRV", ["_https._tcp.web.shop 5 SRV 0 50 443 web.shop"]),
        ("web.shop", "SRV", ["web.shop 5 SRV 0 25 443 web.shop",
                             "web.shop 5 SRV 0 25 80 web.shop"]),
        ("named.shop", "SRV", ["named.shop 5 SRV 0 100 80 lb.example.net."]),
    ],
)  # fmt: skip
def test_services_have_their_outside_addresses(plain, name, qtype, expected):
    reply = plain.ask(f"{name}.example.org.", qtype)
    assert short(reply.answer) == expected
    assert reply.flags & dns.flags.AA


def test_srv_brings_the_addresses_along(plain):
    reply = plain.ask("_http._tcp.web.shop.example.org.", "SRV")
    expected = ["web.shop 5 A 192.0.2.1", "web.shop 5 AAAA 2001:db8::1"]
    assert short(reply.additional) == expected


@pytest.mark.parametrize(
    ("name", "qtype", "rcode"),
    [
        ("shop", "A", "NOERROR"),
        ("lb.shop", "AAAA", "NOERROR"),
        ("web.shop", "TXT", "NOERROR"),
        ("dns", "A", "NOERROR"),
        ("inner.shop", "A", "NXDOMAIN"),
        ("db.shop", "A", "NXDOMAIN"),
        ("none.shop", "A", "NXDOMAIN"),
        ("web.hidden", "A", "NXDOMAIN"),
        ("hidden", "A", "NXDOMAIN"),
        ("x.web.shop", "A", "NXDOMAIN"),
        ("_x._tcp.web.shop", "A", "NXDOMAIN"),
        ("a._http._tcp.web.shop", "A", "NXDOMAIN"),
        ("other.dns", "A", "NXDOMAIN"),
        ("x.ns1.dns", "A", "NXDOMAIN"),
        ("db-0.db.shop", "A", "NXDOMAIN"),
    ],
)
def test_what_has_no_records_is_denied(plain, name, qtype, rcode):
    reply = plain.ask(f"{name}.example.org.", qtype)
    assert (dns.rcode.to_text(reply.rcode()), texts(reply.answer)) == (rcode, [])
    (soa,) = texts(reply.authority)
    assert soa.startswith("example.org. 5 IN SOA ns1.dns.example.org. hostmaster.dns.example.org.")
    assert soa.endswith(" 7200 1800 86400 5")


def test_the_apex_tells_who_serves_it(plain):
    (soa,) = texts(plain.ask("example.org.", "SOA").answer)
    assert soa.split()[4:6] == ["ns1.dns.example.org.", "hostmaster.dns.example.org."]
    reply = plain.ask("example.org.", "NS")
    assert texts(reply.answer) == ["example.org. 5 IN NS ns1.dns.example.org."]
    glue = [line for line in texts(reply.additional) if " A " in line]
    assert texts(plain.ask("ns1.dns.example.org.", "A").answer) == glue
    assert plain.ask("example.org.", "A").rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("192.0.2.1", "web.shop.example.org."),
        ("2001:db8::1", "web.shop.example.org."),
        ("192.0.2.2", "lb.shop.example.org."),
        ("192.0.2.6", None),  # of a namespace that is not shown
        ("10.244.0.1", None),
    ],
)
def test_addresses_lead_back(plain, address, target):
    name = dns.reversename.from_address(address).to_text()
    reply = plain.ask(name, "PTR")
    assert texts(reply.answer) == ([f"{name} 5 IN PTR {target}"] if target else [])
    assert (reply.rcode() == dns.rcode.NXDOMAIN) == (target is None)


@pytest.mark.parametrize(
    ("name", "qtype", "expected"),
    [
        ("db.shop", "A", ["db.shop 5 A 10.244.0.1", "db.shop 5 A 10.244.0.2"]),
        ("db-1.db.shop", "A", ["db-1.db.shop 5 A 10.244.0.2"]),
        ("_http._tcp.db.shop", "SRV", ["_http._tcp.db.shop 5 SRV 0 50 8080 db-0.db.shop",
                                       "_http._tcp.db.shop 5 SRV 0 50 8080 db-1.db.shop"]),
        ("in-0.inner.shop", "A", ["in-0.inner.shop 5 A 10.244.0.5"]),
        ("inner.shop", "A", []),
        ("web.shop", "A", ["web.shop 5 A 192.0.2.1"]),
    ],
)  # fmt: skip
def test_endpoints_have_names_if_asked_for(headless, name, qtype, expected):
    assert short(headless.ask(f"{name}.example.org.", qtype).answer) == expected


def test_addresses_of_endpoints_lead_back_too(headless):
    reply = headless.ask("1.0.244.10.in-addr.arpa.", "PTR")
    assert short(reply.answer) == ["1.0.244.10.in-addr.arpa. 5 PTR db-0.db.shop"]


def test_options_change_ttl_and_apex():
    with served("ttl 77\napex meta") as server:
        assert short(server.ask("web.shop.example.org.").answer) == ["web.shop 77 A 192.0.2.1"]
        reply = server.ask("example.org.", "NS")
        assert texts(reply.answer) == ["example.org. 77 IN NS ns1.meta.example.org."]


def test_cache_bounds_the_ttl():
    text = """. {
        cache 20
        kubernetes cluster.local {
            manifests cluster.yaml
        }
        k8s_external example.org {
            ttl 60
        }
    }"""
    with serve(text, cluster=CLUSTER) as server:
        assert short(server.ask("web.shop.example.org.").answer) == ["web.shop 20 A 192.0.2.1"]
        assert server.ask("example.org.", "SOA").answer[0].ttl == 20


def test_missing_names_fall_through():
    upstream = Upstream("none.shop.example.org. 60 A 192.0.2.50")
    corefile = """. {
        kubernetes cluster.local {
            manifests cluster.yaml
        }
        k8s_external example.org {
            fallthrough
        }
        forward . 192.0.2.53
    }"""
    with serve(corefile, cluster=CLUSTER, upstreams={"192.0.2.53": upstream}) as server:
        assert short(server.ask("none.shop.example.org.").answer) == ["none.shop 60 A 192.0.2.50"]
        assert server.ask("shop.example.org.").answer == []


def test_a_change_shows_at_once_and_moves_the_serial():
    text = ". {\nkubernetes cluster.local {\nmanifests cluster.yaml\n}\nk8s_external example.org\n}"
    with serve(text, cluster=CLUSTER) as server:
        server.advance(2)
        before = server.ask("example.org.", "SOA").answer[0][0].serial
        for _ in range(4):  # often enough to be remembered, if denials were
            assert server.ask("new.shop.example.org.").rcode() == dns.rcode.NXDOMAIN
        changed = [*CLUSTER, service("new", ip="10.96.0.7", external=("192.0.2.7",))]
        server.write("cluster.yaml", changed)
        server.advance(5)
        assert short(server.ask("new.shop.example.org.").answer) == ["new.shop 5 A 192.0.2.7"]
        assert server.ask("example.org.", "SOA").answer[0][0].serial > before


def test_the_zone_can_be_transferred(plain):
    authority = next(
        each for each in plain.servers[0].router.routes[0].block.chain.authorities
        if each.word == "k8s_external"
    )  # fmt: skip
    zone = b"\x07example\x03org\x00"
    assert authority.zones()[0] == zone
    found = list(authority.zone_records(zone))
    assert found[0] == found[-1]
    assert len(found[1:-1]) == len(set(found[1:-1])) > 8
    assert authority.zone_serial(zone) == plain.ask("example.org.", "SOA").answer[0][0].serial
    assert authority.zone_serial(b"\x03net\x00") is None


@pytest.mark.parametrize(
    ("stanza", "line", "message"),
    [
        ("k8s_external example.org", 2, "kubernetes plugin not loaded"),
        ("kubernetes\nk8s_external example.org {\nttl 3601\n}", 4, "from 0 to 3600"),
        ("kubernetes\nk8s_external example.org {\napex a.b\n}", 4, "not one label"),
        ("kubernetes\nk8s_external example.org {\nheadles\n}", 4, "did you mean 'headless'"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(checked, stanza, line, message):
    with pytest.raises(CorefileError) as caught:
        checked(f"cluster.local {{\n{stanza}\n}}")
    assert (caught.value.line, message in str(caught.value)) == (line, True)
