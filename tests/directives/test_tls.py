"""``tls``: which certificates are taken, from clients too, and DNS over TLS as kdig sees it."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from contextlib import suppress

import dns.message
import dns.query
import pytest
from OpenSSL import SSL
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.server.tls import LOOK_SECONDS, StreamSecurity, TlsFiles
from k8sdns.testing.apiserver.tls import Authority


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def files(authority, tmp_path):
    """The paths of a certificate for loopback, its key, and the CA."""
    certificate, key = authority.issue("dns.test", ("127.0.0.1", "dns.test"))
    (tmp_path / "crt").write_bytes(certificate)
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "ca").write_bytes(authority.ca_pem)
    return TlsFiles(*(str(tmp_path / name) for name in ("crt", "key", "ca")))


# -- the Corefile ----------------------------------------------------------------------------


def test_a_tls_key_without_tls_is_refused(checked):
    with pytest.raises(
        CorefileError, match=r"^Corefile:2 - tls://a.org needs a certificate: .*tls"
    ):
        checked("b.org,\ntls://a.org {\nwhoami\n}")


def test_an_https_key_without_tls_is_for_a_proxy(checked):
    plan = checked("https://a.org {\nwhoami\n}")
    assert len(plan.warnings) == 1
    assert "clear text" in plan.warnings[0]


@pytest.mark.parametrize(
    ("stanza", "expected"),
    [
        ("tls /c /k", TlsFiles("/c", "/k")),
        ("tls /c /k /a", TlsFiles("/c", "/k", "/a")),
        ("tls /c /k /a {\nclient_auth require\n}", TlsFiles("/c", "/k", "/a", "require")),
    ],
)
def test_settings_are_read(settings, stanza, expected):
    assert settings(stanza).files == expected


@pytest.mark.parametrize(
    ("stanza", "line", "message"),
    [
        ("tls", 2, "CERT"),
        ("tls /c", 2, "KEY"),
        ("tls /c /k /a /b", 2, "CERT"),
        ("tls /c /k {\nclient_auth maybe\n}", 3, "unknown authentication type 'maybe'"),
        ("tls /c /k {\nkeylog /tmp/secrets\n}", 3, "never written down"),
        ("tls /c /k\ntls /c /k", 3, "only be used once"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(checked, stanza, line, message):
    with pytest.raises(CorefileError) as caught:
        checked(f"tls://. {{\n{stanza}\n}}")
    assert (caught.value.line, message in str(caught.value)) == (line, True)


# -- files -----------------------------------------------------------------------------------

ENCRYPTED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("name", "octets", "message"),
    [
        ("crt", None, "cannot read .*/crt: No such file"),
        ("key", None, "cannot read .*/key: No such file"),
        ("crt", b"nonsense", "/crt holds no certificate"),
        ("key", b"nonsense", "/key holds no private key"),
        ("key", ENCRYPTED, "/key (is encrypted|holds no private key)"),
        ("ca", b"nonsense", "/ca holds no certificate"),
        ("key", "another", "/key is not the key of the certificate .*/crt"),
    ],
)
def test_files_that_cannot_be_used_end_the_start(
    serve, authority, files, tmp_path, name, octets, message
):
    if octets is None:
        (tmp_path / name).unlink()
    elif octets == "another":
        (tmp_path / name).write_bytes(authority.issue("other")[1])
    else:
        (tmp_path / name).write_bytes(octets)
    stanza = f"tls {files.certificate} {files.key} {files.ca}"
    with pytest.raises(ConfigurationError, match=f"^Corefile:2 - plugin/tls: .*{message}"):
        serve(f"tls://. {{\n{stanza} {{\nclient_auth verify_if_given\n}}\nwhoami\n}}")


# -- handshakes in memory --------------------------------------------------------------------


class Pipe:
    """A TLS client, and the server's protocol at the other end of the transport."""

    def __init__(self, security, *, client=None, protocols=None, version=None):
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if version is not None:
            context.set_max_proto_version(version)
        if protocols:
            context.set_alpn_protos(protocols)
        if client is not None:
            context.use_certificate_file(client[0])
            context.use_privatekey_file(client[1])
        self.client = SSL.Connection(context, None)
        self.client.set_connect_state()
        connections = security.secured(Factory.forProtocol(Protocol))._creatorCallable
        self.server = connections(None)
        self.server.set_accept_state()

    def shake_hands(self):
        """Carry octets to and fro; raises SSL.Error where one of the two gives up."""
        for _ in range(6):
            for here, there in ((self.client, self.server), (self.server, self.client)):
                with suppress(SSL.WantReadError):
                    here.do_handshake()
                with suppress(SSL.WantReadError):
                    there.bio_write(here.bio_read(65536))
        return self


