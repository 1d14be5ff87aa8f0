"""``multisocket``: its number, and which processes each word is for."""

from __future__ import annotations

import pytest

from k8sdns import directives
from k8sdns.errors import CorefileError
from k8sdns.server.cores import worthwhile_processes
from k8sdns.server.draft import FEEDER, PARENT, WORKER


@pytest.mark.parametrize("text, count", [("1", 1), ("7", 7), ("1024", 1024)])
def test_the_number_is_how_many_answer(settings, text, count):
    assert settings(f"multisocket {text}").processes == count


def test_without_a_number_it_is_what_there_is_room_for(settings):
    assert settings("multisocket").processes == worthwhile_processes()


@pytest.mark.parametrize("text", ["0", "1025", "-1", "many", "2 3"])
def test_other_numbers_are_refused(settings, text):
    with pytest.raises(CorefileError):
        settings(f"multisocket {text}")


def test_it_concerns_the_server_and_the_largest_number_counts(checked):
    plan = checked(
        ".:1053 {\n multisocket 2\n whoami\n}\na.test:1053 {\n multisocket 3\n whoami\n}\n"
    )
    assert plan.processes == 3
    assert checked(".:1053 {\n whoami\n}\n").processes == 1


def test_pages_and_reloads_are_the_parents_and_one_process_watches():
    roles = {word: set(each.roles) for word, each in directives.discovered().items()}
    assert roles["health"] == roles["ready"] == roles["reload"] == {PARENT}
    assert roles["prometheus"] == {PARENT, WORKER}
    assert roles["kubernetes"] == {WORKER, FEEDER}
    assert roles["forward"] == roles["log"] == roles["cache"] == {WORKER}
