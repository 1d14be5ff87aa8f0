"""The live source over real sockets: TLS and its names, rotation, proxies, peers that hang.

Each case runs a fake API server and a source on a reactor of their own, in a subprocess.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import sys
from dataclasses import replace
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.endpoints import HostnameEndpoint
from twisted.logger import globalLogBeginner, textFileLogObserver
from k8sdns.cluster.access import ClusterAccess, Pem, Secret
from k8sdns.cluster.live import LiveSource
from k8sdns.cluster.store import Store
from k8sdns.testing.apiserver import Authority, FakeApiServer

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
authority = Authority()
server = FakeApiServer(reactor)
store = Store()

def a_service(name):
    return {"apiVersion": "v1", "kind": "Service", "spec": {"clusterIP": "10.0.0.1"},
            "metadata": {"name": name, "namespace": "shop"}}

def access_to(url=None, **more):
    more.setdefault("ca", Pem(inline=Secret(authority.ca_pem)))
    return ClusterAccess(url or server.url, **more)

def follow(access):
    source = LiveSource(access, store, reactor=reactor, kinds=("services",))
    source.start()
    return source

async def until(condition, seconds=8.0):
    for _ in range(int(seconds / 0.02)):
        if condition():
            return True
        await task.deferLater(reactor, 0.02)
    return False

def synced():
    return store.is_synced(["services"])

async def main():
    server.apply(a_service("first"))
    await scenario()

def over(failure=None):
    if failure is not None:
        failure.printTraceback()
    reactor.stop()
"""


def run(scenario):
    text = PROGRAM + textwrap.dedent(scenario)
    text += "\nreactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()).addBoth(over))"
    done = subprocess.run(
        [sys.executable, "-c", text + "\nreactor.run()"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("interface", "options"),
    [
        ("127.0.0.1", ""),
        ("::1", ""),
        ("127.0.0.1", "tls_server_name='kubernetes.default.svc'"),
        ("127.0.0.1", "ca=None, insecure=True"),
        ("::1", "ca=None, insecure=True, tls_server_name='other'"),
    ],
)
def test_tls_by_address_by_name_and_unchecked(interface, options):
    said, _ = run(f"""
        async def scenario():
            server.listen(tls=authority, interface={interface!r})
            follow(access_to({options}))
            print(await until(synced))
    """)
    assert said == ["True"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("ca=Pem(inline=Secret(Authority().ca_pem))", "certificate verify failed"),
        ("ca=None", "certificate verify failed"),
        ("tls_server_name='elsewhere.example'", "elsewhere.example"),
    ],
)
def test_a_server_that_cannot_prove_itself_is_not_believed_and_the_cause_is_told(options, reason):
    said, log = run(f"""
        async def scenario():
            server.listen(tls=authority)
            follow(access_to(token=Secret("s3cr3t"), {options}))
            print(await until(synced, 1.5), len(server.log))
    """)
    assert said == ["False", "0"]
    assert log.count("lost contact with the API server") == 1
    assert reason in log
    assert "s3cr3t" not in log


def test_a_client_certificate_lets_us_in():
    said, _ = run("""
        async def scenario():
            server.listen(tls=authority)
            server.access.add_certificate("dns")
            certificate, key = authority.issue("dns")
            follow(access_to(certificate=Pem(inline=Secret(certificate)),
                             key=Pem(inline=Secret(key))))
            print(await until(synced), {seen.user for seen in server.log})
    """)
    assert said == ["True", "{'dns'}"]


def test_a_rotated_token_is_used_at_once_after_401(tmp_path):
    said, _ = run(f"""
        async def scenario():
            path = {str(tmp_path / "token")!r}
            open(path, "w").write("old")
            server.access.add_token("old", "dns")
            server.listen()
            follow(access_to(token_file=path, ca=None))
            print(await until(synced))
            server.access.revoke("old")
            server.access.add_token("new", "dns")
            open(path, "w").write("new")
            server.apply(a_service("second"))
            server.disconnect()
            server.apply(a_service("third"))
            print(await until(lambda: store.get("services", "shop", "third")) , "401" in
                  str([seen.code for seen in server.log]))
    """)
    assert said == ["True", "True", "True"]