@pytest.fixture
def client(authority, tmp_path):
    certificate, key = authority.issue("client")
    (tmp_path / "client.crt").write_bytes(certificate)
    (tmp_path / "client.key").write_bytes(key)
    return str(tmp_path / "client.crt"), str(tmp_path / "client.key")


@pytest.fixture
def stranger(tmp_path):
    certificate, key = Authority().issue("stranger")
    (tmp_path / "stranger.crt").write_bytes(certificate)
    (tmp_path / "stranger.key").write_bytes(key)
    return str(tmp_path / "stranger.crt"), str(tmp_path / "stranger.key")


@pytest.mark.parametrize(
    ("mode", "without", "with_strange", "with_known"),
    [
        ("nocert", True, True, True),
        ("request", True, True, True),
        ("require", False, True, True),
        ("verify_if_given", True, False, True),
        ("require_and_verify", False, False, True),
    ],
)
def test_clients_identify_themselves_as_asked(
    files, client, stranger, mode, without, with_strange, with_known
):
    security = StreamSecurity(files._replace(client_auth=mode), Clock())
    for shown, is_taken in ((None, without), (stranger, with_strange), (client, with_known)):
        pipe = Pipe(security, client=shown)
        if is_taken:
            pipe.shake_hands()
        else:
            with pytest.raises(SSL.Error):
                pipe.shake_hands()


@pytest.mark.parametrize(
    ("version", "spoken"),
    [
        (SSL.TLS1_3_VERSION, "TLSv1.3"),
        (SSL.TLS1_2_VERSION, "TLSv1.2"),
        (SSL.TLS1_1_VERSION, None),
    ],
)
def test_nothing_below_tls_1_2_is_spoken(files, version, spoken):
    pipe = Pipe(StreamSecurity(files, Clock()), version=version)
    if spoken is None:
        with pytest.raises(SSL.Error):
            pipe.shake_hands()
    else:
        assert pipe.shake_hands().client.get_protocol_version_name() == spoken


@pytest.mark.parametrize(
    ("offered", "chosen"), [([b"dot"], b"dot"), ([b"h2", b"dot"], b"dot"), ([b"h2"], b"")]
)
def test_dot_is_negotiated_where_it_is_offered(files, offered, chosen):
    pipe = Pipe(StreamSecurity(files, Clock()), protocols=offered)
    assert pipe.shake_hands().client.get_alpn_proto_negotiated() == chosen


def test_a_new_certificate_is_taken_up_and_a_broken_one_is_not(files, authority, tmp_path, lines):
    clock = Clock()
    security = StreamSecurity(files, clock)
    security.startService()

    def name():
        peer = Pipe(security).shake_hands().client.get_peer_certificate(as_cryptography=True)
        return peer.subject.rfc4514_string()

    certificate, key = authority.issue("renewed", ("127.0.0.1",))
    (tmp_path / "crt").write_bytes(certificate)
    clock.advance(LOOK_SECONDS)
    assert name() == "CN=dns.test"
    assert "[WARNING] plugin/tls: keeping the last good certificate" in lines[-1]
    (tmp_path / "key").write_bytes(key)
    clock.advance(LOOK_SECONDS)
    assert name() == "CN=renewed"
    security.stopService()
    assert clock.getDelayedCalls() == []


# -- as users see it -------------------------------------------------------------------------


@pytest.fixture
def dot(twistd, files, free_port):
    """A server with a listener for plain DNS, which the fixture waits for, and one for DoT."""
    port = free_port()
    server = twistd(
        f""".:@PORT@ tls://.:{port} {{
            bind 127.0.0.1
            tls {files.certificate} {files.key} {files.ca} {{
                client_auth verify_if_given
            }}
            timeouts {{
                read 1s
            }}
            template IN TXT big {{
                answer "{{{{ .Name }}}} TXT {"x" * 250}"
                answer "{{{{ .Name }}}} TXT {"y" * 250}"
                answer "{{{{ .Name }}}} TXT {"z" * 250}"
            }}
            whoami
        }}"""
    )
    server.dot = port
    return server


