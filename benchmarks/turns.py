"""How long the longest turns of the reactor take while a crowd of questions comes and fails.

``python benchmarks/turns.py [COUNT]``: COUNT (5,000) questions for outside names come at one
moment, for as many names or all for one, and the upstream answers none. Turns are timed in CPU
seconds of their thread: what else the machine does is not in the figures. Prints a table.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import dns.message

from k8sdns import assemble
from k8sdns.collecting import Collector
from k8sdns.corefile.source import CorefileText
from k8sdns.service import global_reactor

UNTIL_ALL_FAILED = 8.0  # seconds
STARTED_AFTER = 1.0  # seconds; what a start costs is not measured here
COREFILE = """.:{port} {{
    bind 127.0.0.1
    forward . 127.0.0.1:{upstream} {{
        max_concurrent 20000
    }}
    cache 30
}}
"""


def crowd(port: int, count: int, names: int) -> None:
    """Ask `count` questions for so many names from 20 sockets; nobody reads replies."""
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(_datagrams()) for _ in range(20)]
        wires = [dns.message.make_query(f"n{n}.example.com", "A").to_wire() for n in range(names)]
        time.sleep(STARTED_AFTER + 0.5)
        for number in range(count):
            senders[number % 20].sendto(wires[number % names], ("127.0.0.1", port))


@contextlib.contextmanager
def _datagrams() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def serve(count: int, names: int) -> None:
    """Serve in this process while a child asks; print a row of the table."""
    with _datagrams() as silent, _datagrams() as free:
        port = free.getsockname()[1]
        text = COREFILE.format(port=port, upstream=silent.getsockname()[1])
        free.close()
        source = CorefileText(text, "Corefile", None)
        plan = assemble.check(source, default_port=port, environ={})
        reactor: Any = global_reactor()
        built = assemble.build(plan, reactor, sys.exit)
        built.privileged_start()
        Collector().settle()
        built.start()
        command = [sys.executable, __file__, "crowd", str(port), str(count), str(names)]
        child = subprocess.Popen(command)
        turns = timed(reactor)
        reactor.callLater(STARTED_AFTER, turns.__setitem__, slice(None), [0.0])
        reactor.callLater(UNTIL_ALL_FAILED, reactor.stop)
        reactor.run()
        child.wait()
    longest = " | ".join(f"{1000 * each:.1f}" for each in sorted(turns, reverse=True)[:3])
    print(f"| {count:,} for {names:,} | {sum(turns):.2f} | {longest} |")


def timed(reactor: Any) -> list[float]:
    """Return a list that grows by the CPU seconds of each turn: timers, then what sockets bring."""
    turns = [0.0]
    timers, sockets = reactor.runUntilCurrent, reactor.doIteration

    def run_timers() -> None:
        began = time.thread_time()
        timers()
        turns.append(time.thread_time() - began)

    def run_sockets(timeout: float) -> None:
        began = time.thread_time()
        sockets(timeout)
        turns[-1] += time.thread_time() - began

    reactor.runUntilCurrent, reactor.doIteration = run_timers, run_sockets
    return turns


def main() -> None:
    """Measure both crowds, each in a process of its own."""
    words = sys.argv[1:]
    if words[:1] == ["crowd"]:
        crowd(*map(int, words[1:]))
    elif words[:1] == ["serve"]:
        serve(*map(int, words[1:]))
    else:
        count = int(words[0]) if words else 5000
        print("| questions for names | CPU s | longest turn ms | second | third |")
        print("|---|--:|--:|--:|--:|", flush=True)
        for names in (count, 1):
            again = [sys.executable, __file__, "serve", str(count), str(names)]
            subprocess.run(again, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
