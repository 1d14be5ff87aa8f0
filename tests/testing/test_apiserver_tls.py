"""TLS: the server's certificate, client certificates as users, rotation."""

from __future__ import annotations

import pytest
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.protocols.tls import TLSMemoryBIOFactory

from k8sdns.testing.apiserver import Authority


class Get(Protocol):
    def __init__(self):
        self.octets = b""
        self.ended = None

    def connectionMade(self):
        self.transport.write(b"GET /api/v1/services HTTP/1.1\r\nHost: api\r\n\r\n")

    def dataReceived(self, data):
        self.octets += data

    def connectionLost(self, reason):
        self.ended = reason.value

    @property
    def code(self):
        return int(self.octets.split()[1]) if self.octets else None


@pytest.fixture
def get(clock, server):
    server.tls = Authority()

    def connect(ca_pem=None, client=None, name="kubernetes"):
        certificate = PrivateCertificate.loadPEM(b"".join(client)) if client else None
        trust = Certificate.loadPEM(ca_pem or server.tls.ca_pem)
        options = optionsForClientTLS(name, trustRoot=trust, clientCertificate=certificate)
        protocol = Get()
        factory = Factory.forProtocol(lambda: protocol)
        server.endpoint().connect(TLSMemoryBIOFactory(options, True, factory, clock))
        clock.advance(0)
        return protocol

    return connect


@pytest.mark.parametrize("name", ["kubernetes", "localhost", "127.0.0.1", "::1"])
def test_the_certificate_holds_for_each_name(get, name):
    assert get(name=name).code == 200


def test_another_name_or_another_authority_is_no_connection(get):
    assert get(name="elsewhere").code is None
    assert get(ca_pem=Authority().ca_pem).code is None


def test_a_client_certificates_common_name_is_the_user(server, get):
    server.access.add_certificate("dns")
    assert get().code == 401
    assert get(client=server.tls.issue("dns")).code == 200
    assert server.log[-1].user == "dns"
    assert get(client=server.tls.issue("somebody")).code == 401


def test_a_client_certificate_of_another_authority_is_refused(server, get):
    server.access.add_certificate("dns")
    stranger = get(client=Authority().issue("dns"))
    assert stranger.code is None
    assert isinstance(stranger.ended, SSL.Error)


def test_a_renewed_authority_holds_from_the_next_connection_on(server, get):
    old = server.tls.ca_pem
    server.tls.renew()
    assert get(ca_pem=old).code == 200
    server.tls.renew(new_authority=True)
    assert get(ca_pem=old).code is None
    assert get().code == 200
