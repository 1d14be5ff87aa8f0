"""``multisocket`` as users start it: everybody answers, and whatever dies is not missed."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
import urllib.request
from pathlib import Path

import dns.edns
import dns.exception
import dns.message
import dns.query
import pytest

ROOT = Path(__file__).parents[2]
NAME = "shop.bakery.svc.cluster.local"
COREFILE = f"""
.:@PORT@ {{
    bind 127.0.0.1
    multisocket 2
    errors
    ready 127.0.0.1:@READY@
    prometheus 127.0.0.1:@METRICS@
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        manifests {ROOT}/examples/cluster
    }}
}}
"""


def children(pid):
    """Return the processes that came from `pid`, by role, in the order of their pids."""
    parents, names = {}, {}
    for each in Path("/proc").glob("[0-9]*"):
        try:
            name, _, status = (each / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        parents[int(each.name)] = int(status.split()[1])
        names[int(each.name)] = name
    found = {}
    for each in sorted(parents):
        if parents.get(parents[each]) == pid and names[each].startswith("k8sdns-"):
            found.setdefault(names[each].removeprefix("k8sdns-"), []).append(each)
    return found


def is_there(pid):
    """Tell whether a process is there and does not just wait to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "XZ"
    except OSError:
        return False


def left(pids):
    """Return which of `pids` are there still, after a while if need be."""
    until = time.monotonic() + 10
    while any(map(is_there, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return [pid for pid in pids if is_there(pid)]


class Served:
    """A server of two workers, with its pages."""

    def __init__(self, twistd, free_port, corefile=COREFILE, **options):
        self.ready_port, self.metrics_port = free_port(), free_port()
        self.corefile = corefile.replace("@READY@", str(self.ready_port)).replace(
            "@METRICS@", str(self.metrics_port)
        )
        self.server = twistd(self.corefile, **options)
        self.server.wait_until(lambda: self.page(self.ready_port, "/ready") == "OK", "readiness")

    def page(self, port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
                return reply.read().decode()
        except OSError:
            return ""

    def metric(self, name):
        """Return the sum of the samples whose name and labels match a pattern."""
        page = self.page(self.metrics_port, "/metrics")
        return sum(float(value) for value in re.findall(rf"^{name} (\S+)$", page, re.MULTILINE))

    def pids(self, role="worker"):
        return children(self.server.process.pid).get(role, [])

    def ask_from_everywhere(self, count, timeout=5.0):
        """Ask from `count` sockets, which the kernel spreads over the workers; return answers."""
        query = dns.message.make_query(NAME, "A").to_wire()
        asking = []
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.settimeout(timeout)
            sock.connect(("127.0.0.1", self.server.port))
            sock.send(query)
            asking.append(sock)
        return asking

    def answers(self, asking):
        found = 0
        for sock in asking:
            with sock:
                try:
                    found += len(dns.message.from_wire(sock.recv(4096)).answer)
                except TimeoutError:
                    continue
        return found


@pytest.fixture
def served(twistd, free_port):
    return Served(twistd, free_port)


def test_two_workers_and_a_feeder_serve_one_page(served):
    assert len(served.pids("worker")) == 2
    assert len(served.pids("feeder")) == 1
    assert served.answers(served.ask_from_everywhere(60)) == 60
    assert len(served.server.ask(NAME, tcp=True).answer) == 1
    served.server.wait_until(
        lambda: served.metric(r"coredns_dns_requests_total\{.*\}") >= 61, "the sum of all queries"
    )
    assert served.metric("k8sdns_workers") == 2
    assert served.metric(r'k8sdns_store_objects\{resource="services"\}') == 9


def test_what_was_queued_for_a_killed_worker_is_answered_by_its_replacement(served):
    first, second = served.pids()
    for pid in (first, second):
        os.kill(pid, signal.SIGSTOP)
    asking = served.ask_from_everywhere(40)
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    assert served.answers(asking) == 40
    served.server.wait_until(lambda: served.metric("k8sdns_workers") == 2, "both replacements")
    assert served.metric(r'k8sdns_worker_restarts_total\{reason="died",role="worker"\}') == 2


def test_a_worker_that_hangs_is_replaced_and_counted(served):
    hung = served.pids()[0]
    os.kill(hung, signal.SIGSTOP)
    asking = served.ask_from_everywhere(40)
    assert served.answers(asking) == 40
    assert not left([hung])
    assert served.metric(r'k8sdns_worker_restarts_total\{reason="hung",role="worker"\}') == 1


def test_no_process_outlives_the_parent(served):
    everybody = [*served.pids("worker"), *served.pids("feeder")]
    os.kill(everybody[0], signal.SIGSTOP)  # not even one that cannot hear of it
    served.server.process.kill()
    served.server.process.wait(10)
    assert not left(everybody)


def test_workers_answer_on_without_a_feeder_and_hear_the_next_one(twistd, free_port, tmp_path):
    manifest = tmp_path / "cluster.yaml"
    manifest.write_text(service("one"))
    corefile = COREFILE.replace(f"{ROOT}/examples/cluster", str(manifest))
    served = Served(twistd, free_port, corefile)
    (feeder,) = served.pids("feeder")
    os.kill(feeder, signal.SIGKILL)
    assert served.server.ask("one.default.svc.cluster.local").answer
    manifest.write_text(service("two"))

    def everybody_knows():
        asked = [
            (served.server.ask(f"{name}.default.svc.cluster.local").rcode(), name)
            for name in ("one", "two") * 5
        ]
        return set(asked) == {(3, "one"), (0, "two")}

    served.server.wait_until(everybody_knows, "the change by way of the next feeder")


def service(name):
    return (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n---\n"
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}\n"
        "spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
    )


def test_sigterm_ends_everybody_after_the_drain(served):
    everybody = [*served.pids("worker"), *served.pids("feeder")]
    status = served.server.end(signal.SIGTERM)
    assert status in (0, -signal.SIGTERM)
    assert not left(everybody)
    assert "hangs" not in served.server.output


def test_while_the_parent_drains_every_worker_answers(served):
    served.answers(served.ask_from_everywhere(20))
    served.server.process.send_signal(signal.SIGTERM)
    served.server.wait_until(lambda: "SIGTERM" in served.server.output, "the drain")
    asked = answered = 0
    until = time.monotonic() + 2
    while time.monotonic() < until:
        asked += 20
        answered += served.answers(served.ask_from_everywhere(20))
    assert answered == asked
    assert served.server.wait() in (0, -signal.SIGTERM)


def test_log_lines_keep_their_order_per_worker_and_are_whole(twistd, free_port):
    served = Served(twistd, free_port, COREFILE.replace("errors", "errors\n    log"))
    clients, count = 8, 60
    flows = []
    for _ in range(clients):  # the kernel keeps each with one worker
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(5)
        sock.connect(("127.0.0.1", served.server.port))
        flows.append(sock)
    for number in range(count):
        for flow, sock in enumerate(flows):
            name = f"f{flow}-n{number}.nobody.svc.cluster.local"
            sock.send(dns.message.make_query(name, "A").to_wire())
        for sock in flows:
            sock.recv(4096)
    for sock in flows:
        sock.close()
    line = re.compile(r'\[INFO\] [\d.]+:\d+ - \d+ "A IN f(\d+)-n(\d+)\.nobody.* [\d.]+s')

    def logged():
        return [each for each in served.server.output.splitlines() if ".nobody." in each]

    served.server.wait_until(lambda: len(logged()) >= clients * count, "every line")
    found = [line.fullmatch(each) for each in logged()]
    assert [each for each, match in zip(logged(), found, strict=True) if match is None] == []
    for flow in range(clients):
        numbers = [int(match[2]) for match in found if int(match[1]) == flow]
        assert numbers == list(range(count))


def test_what_one_worker_cannot_start_ends_the_server_with_one_line(twistd, free_port):
    corefile = """
.:@PORT@ {
    bind 127.0.0.1
    multisocket 2
    kubernetes cluster.local {
        kubeconfig /nonexistent/config
    }
}
"""
    server = twistd(corefile, wait=False)
    assert server.wait() == 1
    assert "/nonexistent/config" in server.output
    assert "Traceback" not in server.output


def test_a_port_that_is_taken_is_noticed(twistd, free_port):
    """Sockets that are shared must not let two servers share a port unseen."""
    first = Served(twistd, free_port)
    corefile = first.corefile.replace("@PORT@", str(first.server.port))
    second = twistd(corefile.replace("ready", "#").replace("prometheus", "#"), wait=False)
    assert second.wait() == 1
    assert "cannot listen on tcp" in second.output


@pytest.mark.parametrize("is_good", [True, False])
def test_a_reload_reaches_all_or_none_and_loses_nothing(twistd, free_port, tmp_path, is_good):
    served = Served(twistd, free_port, COREFILE.replace("errors", "errors\n    nsid before"))
    path = tmp_path / "Corefile"
    text = path.read_text()
    change = "nsid after" if is_good else "nsid after\n    tls /nonexistent/a /nonexistent/b"
    lost = []

    def keep_asking(stop):
        while not stop.is_set():
            try:
                nsid(served)
            except dns.exception.Timeout:
                lost.append(1)

    stop = threading.Event()
    asking = threading.Thread(target=keep_asking, args=(stop,))
    asking.start()
    path.write_text(text.replace("nsid before", change))
    served.server.process.send_signal(signal.SIGHUP)
    said = "Reloading complete" if is_good else "reload failed"
    try:
        served.server.wait_until(lambda: said in served.server.output, said)
    finally:
        stop.set()
        asking.join()
    expected = b"after" if is_good else b"before"
    served.server.wait_until(
        lambda: {nsid(served) for _ in range(20)} == {expected}, "the same from every worker"
    )
    assert not lost
    assert served.metric("coredns_reload_failed_total") == (not is_good)
    assert served.metric(r"k8sdns_worker_restarts_total\{.*\}") == 0


def nsid(served):
    query = dns.message.make_query(NAME, "A", options=[dns.edns.GenericOption(3, b"")])
    reply = dns.query.udp(query, "127.0.0.1", port=served.server.port, timeout=5)
    return next(option.nsid for option in reply.options if option.otype == 3)


def test_without_the_nursery_everybody_is_replaced_and_queries_wait(served):
    everybody = [*served.pids("worker"), *served.pids("feeder")]
    os.kill(parent_of(everybody[0]), signal.SIGKILL)
    # What a worker had taken in its last moment is lost with it; what comes then must wait.
    served.server.wait_until(lambda: not left(everybody), "their end")
    assert served.answers(served.ask_from_everywhere(20, timeout=10)) == 20
    served.server.wait_until(lambda: served.metric("k8sdns_workers") == 2, "both workers")


def open_at(pid):
    """Return what a process has open, by descriptor."""
    return {int(each.name): os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir()}


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_children_keep_nothing_open_that_is_the_parents_alone(served):
    parent, (feeder,), worker = served.server.process.pid, served.pids("feeder"), served.pids()[0]
    nursery = open_at(parent_of(worker))
    assert sorted(nursery) == [0, 1, 2, 3]
    assert nursery[0] == os.devnull
    parents = {what for what in open_at(parent).values() if what.startswith("socket:")}
    assert not parents & {*nursery.values(), *open_at(feeder).values()}
    # Its datagram socket, and the stream socket that all workers have.
    assert len(parents & {*open_at(worker).values()}) == 2


def test_children_share_the_memory_of_what_their_parent_imported(served):
    assert memory_of(served.server.process.pid, "Shared_Dirty") > 20_000
    for pid in (*served.pids("worker"), *served.pids("feeder")):
        assert memory_of(pid, "Shared_Dirty") > 20_000


def memory_of(pid, what):
    """Return kilobytes of a process (proc(5), smaps_rollup)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"^{what}: +(\d+) kB", rollup, re.MULTILINE)[1])