def test_a_rotated_ca_is_seen_at_the_next_connection(tmp_path):
    said, _ = run(f"""
        async def scenario():
            path = {str(tmp_path / "ca.crt")!r}
            open(path, "wb").write(authority.ca_pem)
            server.listen(tls=authority)
            follow(access_to(ca=Pem(path)))
            print(await until(synced))
            authority.renew(new_authority=True)
            open(path, "wb").write(authority.ca_pem)
            server.disconnect()
            server.apply(a_service("second"))
            print(bool(await until(lambda: store.get("services", "shop", "second"))))
    """)
    assert said == ["True", "True"]


PROXY = """
class Proxy(Protocol):
    asked = []
    other = None
    heard = b""
    def dataReceived(self, data):
        if self.other is not None:
            self.other.transport.write(data)
            return
        self.heard += data
        if b"\\r\\n\\r\\n" in self.heard:
            Proxy.asked.append(self.heard)
            target = self.heard.split()[1].decode()
            host, _, port = target.rpartition(":")
            if ANSWER != b"200":
                self.transport.write(b"HTTP/1.1 " + ANSWER + b" no\\r\\n\\r\\n")
                return
            there = Protocol()
            there.dataReceived = self.transport.write
            there.connectionLost = lambda reason: self.transport.loseConnection()
            HostnameEndpoint(reactor, host.strip("[]"), int(port)).connect(
                Factory.forProtocol(lambda: there)).addCallback(self.joined)
    def joined(self, there):
        self.other = there
        self.transport.write(b"HTTP/1.0 200 OK\\r\\nX: y\\r\\n\\r\\n")

def listen_proxy():
    return reactor.listenTCP(0, Factory.forProtocol(Proxy), interface="127.0.0.1").getHost().port
"""


@pytest.mark.parametrize("interface", ["127.0.0.1", "::1"])
def test_a_connect_proxy_is_gone_through_with_tls_end_to_end(interface):
    said, _ = run(f"""
        ANSWER = b"200"
        {textwrap.indent(PROXY, " " * 8).strip()}

        async def scenario():
            server.listen(tls=authority, interface={interface!r})
            proxy = Secret(f"http://me:pw@127.0.0.1:{{listen_proxy()}}")
            follow(access_to(proxy=proxy))
            print(await until(synced), len(Proxy.asked))
            print(b"Proxy-Authorization: Basic bWU6cHc=" in Proxy.asked[0])
    """)
    assert said == ["True", "1", "True"]


def test_a_proxy_that_refuses_is_named_as_the_cause():
    said, log = run(f"""
        ANSWER = b"407"
        {textwrap.indent(PROXY, " " * 8).strip()}

        async def scenario():
            server.listen(tls=authority)
            follow(access_to(proxy=Secret(f"http://127.0.0.1:{{listen_proxy()}}")))
            print(await until(synced, 1.0))
    """)
    assert said == ["False"]
    assert "the proxy answered 'HTTP/1.1 407 no'" in log


def test_connections_are_kept_alive_and_closed_at_the_end():
    said, _ = run("""
        import socket
        async def scenario():
            server.listen()
            source = follow(access_to(ca=None))
            print(await until(synced))
            from twisted.internet.tcp import Client
            clients = [one for one in reactor.getReaders() if isinstance(one, Client)]
            sockets = [one.getHandle() for one in clients]
            print({one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for one in sockets})
            source.stop()
            print(await until(lambda: not server.open_watches()))
            await server.stop()
            await task.deferLater(reactor, 0.1)
            print(len(reactor.getDelayedCalls()))
    """)
    assert said == ["True", "{1}", "True", "0"]


def test_a_server_that_has_not_read_its_roles_yet_is_no_reason_to_blame_the_role():
    said, log = run("""
        async def scenario():
            server.access.add_token("t", "dns")
            server.access.allow("dns", "list watch", "services")
            server.access.roles_read_at = reactor.seconds() + 2
            server.listen()
            follow(access_to(ca=None, token=Secret("t")))
            print(await until(synced), server.log[0].code)
    """)
    assert said == ["True", "403"]
    assert "ClusterRole" not in log
    assert "contact with the API server is back" in log


def test_a_large_list_arrives_in_pieces():
    said, _ = run("""
        async def scenario():
            server.conduct.watch_list = False
            for number in range(2000):
                server.apply(a_service(f"n{number}"))
            server.listen()
            follow(access_to(ca=None))
            print(await until(synced), store.objects("services"))
    """)
    assert said == ["True", "2001"]
