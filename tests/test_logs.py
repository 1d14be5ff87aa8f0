"""Log lines have CoreDNS's form, one event is one line, and a slow reader costs lines, not time."""

from __future__ import annotations

import os
import select
import threading

import pytest
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from k8sdns import logs


class Collected:
    """Lines as a list, where a LineWriter is wanted."""

    def __init__(self):
        self.lines = []

    def put(self, line):
        self.lines.append(line)


@pytest.fixture
def collected():
    return Collected()


@pytest.mark.parametrize(
    ("namespace", "level", "line"),
    [
        ("k8sdns.service", LogLevel.info, "[INFO] hello"),
        ("k8sdns.directives.forward", LogLevel.warn, "[WARNING] plugin/forward: hello"),
        ("k8sdns.directives.errors.rules", LogLevel.error, "[ERROR] plugin/errors: hello"),
        ("k8sdns.authorities.hosts", LogLevel.info, "[INFO] plugin/hosts: hello"),
        ("k8sdns.cluster.reflector", LogLevel.info, "[INFO] plugin/kubernetes: hello"),
        ("k8sdns.directives", LogLevel.critical, "[ERROR] hello"),
        ("elsewhere.directives.forward", LogLevel.info, "[INFO] hello"),
    ],
)
def test_form_of_a_line(collected, namespace, level, line):
    Logger(namespace, observer=logs.LineObserver(collected)).emit(level, "{word}", word="hello")
    assert collected.lines == [line]


def test_debug_lines_only_when_asked_for(collected):
    observer = logs.LineObserver(collected)
    log = Logger("k8sdns.service", observer=observer)
    log.debug("one")
    observer.debug = True
    log.debug("two")
    assert collected.lines == ["[DEBUG] two"]


def test_a_bare_event_is_the_whole_line(collected):
    log = Logger("k8sdns.service", observer=logs.LineObserver(collected))
    log.info("{line}", line=".:53", **{logs.BARE: True})
    assert collected.lines == [".:53"]


def test_nobody_writes_lines_of_their_own(collected):
    log = Logger("k8sdns.service", observer=logs.LineObserver(collected))
    log.info("{name}", name="a\n[ERROR] forged\r\x1b[2J")
    assert collected.lines == ["[INFO] a\\x0a[ERROR] forged\\x0d\\x1b[2J"]


def test_a_failure_brings_its_traceback(collected):
    log = Logger("k8sdns.service", observer=logs.LineObserver(collected))
    try:
        raise ValueError("a reason")
    except ValueError:
        log.failure("it broke", Failure())
    (line,) = collected.lines
    assert line.startswith("[ERROR] it broke\n")
    assert "ValueError: a reason" in line


def test_a_line_has_a_bound(collected):
    Logger("x", observer=logs.LineObserver(collected)).info("{x}", x="y" * 1_000_000)
    assert len(collected.lines[0]) < logs.MAX_LINE_CHARACTERS + 100


def test_lines_come_out_in_order_and_are_all_flushed():
    written = []
    writer = logs.LineWriter(written.append, linger=0)
    for n in range(1000):
        writer.put(str(n))
    writer.flush(10)
    assert b"".join(written) == "".join(f"{n}\n" for n in range(1000)).encode()
    assert writer.dropped == 0


def test_a_full_queue_drops_and_counts():
    reading = threading.Event()
    written = []

    def write(octets):
        reading.wait(10)
        written.append(octets)

    writer = logs.LineWriter(write, bound=10, linger=0)
    for n in range(1000):
        writer.put(str(n))
    assert writer.dropped > 0
    writer.flush(0)  # nobody reads: does not wait
    reading.set()
    writer.flush(10)
    assert b"".join(written).count(b"\n") + writer.dropped == 1000


def test_a_reader_that_went_away_is_survived():
    def write(octets):
        raise BrokenPipeError

    writer = logs.LineWriter(write, linger=0)
    writer.put("one")
    writer.flush(10)
    assert writer.dropped == 1


def test_write_all_waits_for_a_full_pipe():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    sent = b"x" * 300_000
    thread = threading.Thread(target=logs.write_all, args=(writer, sent), daemon=True)
    thread.start()
    received = b""
    while len(received) < len(sent):
        received += os.read(reader, 65536)
    thread.join(10)
    os.close(reader)
    os.close(writer)
    assert received == sent


def test_a_forked_child_logs_on():
    reader, writer = os.pipe()
    lines = logs.LineWriter(lambda octets: logs.write_all(writer, octets), linger=0)
    lines.put("parent")
    lines.flush(10)
    child = os.fork()
    if child == 0:
        lines.put("child")
        lines.flush(10)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"parent\nchild\n"
    os.close(reader)
    os.close(writer)


def test_the_observer_is_one_and_provides_the_interface():
    assert logs.observer() is logs.observer()
    assert verifyObject(ILogObserver, logs.observer())


@pytest.mark.parametrize(
    "lengths", [[], [1], [100] * 200, [4095], [4096], [5000, 3, 4095, 1, 9000]]
)
def test_lines_of_several_processes_on_one_pipe_stay_whole(monkeypatch, lengths):
    written = []
    monkeypatch.setattr(logs, "write_all", lambda _descriptor, octets: written.append(octets))
    lines = b"".join(b"x" * length + b"\n" for length in lengths)
    logs.write_whole_lines(1, lines)
    assert b"".join(written) == lines
    assert all(each.endswith(b"\n") for each in written)
    assert all(len(each) <= select.PIPE_BUF or each.count(b"\n") == 1 for each in written)
