"""file, auto, hosts, template, transfer: their syntax as CoreDNS reads it."""

from __future__ import annotations

import pytest

from k8sdns import directives, names
from k8sdns.corefile.source import CorefileText
from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.plan import plan


def planned(stanza, tmp_path):
    text = ". {\n" + stanza.replace("@DIR@", str(tmp_path)) + "\n}\n"
    source = CorefileText(text, "Corefile", None)
    found = plan(source, directives.discovered(), default_port=53, environ={})
    (settings,) = [settings for _, settings in found.blocks[0].directives]
    return (settings[0] if isinstance(settings, tuple) else settings), found.warnings


ORG = (names.from_text("example.org"),)


@pytest.mark.parametrize(
    ("stanza", "expected"),
    [
        ("file /z", {"file": "/z", "zones": (names.ROOT,), "reload": 60.0, "fallthrough": ()}),
        ("file /z example.org {\n reload 30s\n reload_by_mtime\n fallthrough\n}",
         {"zones": ORG, "reload": 30.0, "reload_by_mtime": True, "fallthrough": (names.ROOT,)}),
        ("file /z {\n reload 0\n}", {"reload": 0.0}),
        ("auto {\n directory /d\n}", {"reload": 60.0}),
        ("auto example.org {\n directory /d (.*)[.]zone {1}\n reload 10s\n}",
         {"zones": ORG, "reload": 10.0}),
        ("hosts", {"file": "/etc/hosts", "ttl": 3600, "reload": 5.0, "no_reverse": False}),
        ("hosts /h example.org {\n 192.0.2.1 a b\n ttl 60\n ::1 c\n fallthrough example.org\n}",
         {"zones": ORG, "inline": ("192.0.2.1 a b", "::1 c"), "ttl": 60, "fallthrough": ORG}),
        ("transfer example.org {\n to *\n to 192.0.2.1 [2001:db8::1]:5353\n}",
         {"zones": ORG, "to": (("*", 0), ("192.0.2.1", 53), ("2001:db8::1", 5353))}),
        ("template IN ANY", {"rclass": 1, "rtype": 255, "rcode": 0, "ederror": None}),
        ('template ANY A example.org {\n rcode NXDOMAIN\n ederror 15 "No"\n}',
         {"rclass": 255, "zones": ORG, "rcode": 3, "ederror": (15, "No")}),
    ],
)  # fmt: skip
def test_settings_are_read(stanza, expected, tmp_path):
    settings, warnings = planned(stanza, tmp_path)
    assert {field: getattr(settings, field) for field in expected} == expected
    assert warnings == ()


def test_a_folder_s_pattern_and_template_are_read(tmp_path):
    settings, _ = planned("auto {\n directory /d (.*)[.]zone {1}.org\n}", tmp_path)
    folder = settings.directory
    assert (folder.path, folder.pattern.pattern, folder.origin) == ("/d", "(.*)[.]zone", "{1}.org")


