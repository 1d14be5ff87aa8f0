"""``https``: DNS over HTTPS, request by request, and as kdig and curl see it."""

from __future__ import annotations

import base64
import subprocess

import dns.message
import pytest
from h2.connection import H2Connection
from h2.events import ResponseReceived
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from k8sdns.errors import CorefileError
from k8sdns.server.stream import SWEEP_SECONDS, StreamLimits, Streams
from k8sdns.testing.apiserver.tls import Authority
from k8sdns.web.doh import MAX_IN_FLIGHT, MAX_MESSAGE, DohFactory, freshness

CLIENT = IPv4Address("TCP", "192.0.2.9", 4321)
QUERY = dns.message.make_query("web.example.org", "A")
QUERY.id = 0
OCTETS = QUERY.to_wire()
IN_URL = base64.urlsafe_b64encode(OCTETS).rstrip(b"=")


class Transport(StringTransport):
    """A connection that a test looks at from outside."""

    def abortConnection(self):
        self.disconnecting = True
        self.aborted = True


class Listener:
    """A DoH listener without sockets; `answer` is what its server says to every query."""

    def __init__(self, answer=None, limits=None):
        self.clock = Clock()
        self.streams = Streams(self.clock, limits)
        self.asked = []
        self.statuses = []
        self.answer = answer
        self.factory = DohFactory(self.respond, self.streams, self.statuses.append, self.clock)

    def respond(self, message, peer, here):
        self.asked.append((message, peer, here))
        return self.answer

    def connect(self):
        transport = Transport(peerAddress=CLIENT)
        protocol = self.factory.buildProtocol(CLIENT)
        if protocol is None:
            return None
        protocol.makeConnection(transport)
        transport.protocol = protocol
        return transport

    def send(self, request, transport=None):
        """Return (status, headers, body) of the response to one HTTP/1.1 request."""
        transport = transport or self.connect()
        transport.clear()
        transport.protocol.dataReceived(request)
        return response(transport)


class Http2:
    """A client of HTTP/2 on a connection of a `Listener`."""

    def __init__(self, listener):
        self.transport = listener.connect()
        self.transport.negotiatedProtocol = b"h2"  # what TLS would have agreed on
        self.client = H2Connection()
        self.client.initiate_connection()
        self.flush()

    def flush(self):
        """Carry octets to and fro; return what the server said."""
        self.transport.protocol.dataReceived(self.client.data_to_send())
        return self.events()

    def events(self):
        octets = self.transport.value()
        self.transport.clear()
        return self.client.receive_data(octets)

    def get(self):
        stream = self.client.get_next_available_stream_id()
        headers = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "dns.test"),
            (":path", "/dns-query?dns=" + IN_URL.decode()),
        ]
        self.client.send_headers(stream, headers, end_stream=True)
        return stream


def statuses_of(events):
    found = [event for event in events if isinstance(event, ResponseReceived)]
    return [dict(event.headers)[b":status"] for event in found]


def response(transport):
    octets = transport.value()
    if not octets:
        return None
    head, _, body = octets.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def get(uri, method=b"GET"):
    return method + b" " + uri + b" HTTP/1.1\r\nHost: dns.test\r\n\r\n"


def post(body, path=b"/dns-query", headers=b""):
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + headers + length + b"\r\n" + body


@pytest.fixture
def server(serve, zone_file):
    """A listener in front of a block that serves a zone."""
    path = zone_file("@ NS ns\nweb 60 A 192.0.2.1\nlong 7200 A 192.0.2.2\n")
    return serve(f"https://. {{\nfile {path} example.org\ntransfer {{\nto *\n}}\n}}")


def ask(server, request):
    ((_server, factory),) = server.generation.servers.values()
    protocol = factory.buildProtocol(CLIENT)
    transport = Transport(peerAddress=CLIENT)
    protocol.makeConnection(transport)
    protocol.dataReceived(request)
    return response(transport)