def kdig(tool, server, *words):
    command = [tool, "@127.0.0.1", "-p", str(server.dot), "+time=5", "+retry=0", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout


def test_kdig_asks_over_tls(dot, files, needs):
    tool = needs("kdig")
    trusted = [f"+tls-ca={files.ca}", "+tls-hostname=dns.test"]
    reply = kdig(tool, dot, *trusted, "web.example.org", "A")
    assert "status: NOERROR" in reply
    assert "TLS session (TLS1.3)" in reply
    assert "_tcp.web.example.org." in reply
    reply = kdig(tool, dot, *trusted, "+keepopen", "a.big", "TXT", "b.big", "TXT")
    assert reply.count("status: NOERROR") == 2
    assert reply.count("z" * 250) == 2  # nothing is truncated
    wrong = kdig(tool, dot, f"+tls-ca={files.ca}", "+tls-hostname=other.test", "a.big", "TXT")
    assert "NOERROR" not in wrong


def test_kdig_shows_its_certificate(dot, files, client, stranger, needs):
    tool = needs("kdig")
    trusted = [f"+tls-ca={files.ca}", "+tls-hostname=dns.test"]
    for (certificate, key), is_taken in ((client, True), (stranger, False)):
        shown = [f"+tls-certfile={certificate}", f"+tls-keyfile={key}"]
        reply = kdig(tool, dot, *trusted, *shown, "web.example.org", "A")
        assert ("status: NOERROR" in reply) == is_taken


def test_the_plain_listener_of_the_block_stays_plain(dot):
    assert dot.ask("web.example.org", tcp=True).rcode() == 0


def test_who_never_shakes_hands_is_dropped(dot):
    for said in (b"", b"\x00\x1d" + bytes(29)):  # nothing, or DNS in clear text
        with socket.create_connection(("127.0.0.1", dot.dot), timeout=10) as peer:
            peer.sendall(said)
            heard = b""
            with suppress(ConnectionResetError):
                while more := peer.recv(100):
                    heard += more
        assert heard[:1] in {b"", b"\x15"}  # nothing, or a TLS alert


def test_a_certificate_is_renewed_while_serving(dot, files, authority, tmp_path, needs):
    tool = needs("kdig")
    certificate, key = authority.issue("renewed", ("other.test",))
    (tmp_path / "crt").write_bytes(certificate)
    (tmp_path / "key").write_bytes(key)
    asked = [f"+tls-ca={files.ca}", "+tls-hostname=other.test", "web.example.org", "A"]
    dot.wait_until(lambda: "NOERROR" in kdig(tool, dot, *asked), "the new certificate")


def test_a_reload_keeps_connections_and_the_last_good_certificate(dot, files, tmp_path):
    corefile = tmp_path / "Corefile"
    query = dns.message.make_query("a.big", "TXT")
    context = ssl.create_default_context(cafile=files.ca)
    with (
        socket.create_connection(("127.0.0.1", dot.dot), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="dns.test") as stream,
    ):

        def says():
            return dns.query.tls(query, "127.0.0.1", sock=stream, timeout=10).to_text()

        assert "x" * 250 in says()
        text = corefile.read_text()
        corefile.write_text(text.replace("x" * 250, "new"))
        dot.process.send_signal(signal.SIGUSR1)
        dot.wait_until(lambda: '"new"' in says(), "the new answer on the old connection")
        corefile.write_text(text.replace(files.certificate, "/nowhere"))
        dot.process.send_signal(signal.SIGUSR1)
        dot.wait_until(lambda: "cannot read /nowhere" in dot.output, "the reason")
        assert f"{corefile}:3 - plugin/tls: cannot read /nowhere" in dot.output
        assert '"new"' in says()


def test_a_broken_certificate_ends_the_start(twistd, files, tmp_path, free_port):
    (tmp_path / "crt").write_bytes(b"nonsense")
    server = twistd(
        f"tls://.:{free_port()} {{\nbind 127.0.0.1\ntls {files.certificate} {files.key}\n}}",
        wait=False,
    )
    assert server.wait() == 1
    assert f":3 - plugin/tls: {files.certificate} holds no certificate in PEM form" in server.output
    assert "Traceback" not in server.output
