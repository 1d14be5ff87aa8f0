"""Words are found without being imported, and imported when they are looked at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from k8sdns.directives import discovered


def test_each_module_holds_the_word_that_it_is_called_by():
    found = discovered()
    assert [word for word in found if found[word].word != word] == []
    assert len(found) == len(set(found))


def test_a_word_that_is_not_there_is_not_found():
    assert "nosuchword" not in discovered()
    assert "__init__" not in discovered()
    with pytest.raises(KeyError):
        discovered()["nosuchword"]


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        ("whoami", "k8sdns.authorities.forward k8sdns.cluster dns yaml prometheus_client"),
        ("whoami\n prometheus", "k8sdns.cluster dns k8sdns.web.doh"),
        ("forward . 192.0.2.1", "k8sdns.cluster twisted.web h2 dns k8sdns.authorities.zonefile"),
        ("kubernetes cluster.local", "k8sdns.authorities.forward dns"),
    ],
)
def test_a_server_carries_the_code_of_its_own_words(words, absent):
    program = (
        "import sys\n"
        "from k8sdns import assemble\n"
        "from k8sdns.corefile.source import CorefileText\n"
        f"text = '''. {{\\n {words}\\n}}\\n'''\n"
        "plan = assemble.check(CorefileText(text, 'C', None), default_port=53, environ={})\n"
        f"print(*sorted(set({absent.split()!r}) & set(sys.modules)))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (said.stdout, said.stderr) == ("\n", "")
