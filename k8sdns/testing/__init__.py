"""The public kit for people who write directives, and for our own tests.

    from k8sdns.testing import serve

    def test_greeting():
        with serve(COREFILE, directives=[greet.DIRECTIVE]) as server:
            assert server.ask("hello.example").rcode() == 0

`serve` runs a Corefile in the test's process: no sockets, no threads, a clock of its own.
`Upstream` is a name server for ``forward`` to ask, `FakeReactor` the clock to share or inspect.

What stands beside it is asked for by its module: `k8sdns.testing.strategies` (hypothesis),
`k8sdns.testing.conversation` (scripted conversations with upstreams), and
`k8sdns.testing.apiserver` (a Kubernetes API server over real sockets).
"""

from k8sdns.testing.network import FakeReactor
from k8sdns.testing.serving import Exchange, NoReply, Served, serve
from k8sdns.testing.upstream import Upstream

__all__ = ["Exchange", "FakeReactor", "NoReply", "Served", "Upstream", "serve"]
