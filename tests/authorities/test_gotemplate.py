"""Templates say what Go's text/template would say; mistakes are found early."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from k8sdns.authorities import gosteps
from k8sdns.authorities.gofunctions import ExecutionError, Struct
from k8sdns.authorities.gotemplate import GoTemplate, TemplateError

META = {"forward/upstream": "192.0.2.53"}
ROOT = Struct(
    Name="ip-10-0a.example.",
    Type="A",
    Match=("ip-10-0a", "10", "0a"),
    Group={"0": "ip-10-0a", "a": "10", "b": "0a"},
    Question=Struct(Qtype=1),
    Meta=lambda label: META.get(label, ""),
    Empty="",
    Big=1.5,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain { } text", "plain { } text"),
        ("{{ .Name }} 60 IN A", "ip-10-0a.example. 60 IN A"),
        ("{{.Group.a}}.{{ .Group.b }}", "10.0a"),
        ("{{ .Group.none }}", "<no value>"),
        ("{{ .Question.Qtype }}", "1"),
        ("{{ $.Name }}", "ip-10-0a.example."),
        ("{{ index .Match 1 }}{{ index .Group `b` }}{{ index .Group \"none\" }}", "100a"),
        ("{{ parseInt .Group.b 16 8 }}", "10"),
        ("{{ .Group.b | printf \"%s-%s\" .Type }}", "A-0a"),
        ("{{ .Meta \"forward/upstream\" }}", "192.0.2.53"),
        ("{{ \"forward/upstream\" | .Meta }}", "192.0.2.53"),
        ("{{ (index .Match 0) | len }}", "8"),
        ("{{ if eq .Type \"A\" }}four{{ else }}six{{ end }}", "four"),
        ("{{ if eq .Type \"MX\" \"A\" }}1{{ end }}", "1"),
        ("{{ if ne .Type \"A\" }}1{{ else if eq .Type \"A\" }}2{{ else }}3{{ end }}", "2"),
        ("{{ if .Empty }}1{{ end }}", ""),
        ("{{ if and .Empty .Type }}1{{ else }}2{{ end }}{{ or .Empty \"x\" }}", "2x"),
        ("{{ if not (lt 1 2) }}1{{ else }}{{ ge 2 2 }}{{ end }}", "true"),
        ("{{ range .Match }}<{{ . }}>{{ end }}", "<ip-10-0a><10><0a>"),
        ("{{ range $i, $m := .Match }}{{ $i }}={{ $m }} {{ end }}", "0=ip-10-0a 1=10 2=0a "),
        ("{{ range $m := .Match }}{{ $m }}{{ $.Type }}{{ end }}", "ip-10-0aA10A0aA"),
        ("{{ range .Empty | print | slice }}{{ end }}", None),
        ("{{ range $k, $v := .Group }}{{ $k }}{{ $v }};{{ end }}", "0ip-10-0a;a10;b0a;"),
        ("{{ with .Group }}{{ .a }}{{ end }}{{ with .Empty }}x{{ else }}y{{ end }}", "10y"),
        ("{{ $x := .Group.a }}{{ if true }}{{ $x = \"z\" }}{{ end }}{{ $x }}", "z"),
        ("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", "21"),
        ("a  {{- .Type -}}  b", "aAb"),
        ("a {{/* a comment }} */}} b{{- /* another */ -}} c", "a  bc"),
        ("{{ \"}}\" }}{{ `\\n` }}{{ \"\\t\" }}{{ 'a' }}{{ 0x1F }}{{ -3 }}", "}}\\n\t9731-3"),
        ("{{ print 1 2 \"a\" 3 }}|{{ println 1 2 }}", "1 2a3|1 2\n"),
        ("{{ printf \"%03d %x %5s|%-5s|%v %q %t %%\" 7 255 \"a\" \"b\" true \"c\" false }}",
         "007 ff     a|b    |true \"c\" false %"),
        ("{{ slice .Name 0 2 }}{{ .Big }}{{ .Match }}{{ nil }}", "ip1.5[ip-10-0a 10 0a]<no value>"),
        ("{{ .Group }}", "map[0:ip-10-0a a:10 b:0a]"),
    ],
)  # fmt: skip
def test_templates_say_what_go_says(text, expected):
    template = GoTemplate(text, fields=ROOT)
    if expected is None:
        with pytest.raises(ExecutionError):
            template.execute(ROOT)
    else:
        assert template.execute(ROOT) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ .Name", "unclosed action"),
        ("{{ .Nmae }}", r"there is no .Nmae \(did you mean .Name\?\)"),
        ("{{ $.Foo }}", "there is no .Foo"),
        ("{{ if .Name }}", "without {{end}}"),
        ("{{ if .Name }}{{ else }}", "without {{end}}"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ else }}", "unexpected {{else}}"),
        ("{{ $x }}", "undefined variable \\$x"),
        ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "undefined variable"),
        ("{{ parsInt 1 }}", r'"parsInt" not defined \(did you mean parseInt\?\)'),
        ('{{ template "x" }}', "template is not supported"),
        ("{{ html .Name }}", "html is not supported"),
        ("{{ }}", "missing value"),
        ("{{ .Name | }}", "missing value"),
        ("{{ (.Name }}", "unexpected '}}'"),
        ("{{ .Name ) }}", r"unexpected '\)'"),
        ("{{ .Group.1 }}", "unexpected"),
        ("{{ @ }}", "unexpected '@ }}' in action"),
        ("{{ range $a, $b, $c := .Match }}{{ end }}", "at most two"),
        ("{{ " + "(" * 100 + "1" + ")" * 100 + " }}", "too deeply"),
        ("{{ if true }}" * 100 + "{{ end }}" * 100, "too deeply"),
        ("x" * 10_001, "at most 10000"),
    ],
)
def test_mistakes_are_found_when_a_template_is_compiled(text, message):
    with pytest.raises(TemplateError, match=message):
        GoTemplate(text, fields=ROOT)


@pytest.mark.parametrize(
    "text",
    [
        "{{ index .Match 9 }}",
        "{{ index .Match -1 }}",
        "{{ parseInt .Group.b 16 3 }}",
        '{{ parseInt "-1" 10 8 }}',
        "{{ parseInt .Name 10 8 }}",
        "{{ .Question.Nope }}",
        "{{ .Name.Foo }}",
        '{{ .Name "argument" }}',
        "{{ eq .Name 1 }}",
        "{{ lt true false }}",
        "{{ eq 1 }}",
        "{{ len 3 }}",
        '{{ printf "%d" "x" }}',
        '{{ printf "%s" }}',
        '{{ printf "%99999d" 1 }}',
        "{{ range .Type }}{{ end }}",
        "{{ .Meta }}",
        "{{ not 1 2 }}",
    ],
)
def test_mistakes_that_depend_on_values_are_execution_errors(text):
    with pytest.raises(ExecutionError):
        GoTemplate(text, fields=ROOT).execute(ROOT)


def test_the_text_is_bounded(monkeypatch):
    monkeypatch.setattr(gosteps, "MAX_OUTPUT", 20)
    with pytest.raises(ExecutionError, match="longer"):
        GoTemplate("{{ range .Match }}1234567890{{ end }}").execute(ROOT)


PIECES = st.sampled_from(
    ["{{", "}}", "{{-", "-}}", " ", "if", "else", "end", "range", ".Name", ".", "$", "$x", ":=",
     "=", "|", "(", ")", '"', "`", "index", "1", "eq", "with", "{{end}}", "{{if 1}}", "text", "/*"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
def test_any_text_is_a_template_or_an_error(text):
    with suppress(TemplateError, ExecutionError):
        GoTemplate(text, fields=ROOT).execute(ROOT)
