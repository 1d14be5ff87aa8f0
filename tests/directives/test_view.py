"""``view``: which block answers depends on the query."""

from __future__ import annotations

import pytest

from k8sdns.errors import CorefileError

COREFILE = """
.:53 {
    view inside {
        expr incidr(client_ip(), '10.0.0.0/8')
        expr type() in ['A', 'TXT']
    }
    template IN A . {
        answer "{{ .Name }} 5 IN A 192.0.2.1"
    }
}
.:53 {
    metadata
    view outside {
        expr metadata('view/name') == 'outside' and name() matches '^www'
    }
    log . "{/view/name} {name}"
    template IN A . {
        answer "{{ .Name }} 5 IN A 192.0.2.2"
    }
}
.:53 {
    metadata
    log . "{/view/name} {name}"
    template IN A . {
        answer "{{ .Name }} 5 IN A 192.0.2.3"
    }
}
"""


@pytest.mark.parametrize(
    ("client", "name", "address"),
    [
        ("10.1.1.1", "www.example.org", "192.0.2.1"),
        ("192.0.2.9", "www.example.org", "192.0.2.2"),
        ("192.0.2.9", "example.org", "192.0.2.3"),
    ],
)
def test_the_first_block_that_admits_a_query_answers_it(serve, client, name, address):
    found = serve(COREFILE).ask(name, client=client)
    assert found.answer[0][0].to_text() == address


def test_labels_of_a_view_that_did_not_admit_are_forgotten(serve, lines):
    server = serve(COREFILE)
    server.ask("example.org")
    server.ask("www.example.org")
    assert lines[-2:] == ["[INFO] - example.org.", "[INFO] outside www.example.org."]


def test_without_a_block_for_it_a_query_is_refused(serve):
    server = serve(". {\nview tcp {\nexpr proto() == 'tcp'\n}\nwhoami\n}")
    assert server.ask("example.org").rcode() == 5


@pytest.mark.parametrize(
    ("stanza", "says", "line"),
    [
        ("view", "Wrong argument count", 2),
        ("view a", "'expr' is required", 2),
        ("view a {\nexpr\n}", "Wrong argument count", 3),
        ("view a {\nexpr port() == 53\n}", "== needs text, not number", 3),
        ("view a {\nexpr true\n}\nview b {\nexpr true\n}", "only be used once", 5),
    ],
)
def test_mistakes_name_their_line(checked, stanza, says, line):
    with pytest.raises(CorefileError) as caught:
        checked(f". {{\n{stanza}\n}}")
    assert says in str(caught.value)
    assert caught.value.line == line


def test_one_zone_needs_views_to_be_served_twice(checked):
    view = "view a {\nexpr true\n}\n"
    assert len(checked(f". {{\n{view}whoami\n}}\n. {{\nwhoami\n}}").blocks) == 2
    with pytest.raises(CorefileError, match="already defined"):
        checked(". {\nwhoami\n}\n. {\nwhoami\n}")
