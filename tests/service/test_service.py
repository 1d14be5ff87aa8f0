"""makeService nests in any application, several times, starts again, and drains before it ends."""

from __future__ import annotations

import signal
import time

import pytest
from twisted.application.service import Application, IService, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from k8sdns import service
from k8sdns.errors import ConfigurationError
from k8sdns.options import Options


class Plan:
    banner = (".:53",)


class FakeAssembled:
    """Writes down what it is told; each Deferred is the test's to fire."""

    def __init__(self, calls):
        self.calls = calls
        self.asked_at = None
        self.starting = None
        self.draining = None

    def privileged_start(self):
        self.calls.append("privileged_start")

    def start(self):
        self.calls.append("start")
        return self.starting

    def last_asked_at(self):
        return self.asked_at

    def drain(self):
        self.calls.append("drain")
        return self.draining

    def stop(self):
        self.calls.append("stop")


class FakeAssembly:
    def __init__(self):
        self.calls = []
        self.built = []

    def check(self, corefile, *, default_port, environ):
        if "wrong" in corefile.text:
            raise ConfigurationError("Corefile:1 - wrong")
        return Plan()

    def rehearse(self, plan):
        self.calls.append("rehearse")

    def dump(self, corefile, *, environ):
        return "[]\n"

    def words(self):
        return []

    def build(self, plan, reactor, halt):
        self.built.append(FakeAssembled(self.calls))
        self.halt = halt
        return self.built[-1]


@pytest.fixture
def assembly():
    return FakeAssembly()


@pytest.fixture
def options(assembly, tmp_path):
    path = tmp_path / "Corefile"
    path.write_text(".:53 {\n whoami\n}\n")
    options = Options(assembly)
    options.parseOptions(["--corefile", str(path), "--quiet"])
    return options


def test_it_serves_inside_somebody_elses_application(assembly, options):
    application = Application("other")
    parent = MultiService()
    parent.setServiceParent(application)
    service.makeService(options, Clock()).setServiceParent(parent)
    assert assembly.calls == []  # nothing is opened before it is started
    IService(application).privilegedStartService()
    IService(application).startService()
    IService(application).stopService()
    assert assembly.calls == ["privileged_start", "start", "drain", "stop"]


def test_twice_in_one_process(assembly, options):
    one, two = (service.makeService(options, Clock()) for _ in range(2))
    one.startService()
    two.startService()
    one.stopService()
    assert len(assembly.built) == 2
    assert two.running


def test_twice_in_one_application(assembly, options):
    application = Application("other")
    for _ in range(2):
        service.makeService(options, Clock()).setServiceParent(application)
    IService(application).startService()
    assert assembly.calls.count("start") == 2


def test_it_starts_again_after_it_was_stopped(assembly, options):
    made = service.makeService(options, Clock())
    for _ in range(2):
        made.startService()
        made.stopService()
    assert assembly.calls == ["privileged_start", "start", "drain", "stop"] * 2


def test_stopping_waits_until_nobody_asks(assembly, options):
    clock = Clock()
    made = service.makeService(options, clock)
    made.startService()
    assembly.built[0].asked_at = 0.0
    ended = made.stopService()
    clock.pump([1, 1])
    assert "stop" not in assembly.calls
    clock.advance(1)
    assert "stop" in assembly.calls
    assert ended.called


def test_stopping_waits_for_lameduck(assembly, options):
    made = service.makeService(options, Clock())
    made.startService()
    assembly.built[0].draining = Deferred()
    made.stopService()
    assert "stop" not in assembly.calls
    assembly.built[0].draining.callback(None)
    assert assembly.calls[-1] == "stop"


def test_stopping_what_never_started_is_nothing(assembly, options):
    assert service.makeService(options, Clock()).stopService().called
    assert assembly.calls == []


def test_halting_ends_our_service_and_never_somebody_elses_process(assembly, options):
    made = service.makeService(options, Clock())
    made.startService()
    assembly.halt("no sense")
    assert assembly.calls[-1] == "stop"
    assert not made.running


def test_a_start_that_fails_later_ends_the_service(assembly, options):
    made = service.makeService(options, Clock())
    made.privilegedStartService()
    assembly.built[0].starting = Deferred()
    made.startService()
    assembly.built[0].starting.errback(ConfigurationError("a file went away"))
    assert not made.running


def test_mistakes_leave_the_options_as_one_line(assembly, tmp_path):
    path = tmp_path / "Corefile"
    path.write_text("wrong")
    with pytest.raises(SystemExit, match=r"^Corefile:1 - wrong$"):
        Options(assembly).parseOptions(["-c", str(path)])


@pytest.mark.parametrize(
    ("name", "said"), [("", "Is a directory"), ("nowhere", "No such file"), ("huge", "larger")]
)
def test_a_corefile_that_cannot_be_read(assembly, tmp_path, name, said):
    (tmp_path / "huge").write_bytes(b" " * (16 << 20) + b" ")
    with pytest.raises(SystemExit, match=said):
        Options(assembly).parseOptions(["-c", str(tmp_path / name)])


def test_without_a_corefile_coredns_default_is_served(assembly, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    assembly.check = lambda corefile, **_: seen.append(corefile) or Plan()
    Options(assembly).parseOptions(["--port", "1053"])
    assert seen[0].text.split() == [".:1053", "{", "whoami", "log", "}"]
    assert seen[0].path is None


def test_the_clock_is_monotonic_from_the_first_timer_on():
    early, late = Clock(), Clock()
    late.callLater(1, lambda: None)
    service.use_monotonic_clock(early)
    service.use_monotonic_clock(late)
    assert early.seconds is time.monotonic
    assert late.seconds is not time.monotonic


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        (["-n", "-y", "x.tac"], True),
        (["-ny", "x.tac"], True),
        (["--nodaemon", "--logfile=-", "-y", "x.tac"], True),
        (["-y", "x.tac"], False),
        (["-ny", "x.tac", "-l", "file"], False),
        (["-ny", "x.tac", "--syslog"], False),
        (["-ny", "x.tac", "--logger=a.b"], False),
        (["--not-twistd"], False),
    ],
)
def test_our_lines_are_for_a_foreground_that_chose_no_other(arguments, ours):
    chosen = service.twistd_choices(arguments)
    assert (chosen.get("logger") == "k8sdns.logs.observer") is ours


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
@pytest.mark.parametrize("before", ["handler", signal.SIG_IGN, signal.SIG_DFL])
def test_a_signal_reloads_and_still_does_what_it_did(number, before):
    """twistd turns its log file over on SIGUSR1."""
    done = []

    def handler(number, _frame):
        done.append(number)

    class Reactor:
        def callFromThread(self, call, *arguments):
            call(*arguments)

    at_first = signal.signal(number, handler if before == "handler" else before)
    try:
        service.reload_on_signals(Reactor(), lambda: done.append("reload"))
        signal.raise_signal(number)
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        signal.signal(number, at_first)
    assert done == (["reload", number] if before == "handler" else ["reload"])