# -- requests and responses ------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        get(b"/dns-query?dns=" + IN_URL),
        get(b"/dns-query?other=1&dns=" + IN_URL),
        post(OCTETS),
        post(OCTETS, headers=b"Content-Type: application/dns-message\r\n"),
        post(OCTETS, headers=b"Content-Type: application/x-www-form-urlencoded\r\n"),
        b"POST /dns-query HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n" % len(OCTETS) + OCTETS + b"\r\n0\r\n\r\n",
    ],
)  # fmt: skip
def test_a_query_is_answered(server, request_):
    status, headers, body = ask(server, request_)
    assert status == 200
    assert headers["content-type"] == "application/dns-message"
    assert headers["cache-control"] == "max-age=60"
    assert headers["content-length"] == str(len(body))
    assert "server" not in headers
    reply = dns.message.from_wire(body)
    assert QUERY.is_response(reply)
    assert reply.answer[0].to_text() == "web.example.org. 60 IN A 192.0.2.1"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get(b"/"), 404),
        (get(b"/dns-query/?dns=" + IN_URL), 404),
        (get(b"/dns-query/more?dns=" + IN_URL), 404),
        (get(b"/dns-query"), 400),
        (get(b"/dns-query?dns="), 400),
        (get(b"/dns-query?dns=" + IN_URL + b"&dns=" + IN_URL), 400),
        (get(b"/dns-query?dns=" + IN_URL + b"=="), 400),
        (get(b"/dns-query?dns=!!!!"), 400),
        (get(b"/dns-query?dns=" + IN_URL, b"PUT"), 400),
        (get(b"/dns-query?dns=" + IN_URL, b"DELETE"), 400),
        (post(b""), 400),
        (post(b"short"), 400),
        (post(OCTETS[:2] + b"\x80" + OCTETS[3:]), 400),  # a response
        (post(OCTETS[:2] + b"\x28" + OCTETS[3:]), 400),  # UPDATE
        (post(OCTETS[:-3]), 400),
        (post(OCTETS + bytes(MAX_MESSAGE)), 400),
        (post(dns.message.make_query("example.org", "AXFR").to_wire()), 400),
    ],
)
def test_what_is_no_query_is_refused(server, request_, status):
    assert ask(server, request_)[0] == status
    counts = {metric.name: values for metric, values in server.metrics.counts.items()}
    responses = counts["coredns_dns_https_responses_total"]
    assert responses == {("https://:443", str(status)): 1}


def test_an_upstream_s_format_error_is_a_message_like_others():
    refused = QUERY.to_wire()
    refused = refused[:2] + b"\x81\x81" + refused[4:]
    status, headers, body = Listener(refused).send(post(OCTETS))
    assert (status, headers["content-type"]) == (200, "application/dns-message")
    assert body == refused


def test_the_server_sees_the_client_s_address():
    listener = Listener(OCTETS)
    listener.send(post(OCTETS))
    ((message, peer, _here),) = listener.asked
    assert (message, peer) == (OCTETS, ("192.0.2.9", 4321))


def test_silence_is_a_failure_in_http():
    assert Listener(None).send(post(OCTETS))[0] == 500


def test_an_answer_may_have_to_be_waited_for():
    listener = Listener(Deferred())
    transport = listener.connect()
    assert listener.send(post(OCTETS), transport) is None
    listener.clock.pump([SWEEP_SECONDS] * 20)  # a client that waits for us has all the time
    listener.answer.callback(QUERY.to_wire())
    assert response(transport)[0] == 200


def test_a_client_that_went_away_is_no_trouble():
    listener = Listener(Deferred())
    transport = listener.connect()
    listener.send(post(OCTETS), transport)
    transport.protocol.connectionLost()
    listener.answer.callback(QUERY.to_wire())
    assert listener.statuses == [200]
    assert len(listener.streams) == 0


