"""Names that we need to start must not be looked up at ourselves."""

from __future__ import annotations

import pytest

from k8sdns.server import dependence, sockets

OTHER = "nameserver 192.0.2.53\n"
LOOPBACK = "nameserver 127.0.0.1\n"
HERE = [("127.0.0.1", 53)]
EVERYWHERE = [("", 53)]


@pytest.fixture
def files(tmp_path):
    def written(resolv_conf, hosts=""):
        (tmp_path / "hosts").write_text(hosts)
        if resolv_conf is not None:
            (tmp_path / "resolv.conf").write_text(resolv_conf)
        return {"resolv_conf": str(tmp_path / "resolv.conf"), "hosts": str(tmp_path / "hosts")}

    return written


@pytest.mark.parametrize(
    ("resolv_conf", "listeners", "is_ours"),
    [
        (LOOPBACK, HERE, True),
        (LOOPBACK, EVERYWHERE, True),
        (LOOPBACK, [("::", 53)], True),
        (LOOPBACK, [("127.0.0.1", 1053)], False),
        (LOOPBACK, [("127.0.0.2", 53)], False),
        (LOOPBACK, [], False),
        (OTHER, EVERYWHERE, False),
        (LOOPBACK + OTHER, HERE, False),
        ("nameserver ::1\n", EVERYWHERE, True),
        ("nameserver ::1\n", [("0.0.0.0", 53)], False),
        ("nameserver 127.0.0.53\n", EVERYWHERE, True),
        ("nameserver fe80::1%eth0\n", [("fe80::1%eth0", 53)], True),
        ("search example.org\n", EVERYWHERE, True),
        ("", HERE, True),
        (None, HERE, True),
    ],
)
def test_a_resolver_that_asks_only_us_is_noticed(files, resolv_conf, listeners, is_ours):
    found = dependence.is_looked_up_here("api.example.org", listeners, **files(resolv_conf))
    assert found is is_ours


def test_own_addresses_are_ours_behind_a_wildcard(files, monkeypatch):
    monkeypatch.setattr(sockets, "all_own_addresses", lambda: {"198.51.100.7"})
    paths = files("nameserver 198.51.100.7\n")
    assert dependence.is_looked_up_here("api.example.org", EVERYWHERE, **paths)
    assert not dependence.is_looked_up_here("api.example.org", HERE, **paths)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "[2001:db8::1]", "2001:db8::1", "localhost", "api", "API.example.org"]
)
def test_what_needs_no_server_depends_on_none(files, host):
    paths = files(LOOPBACK, "192.0.2.9  api.example.org api  # other.example.org\n")
    assert not dependence.is_looked_up_here(host, HERE, **paths)
    assert dependence.is_looked_up_here("other.example.org", HERE, **paths)
