"""``template`` in a Corefile: expressions, variables, and what is said about mistakes in them."""

from __future__ import annotations

import pytest

from k8sdns.errors import CorefileError
from k8sdns.metrics import TEMPLATE_MATCHES, TEMPLATE_RR_FAILURES

COREFILE = r"""
. {
    template IN TXT . {
        var client "'from ' + client_ip()"
        expr incidr(client_ip(), '10.0.0.0/8')
        expr name() endsWith '.example.org.'
        answer "{{ .Name }} 5 IN TXT \"{{ .Var.client }}\""
        fallthrough
    }
    template IN TXT . {
        answer "{{ .Name }} 5 IN TXT other"
    }
}
"""


@pytest.mark.parametrize(
    ("client", "name", "text"),
    [
        ("10.1.1.1", "a.example.org", '"from 10.1.1.1"'),
        ("192.0.2.9", "a.example.org", '"other"'),
        ("10.1.1.1", "a.example.com", '"other"'),
    ],
)
def test_expressions_choose_the_template_and_variables_fill_it(serve, client, name, text):
    found = serve(COREFILE).ask(name, "TXT", client=client)
    assert found.answer[0][0].to_text() == text


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("expr", "Wrong argument count"),
        ("expr name()", "gives a text, not true or false"),
        ("expr type( == 'A'", "unexpected"),
        ("var a", "Wrong argument count"),
        ("var a-b name()", "'a-b' is no name of a variable"),
        ("var a [1, 2]", "gives a list, not text or number or true or false"),
        ("var a nothing()", "unknown name 'nothing'"),
    ],
)
def test_mistakes_in_expressions_name_their_line(checked, option, says):
    with pytest.raises(CorefileError) as caught:
        checked(f". {{\ntemplate IN A . {{\nrcode NOERROR\n{option}\n}}\n}}")
    assert says in str(caught.value)
    assert caught.value.line == 4


def test_a_variable_has_one_value(checked):
    stanza = "template IN A . {\nvar a name()\nvar a type()\n}"
    with pytest.raises(CorefileError, match="var a is given twice"):
        checked(f". {{\n{stanza}\n}}")


@pytest.mark.parametrize(
    ("directive", "view"), [("", ""), ("view inside {\nexpr true\n}", "inside")]
)
def test_the_view_is_a_label_of_what_is_counted(serve, directive, view):
    server = serve(f'. {{\n{directive}\ntemplate IN A . {{\nanswer "no record"\n}}\n}}')
    server.ask("a.example.org")
    labels = ("dns://:53", ".", view, "IN", "A")
    assert dict(server.metrics.counter(TEMPLATE_MATCHES).items()) == {labels: 1}
    failed = server.metrics.counter(TEMPLATE_RR_FAILURES)
    assert dict(failed.items()) == {(*labels, "answer", "no record"): 1}
