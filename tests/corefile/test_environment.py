"""Variables in words."""

from __future__ import annotations

import pytest

from k8sdns.corefile.environment import EndlessSubstitution, expand

ENVIRON = {"A": "one", "B": "two words", "REF": "{$A}", "SELF": "{$SELF}", "A B": "spaced"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$A", "$A"),
        ("{$A}", "one"),
        ("{%A%}", "one"),
        ("x{$A}y{%A%}z{$A}", "xoneyonezone"),
        ("{$B}", "two words"),
        ("{$UNSET}", ""),
        ("a{$UNSET}b", "ab"),
        ("{$}", "{$}"),
        ("{$}{$A}", "{$}{$A}"),
        ("{%%}{%A%}", "{%%}{%A%}"),
        ("{$A", "{$A"),
        ("{%A}", "{%A}"),
        ("{{ $A }}", "{{ $A }}"),
        ("{{$A}}", "{one}"),
        ("{$REF}", "one"),
        ("{$A B}", "spaced"),
        ("{type} {name}", "{type} {name}"),
    ],
)
def test_substitution(text, expected):
    assert expand(text, ENVIRON) == expected


def test_a_variable_that_names_itself_comes_to_an_end():
    with pytest.raises(EndlessSubstitution, match="refer to themselves"):
        expand("{$SELF}", ENVIRON)
