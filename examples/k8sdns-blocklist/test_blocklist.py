"""What the README promises of ``blocklist``, without a socket and without waiting."""

from __future__ import annotations

import k8sdns_blocklist
import pytest

from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.testing import Upstream, serve

COREFILE = """. {
    errors
    blocklist blocked.txt
    forward . 192.0.2.53
}"""
LIST = "ads.example   # everything below it, too\nMalware.test.\n\n"


def server(text=LIST, corefile=COREFILE):
    """Serve with the word itself, installed or not, in front of an upstream that knows it all."""
    upstream = Upstream(
        "www.example. 60 A 192.0.2.80",
        "ads.example. 60 A 192.0.2.66",
        "bad.example. 60 A 192.0.2.67",
    )
    return serve(
        corefile,
        directives=[k8sdns_blocklist.DIRECTIVE],
        files={"blocked.txt": text},
        upstreams={"192.0.2.53": upstream},
    )


@pytest.mark.parametrize(
    "name", ["ads.example", "a.b.ads.example", "MALWARE.test", "x.malware.test"]
)
def test_a_listed_name_and_what_is_below_it_do_not_exist(name):
    with server() as served:
        reply = served.ask(name, use_edns=0)
        assert reply.rcode() == 3
        assert [(option.code, option.text) for option in reply.options] == [(15, "on a blocklist")]
        assert served.total("k8sdns_blocklist_blocked_total") == 1


@pytest.mark.parametrize("name", ["www.example", "bad.example"])
def test_every_other_name_is_resolved(name):
    with server() as served:
        assert served.ask(name).rcode() == 0
        assert served.total("k8sdns_blocklist_blocked_total") == 0


def test_a_changed_list_is_followed():
    with server() as served:
        served.write("blocked.txt", "bad.example\n")
        served.advance(6)
        assert served.ask("bad.example").rcode() == 3
        assert served.ask("ads.example").rcode() == 0


def test_a_list_with_a_mistake_changes_nothing_and_is_told():
    with server() as served:
        served.write("blocked.txt", "bad.example\nno..name\n")
        served.advance(6)
        assert served.ask("ads.example").rcode() == 3
        assert served.ask("bad.example").rcode() == 0
        assert any("blocked.txt:2 - " in line for line in served.lines)


def test_a_list_that_is_not_there_is_a_mistake_in_the_corefile():
    with pytest.raises(CorefileError, match="Corefile:3 - plugin/blocklist: there is no file"):
        server(corefile=COREFILE.replace("blocked.txt", "gone.txt"))


def test_a_list_with_a_mistake_does_not_start():
    with pytest.raises(ConfigurationError, match=r"blocked\.txt:1 - "):
        server("no..name\n")