@pytest.mark.parametrize(
    ("stanza", "line", "message"),
    [
        ("file", 2, "DBFILE"),
        ("file /z {\n reload 10\n}", 3, "duration"),
        ("file /z {\n relod 10s\n}", 3, "did you mean 'reload'"),
        ("auto", 2, "'directory' is required"),
        ("auto {\n directory /d x\n}", 3, "ORIGIN_TEMPLATE"),
        ("auto {\n directory /d ([ {1}\n}", 3, "regex"),
        ("hosts /h {\n ttl 0\n}", 3, "ttl"),
        ("hosts /h {\n ttl\n}", 3, "ttl"),
        ("hosts /h {\n reload 10\n}", 3, "duration"),
        ("hosts /h {\n fallthrough_unsupported\n}", 3, "requires fallthrough"),
        ("transfer", 2, "'to' is required"),
        ("transfer {\n to example.org\n}", 3, "IP address"),
        ("transfer {\n to\n}", 3, "to"),
        ("template", 2, "CLASS"),
        ("template XX A", 2, "invalid query class XX"),
        ("template IN XX", 2, "invalid RR class XX"),
        ('template IN A {\n match "(["\n}', 3, "regex"),
        ('template IN A {\n answer "{{ .Name"\n}', 3, "could not compile template: unclosed"),
        ('template IN A {\n answer "{{ .Nome }}"\n}', 3, "did you mean .Name"),
        ("template IN A {\n rcode NOSUCH\n}", 3, "unknown rcode NOSUCH"),
        ("template IN A {\n ederror x\n}", 3, "integer"),
        ("template IN A {\n expr name()\n}", 3, "not true or false"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(stanza, line, message, tmp_path):
    with pytest.raises(CorefileError) as caught:
        planned(stanza, tmp_path)
    assert caught.value.line == line
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("stanza", "warning"),
    [
        ("file /z {\n upstream\n}", "'upstream' is not needed"),
        ("template IN A {\n upstream\n}", "'upstream' is not needed"),
        ("hosts /h {\n tttl 60\n}", "neither an option nor an address"),
    ],
)
def test_what_is_taken_without_effect_is_said(stanza, warning, tmp_path):
    _, warnings = planned(stanza, tmp_path)
    assert len(warnings) == 1
    assert warning in warnings[0]


def rdata(reply):
    return [item.to_text() for rrset in reply.answer for item in rrset]


def test_the_words_answer_together_in_plugin_order(serve, zone_file, tmp_path):
    path = zone_file("@ NS ns\nweb A 192.0.2.1\n*.wild A 192.0.2.2\next CNAME in.hosts.\n")
    (tmp_path / "db.example.net").write_text(
        "@ 60 SOA ns a 1 2 3 4 5\n@ 60 NS ns\na 60 A 192.0.2.6\n"
    )
    served = serve(
        f""". {{
            auto {{
                directory {tmp_path}
                fallthrough
            }}
            file {path} example.org {{
                fallthrough
            }}
            hosts {tmp_path}/none {{
                192.0.2.3 in.hosts web.example.org
                fallthrough
            }}
            template IN A {{
                match ^ip-([0-9]+)[.]
                answer "{{{{ .Name }}}} 60 IN A 192.0.2.{{{{ index .Match 1 }}}}"
                fallthrough
            }}
            transfer {{
                to *
            }}
        }}"""
    )
    expected = {
        "ip-7.example.org.": ["192.0.2.7"],  # template comes before file
        "web.example.org.": ["192.0.2.3"],  # hosts too
        "x.wild.example.org.": ["192.0.2.2"],
        "ext.example.org.": ["in.hosts.", "192.0.2.3"],  # through the whole server
        "a.example.net.": ["192.0.2.6"],
    }
    assert {name: rdata(served.ask(name)) for name in expected} == expected
    assert served.ask("example.org.", "AXFR").rcode() == 5  # UDP
    served.stop()


def test_hosts_and_template_are_counted(serve, tmp_path):
    served = serve(
        f""". {{
            template IN A example.org {{
                answer "{{{{ .Name }}}} A nonsense"
            }}
            hosts {tmp_path}/hosts {{
                192.0.2.3 a b
            }}
        }}"""
    )
    assert served.ask("x.example.org.").rcode() == 2
    served.metrics.refresh()
    counts = {metric.name: values for metric, values in served.metrics.counts.items()}
    assert counts["coredns_hosts_entries"][f"{tmp_path}/hosts",] == 2
    labels = ("dns://:53", "example.org.", "", "IN", "A")
    assert counts["coredns_template_matches_total"][labels] == 1
    failures = counts["coredns_template_rr_failures_total"]
    assert failures[(*labels, "answer", "{{ .Name }} A nonsense")] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("nonsense", "zone:1: "), ("@ 60 NS ns\n", "no SOA record"), (None, "No such file")],
)
def test_a_zone_file_that_cannot_be_read_ends_the_start(serve, tmp_path, text, message):
    if text is not None:
        (tmp_path / "zone").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        serve(f". {{\n file {tmp_path}/zone example.org {{\n reload 0\n }}\n}}")
