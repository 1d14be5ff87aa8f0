"""What was understood, as JSON."""

from __future__ import annotations

import json

from k8sdns.corefile.dump import as_json
from k8sdns.corefile.parser import parse


def test_the_dump_is_json_of_keys_names_arguments_bodies_and_rests():
    text = "(s) {\n log {\n }\n}\na, bücher {\n cache 1 {\n x y\n } z\n import s\n loop\n}"
    assert json.loads(as_json(parse(text))) == [
        {
            "keys": ["a", "bücher"],
            "directives": [
                {"name": "cache", "args": ["1"], "body": [["x", "y"]], "rest": ["z"]},
                {"name": "log", "args": [], "body": []},
                {"name": "loop", "args": []},
            ],
        }
    ]


def test_nothing_is_an_empty_list():
    assert as_json(parse("")) == "[]\n"


def test_octets_of_the_environment_that_are_no_text_do_not_stop_it():
    (block,) = json.loads(as_json(parse(". {\n log {$X}\n}", environ={"X": "a\udcff"})))
    assert block["directives"][0]["args"] == ["a?"]