def test_several_queries_share_a_connection():
    listener = Listener(QUERY.to_wire())
    transport = listener.connect()
    assert [listener.send(post(OCTETS), transport)[0] for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        ("", 5),
        (";ANSWER\na.org. 60 IN A 192.0.2.1\na.org. 30 IN A 192.0.2.2", 30),
        (";ANSWER\na.org. 86400 IN A 192.0.2.1", 3600),
        (";ANSWER\na.org. 60 IN A 192.0.2.1\n;ADDITIONAL\nb.org. 0 IN A 192.0.2.1", 0),
        (";AUTHORITY\norg. 7 IN SOA a. b. 1 2 3 4 5", 7),
    ],
)
def test_caches_may_keep_a_reply_for_its_smallest_ttl(reply, seconds):
    message = dns.message.from_text(f"id 0\nflags QR\n;QUESTION\na.org. IN A\n{reply}\n")
    assert freshness(message.to_wire()) == seconds
    message.set_rcode(2)
    assert freshness(message.to_wire()) == 5


# -- HTTP/2 ----------------------------------------------------------------------------------


def test_queries_over_http_2_are_answered_as_they_become_ready():
    listener = Listener(Deferred())
    client = Http2(listener)
    client.get()
    client.flush()
    slow, listener.answer = listener.answer, QUERY.to_wire()
    client.get()
    assert statuses_of(client.flush()) == [b"200"]
    listener.clock.advance(0)
    slow.callback(QUERY.to_wire())
    assert statuses_of(client.events()) == [b"200"]


def test_streams_that_are_reset_at_once_hold_no_more_than_others():
    listener = Listener()
    client = Http2(listener)
    for _ in range(2 * MAX_IN_FLIGHT):
        listener.answer = Deferred()
        client.client.reset_stream(client.get())
        client.flush()
    assert len(listener.asked) == MAX_IN_FLIGHT
    assert listener.statuses == [503] * MAX_IN_FLIGHT


# -- connections -----------------------------------------------------------------------------


def test_the_connection_idle_longest_makes_room():
    listener = Listener(QUERY.to_wire(), StreamLimits(connections=2))
    first, second = listener.connect(), listener.connect()
    listener.clock.advance(0.5)
    listener.send(post(OCTETS), first)
    third = listener.connect()
    assert [each.disconnecting for each in (first, second, third)] == [False, True, False]


def test_there_is_no_room_among_those_that_wait():
    listener = Listener(Deferred(), StreamLimits(connections=1))
    listener.send(post(OCTETS), listener.connect())
    assert listener.connect() is None


@pytest.mark.parametrize(("said", "seconds"), [(b"", 3), (b"POST /dns-q", 3), (post(OCTETS), 10)])
def test_the_silent_are_dropped(said, seconds):
    listener = Listener(QUERY.to_wire())
    transport = listener.connect()
    transport.protocol.dataReceived(said)
    listener.clock.pump([SWEEP_SECONDS] * (seconds - 1))
    assert not transport.disconnecting
    listener.clock.pump([SWEEP_SECONDS] * 2)
    assert transport.disconnecting


def test_a_reload_keeps_connections_and_asks_the_new_server():
    old, new = Listener(None), Listener(QUERY.to_wire())
    transport = old.connect()
    assert old.send(post(OCTETS), transport)[0] == 500
    new.streams.take_over(old.streams, new.respond)
    assert old.send(post(OCTETS), transport)[0] == 200
    assert (len(old.streams), len(new.streams)) == (0, 1)


# -- the Corefile ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "most"), [("", 200), ("https {\nmax_connections 7\n}", 7), ("https", 200)]
)
def test_connections_are_bounded(serve, body, most):
    (server,) = serve(f"https://. {{\n{body}\nwhoami\n}}").servers
    assert server.streams.limits.connections == most


