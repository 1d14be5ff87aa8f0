"""twistd, the k8sdns command or a .tac file with a fake `k8sdns.assemble` behind them.

The fake's Corefile is lines of ``bind HOST PORT``, ``fail LINE MESSAGE``, ``halt``, ``late`` (start
through a Deferred), ``chatter N`` (log N lines a turn). It answers every datagram with itself, for
which it also counts as a question. Run as ``fake_twistd.py twistd|k8sdns ARGUMENTS``.
"""

from __future__ import annotations

import json
import sys
import types

fake = types.ModuleType("k8sdns.assemble")


class Plan:
    def __init__(self, lines):
        self.lines = lines
        self.banner = [".:1053"]


def check(corefile, *, default_port, environ):
    from k8sdns.errors import CorefileError

    lines = [line.split() for line in corefile.text.splitlines()]
    for words in lines:
        if words[:1] == ["fail"]:
            raise CorefileError(" ".join(words[2:]), corefile.name, int(words[1]))
    return Plan(lines)


def rehearse(plan):
    pass


def dump(corefile, *, environ):
    return json.dumps(corefile.text.split())


class Echo:
    reloads = None

    def __init__(self, plan, reactor, halt):
        self.plan, self.reactor, self.halt = plan, reactor, halt
        self.ports, self.asked_at, self.loops = [], None, []

    def privileged_start(self):
        from twisted.internet.error import CannotListenError
        from twisted.internet.protocol import DatagramProtocol

        from k8sdns.errors import ConfigurationError

        outer = self

        class Back(DatagramProtocol):
            def datagramReceived(self, datagram, address):
                outer.asked_at = outer.reactor.seconds()
                self.transport.write(datagram, address)

        for words in self.plan.lines:
            if words[:1] == ["bind"]:
                try:
                    port = self.reactor.listenUDP(int(words[2]), Back(), words[1])
                except CannotListenError as error:
                    text = (
                        f"cannot listen on udp {words[1]}:{words[2]}: {error.socketError.strerror}"
                    )
                    raise ConfigurationError(text) from None
                self.ports.append(port)

    def start(self):
        import os

        from twisted.internet.defer import succeed
        from twisted.internet.task import LoopingCall
        from twisted.logger import Logger

        log = Logger("k8sdns.directives.forward")
        log.info("serving as uid {uid}", uid=os.getuid())
        for words in self.plan.lines:
            if words[:1] == ["halt"]:
                self.halt("it makes no sense")
            if words[:1] == ["chatter"]:
                loop = LoopingCall(self.chat, log, int(words[1]))
                loop.clock = self.reactor
                loop.start(0.001)
                self.loops.append(loop)
        return succeed(None) if ["late"] in self.plan.lines else None

    def chat(self, log, lines):
        for _ in range(lines):
            log.info("x" * 100)

    def last_asked_at(self):
        return self.asked_at

    def drain(self):
        return None

    def stop(self):
        from twisted.logger import Logger

        Logger("k8sdns.directives.forward").info("stopped")
        from twisted.internet.defer import DeferredList

        for loop in self.loops:
            loop.stop()
        return DeferredList([port.stopListening() for port in self.ports])


fake.check, fake.rehearse, fake.dump, fake.build = check, rehearse, dump, Echo
fake.words = lambda: ["errors", "whoami"]

if __name__ == "__main__":
    import k8sdns

    k8sdns.assemble = fake
    sys.modules["k8sdns.assemble"] = fake
    program = sys.argv.pop(1)
    if program == "k8sdns":
        from k8sdns.commandline import main

        sys.exit(main())
    from twisted.scripts.twistd import run

    run()
