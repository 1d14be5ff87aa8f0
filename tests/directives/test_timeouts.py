"""``timeouts``: bounds of streams reach the listener."""

from __future__ import annotations

import pytest

from k8sdns.errors import CorefileError
from k8sdns.server.stream import StreamLimits


def limits(serve, lines):
    server = serve(f". {{\ntimeouts {{\n{lines}\n}}\nwhoami\n}}").servers[0]
    return server.streams.limits


def test_given_bounds_replace_the_defaults(serve):
    found = limits(serve, "read 1s\nwrite 7\nidle 1m\nmaxtcpqueries 3")
    assert found == StreamLimits(
        first_message_after=1.0, write_after=7.0, idle_after=60.0, messages=3
    )


def test_others_keep_them(serve):
    assert limits(serve, "idle 20s") == StreamLimits(idle_after=20.0)


@pytest.mark.parametrize(
    "stanza",
    [
        "timeouts",
        "timeouts {\n}",
        "timeouts {\nread 0s\n}",
        "timeouts {\nread 25h\n}",
        "timeouts {\nmaxtcpqueries 0\n}",
        "timeouts {\nmaxtcpqueries -2\n}",
        "timeouts {\nopen 1s\n}",
    ],
)
def test_mistakes_are_refused(checked, stanza):
    with pytest.raises(CorefileError, match="plugin/timeouts"):
        checked(f". {{\n{stanza}\n}}")
