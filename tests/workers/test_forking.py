"""What is forked must have no reactor, no thread and no randomness in common."""

from __future__ import annotations

import subprocess
import sys


def test_the_nursery_imports_no_reactor_and_no_kubernetes():
    program = (
        "import sys, threading, k8sdns.child as child;"
        "child.import_for_all(child.directives.discovered());"
        "unwanted = {'twisted.internet.reactor', 'kubernetes'} & set(sys.modules);"
        "print(unwanted or 'none', threading.active_count())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout == "none 1\n", said.stderr
