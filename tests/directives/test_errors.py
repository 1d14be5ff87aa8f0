"""``errors``: a line for each error, or one for many."""

from __future__ import annotations

import pytest

from k8sdns.errors import CorefileError
from k8sdns.server.errorlog import LINES_A_SECOND

SERVFAIL = "[ERROR] plugin/errors: 2 {name} A: plugin/template: no next plugin found"
NOBODY = 'template IN A only.example.org {\nanswer "x 5 IN A 192.0.2.1"\n}'


def served(serve, options=""):
    braces = f" {{\n{options}\n}}" if options else ""
    return serve(f". {{\nerrors{braces}\n{NOBODY}\n}}")


def errors(lines):
    return [line for line in lines if "plugin/errors" in line]


def test_an_error_is_one_line(serve, lines):
    served(serve).ask("Gone.example.org")
    assert errors(lines) == [SERVFAIL.format(name="gone.example.org.")]


def test_denials_are_no_errors(serve, zone_file, lines):
    server = serve(f". {{\nerrors\nfile {zone_file('')} example.org\n}}")
    assert server.ask("gone.example.org").rcode() == 3
    assert errors(lines) == []


def test_errors_of_a_kind_are_counted(serve, lines):
    server = served(
        serve, "consolidate 5m 'nothing'\nconsolidate 1m30s next warning".replace("'", '"')
    )
    for _ in range(3):
        server.ask("gone.example.org")
        server.clock.advance(20)
    assert errors(lines) == []
    server.clock.advance(40)
    assert errors(lines) == ["[WARNING] plugin/errors: 3 errors like 'next' occurred in last 1m30s"]
    server.clock.advance(1000)
    assert len(errors(lines)) == 1


def test_the_first_is_shown_and_one_is_not_summed_up(serve, lines):
    server = served(serve, "consolidate 5s .* info show_first")
    server.ask("one.example.org")
    server.clock.advance(6)
    first = SERVFAIL.format(name="one.example.org.").replace("ERROR", "INFO")
    assert errors(lines) == [first]
    server.ask("two.example.org")
    server.ask("two.example.org")
    server.clock.advance(6)
    assert errors(lines)[2:] == ["[INFO] plugin/errors: 2 errors like '.*' occurred in last 5s"]


def test_the_end_tells_what_was_counted(serve, lines):
    server = served(serve, "consolidate 1h .*")
    server.ask("gone.example.org")
    server.stop()
    assert errors(lines) == ["[ERROR] plugin/errors: 1 errors like '.*' occurred in last 1h"]
    assert server.clock.getDelayedCalls() == []


def test_a_flood_of_errors_is_told_by_its_number(serve, lines):
    server = served(serve)
    for number in range(LINES_A_SECOND + 3):
        server.ask(f"n{number}.example.org")
    assert len(errors(lines)) == LINES_A_SECOND
    server.clock.advance(1)
    last = SERVFAIL.format(name=f"n{LINES_A_SECOND + 2}.example.org.").partition(": ")[2]
    assert errors(lines)[LINES_A_SECOND:] == [
        f"[ERROR] plugin/errors: 3 more errors in a second, the last: {last}"
    ]
    server.ask("later.example.org")
    assert errors(lines)[-1] == SERVFAIL.format(name="later.example.org.")


def test_the_end_tells_how_many_more_there_were(serve, lines):
    server = served(serve)
    for _ in range(LINES_A_SECOND + 1):
        server.ask("gone.example.org")
    server.stop()
    assert "1 more errors in a second" in errors(lines)[-1]
    assert server.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("consolidate 5m", "Wrong argument count"),
        ("consolidate soon .*", "'soon' is not a duration"),
        ("consolidate 0s .*", "of at least"),
        ("consolidate 5m (", "could not parse regex"),
        ("consolidate 5m .* loud", "consolidate: loud"),
        ("consolidate 5m .* show_first error", "consolidate: show_first"),
        ("consolidated 5m .*", "unknown property 'consolidated'"),
        ("stacktrace now", "Wrong argument count"),
    ],
)
def test_mistakes_name_their_line(checked, line, says):
    with pytest.raises(CorefileError, match=says.replace("(", r"\(")) as caught:
        checked(f". {{\nerrors {{\n{line}\n}}\n}}")
    assert caught.value.line == 3


def test_standard_output_is_all_there_is(checked):
    with pytest.raises(CorefileError, match="invalid log file: stderr"):
        checked(". {\nerrors stderr\n}")