def test_zero_is_the_bound_of_plain_tcp(serve):
    (server,) = serve("https://. {\nhttps {\nmax_connections 0\n}\nwhoami\n}").servers
    assert server.streams.limits.connections == StreamLimits().connections


@pytest.mark.parametrize("body", ["max_connections -1", "max_connections x", "max_connections"])
def test_a_mistake_is_one_line_that_names_its_place(checked, body):
    with pytest.raises(CorefileError, match=r"^Corefile:3 - plugin/https: "):
        checked(f"https://. {{\nhttps {{\n{body}\n}}\n}}")


# -- as users see it -------------------------------------------------------------------------


@pytest.fixture
def doh(twistd, free_port, tmp_path):
    """A server with a listener for plain DNS, which the fixture waits for, and two for DoH."""
    authority = Authority()
    certificate, key = authority.issue("dns.test", ("127.0.0.1", "dns.test"))
    for name, octets in (("crt", certificate), ("key", key), ("ca", authority.ca_pem)):
        (tmp_path / name).write_bytes(octets)
    port, clear = free_port(), free_port()
    server = twistd(
        f""".:@PORT@ https://.:{port} {{
            bind 127.0.0.1
            tls {tmp_path}/crt {tmp_path}/key
            template IN TXT big {{
                answer "{{{{ .Name }}}} 70 TXT {"x" * 250}"
                answer "{{{{ .Name }}}} 80 TXT {"y" * 250}"
                answer "{{{{ .Name }}}} 90 TXT {"z" * 250}"
            }}
            whoami
        }}
        https://.:{clear} {{
            bind 127.0.0.1
            whoami
        }}"""
    )
    server.doh, server.clear, server.ca = port, clear, tmp_path / "ca"
    return server


def run(*command):
    return subprocess.run(command, capture_output=True, timeout=30).stdout


@pytest.mark.parametrize("method", ["+https", "+https-get"])
def test_kdig_asks_over_https(doh, needs, method):
    command = [needs("kdig"), "@127.0.0.1", "-p", str(doh.doh), method, "+time=5", "+retry=0"]
    trusted = [f"+tls-ca={doh.ca}", "+tls-hostname=dns.test"]
    reply = run(*command, *trusted, "a.big", "TXT").decode()
    assert "status: NOERROR" in reply
    assert "HTTP/2" in reply
    assert "z" * 250 in reply


@pytest.mark.parametrize(("version", "shown"), [("--http1.1", b"1.1"), ("--http2", b"2")])
def test_curl_asks_over_both_versions_of_http(doh, needs, version, shown):
    url = f"https://127.0.0.1:{doh.doh}/dns-query"
    query = dns.message.make_query("a.big", "TXT").to_wire()
    (doh.ca.parent / "query").write_bytes(query)
    command = [needs("curl"), "-sS", version, "--cacert", str(doh.ca), "--max-time", "10"]
    body = [
        "--data-binary",
        f"@{doh.ca.parent}/query",
        "-H",
        "content-type: application/dns-message",
    ]
    output = run(*command, *body, "-w", "%{http_version} %{http_code} %header{cache-control}", url)
    at = output.rindex(b"z" * 250) + 250
    assert output[at:] == shown + b" 200 max-age=70"
    in_url = base64.urlsafe_b64encode(query).rstrip(b"=").decode()
    output = run(*command, f"{url}?dns={in_url}")
    assert len(dns.message.from_wire(output).answer[0]) == 3
    assert run(*command, "-o", "/dev/null", "-w", "%{http_code}", f"{url}/no") == b"404"


def test_behind_a_proxy_http_is_in_clear_text(doh, needs):
    (doh.ca.parent / "query").write_bytes(OCTETS)
    url = f"http://127.0.0.1:{doh.clear}/dns-query"
    output = run(needs("curl"), "-sS", "--data-binary", f"@{doh.ca.parent}/query", url)
    assert QUERY.is_response(dns.message.from_wire(output))
    assert "served in clear text" in doh.output
