"""A forward with what keeps it running: its resolv.conf files watched, its numbers brought home.

Owns start and stop. The unit that outlives a reload: connections, health and questions in flight
stay with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from k8sdns import metrics as table
from k8sdns.authorities.forward import Forward, ForwardSettings, Member
from k8sdns.authorities.polling import Poll, signature
from k8sdns.authorities.upstream import resolvconf
from k8sdns.authorities.upstream.destination import BadDestination, Destination
from k8sdns.authorities.upstream.destinations import MAX_UPSTREAMS, Targets, judge_number
from k8sdns.authorities.upstream.hostnames import HostName, addresses_of
from k8sdns.authorities.upstream.network import SystemNetwork
from k8sdns.authorities.upstream.pages import PageChecks
from k8sdns.authorities.upstream.randomness import Randomness
from k8sdns.authorities.upstream.resolvconf import ResolvConf
from k8sdns.authorities.upstream.upstream import Surroundings
from k8sdns.errors import ConfigurationError
from k8sdns.metrics import Counts, Metrics

POLL_SECONDS = 5.0

log = Logger(namespace="k8sdns.authorities.forward")


def system_surroundings(reactor: Any, source_address: str = "") -> Surroundings:
    """Return the real outside."""
    randomness = Randomness()
    network = SystemNetwork(reactor, randomness, source_address)
    return Surroundings(reactor, network, randomness)


def with_file_options(
    settings: ForwardSettings, found: ResolvConf, has_policy: bool, has_timeout: bool
) -> ForwardSettings:
    """Let the options of resolv.conf speak where the Corefile is silent (resolv.conf(5))."""
    if found.rotate and not has_policy:
        settings = replace(settings, policy="round_robin")
    if found.timeout is not None and not has_timeout:
        transport = settings.transport._replace(read_timeout=float(found.timeout))
        settings = replace(settings, transport=transport)
    if found.attempts is not None and settings.max_connect_attempts is None:
        attempts = found.attempts * max(1, len(found.servers))
        settings = replace(settings, max_connect_attempts=attempts)
    return settings


class ForwardService(Service):
    """Runs one `Forward` whose upstreams are what `targets` stand for.

    `found` is what their files said last. Host names are looked up at the start, at `resolvers` or
    as the system does; it fails with ConfigurationError if one has no address.
    """

    def __init__(
        self,
        settings: ForwardSettings,
        targets: Targets,
        found: ResolvConf,
        around: Surroundings,
        metrics: Metrics,
        word: str = "forward",
        resolvers: Sequence[Destination] = (),
    ) -> None:
        self._targets = targets
        self._files = found
        self._hosts: dict[HostName, list[Destination]] = {}
        self._around = around
        self._resolvers = resolvers
        self._metrics = metrics
        self._seen: dict[tuple[int, str], int] = {}
        self.forward = Forward(settings, self._destinations(), around, metrics, word=word)
        watch = resolvconf.Watch(targets.paths, signature, self._changed, _complain)
        self._poll = Poll(around.clock, POLL_SECONDS if targets.paths else 0, watch.look)
        self._pages: PageChecks | None = None
        if settings.page_check is not None:
            self._pages = PageChecks(
                settings.page_check,
                around.clock,
                around.network.page_status,
                self.forward.page_subjects,
            )

    def _destinations(self) -> list[Destination]:
        return self._targets.upstreams(self._files, self._hosts)[:MAX_UPSTREAMS]

    def _changed(self, found: ResolvConf) -> None:
        self._files = found
        destinations = self._destinations()
        log.info("asking {upstreams} now", upstreams=", ".join(map(str, destinations)))
        self.forward.use(destinations)

    async def _look_up(self) -> None:
        for host in self._targets.host_names:
            self._hosts[host] = await addresses_of(host, self._resolvers, self._around)
        try:
            judge_number(len(self._targets.upstreams(self._files, self._hosts)))
        except BadDestination as error:
            raise ConfigurationError(f"plugin/{self.forward.word}: {error}") from None
        self.forward.use(self._destinations())

    def startService(self) -> Deferred[None] | None:
        """Begin to watch the files and to count; fires once host names are looked up."""
        super().startService()  # type: ignore[no-untyped-call]
        self._poll.start()
        if self._pages is not None:
            self._pages.start()
        self._metrics.before_scrape(self._count)
        if not self._targets.host_names:
            return None
        return Deferred.fromCoroutine(self._look_up())

    def stopService(self) -> None:
        """Close everything."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._poll.stop()
        if self._pages is not None:
            self._pages.stop()
        self._count()
        self._metrics.not_before_scrape(self._count)
        self.forward.close()

    def _count(self) -> None:
        self.forward.flights.fold()
        for member in self.forward.members:
            self._count_member(member)
        if self.forward.word == "forward":
            count_legacy(self._metrics)

    def _count_member(self, member: Member) -> None:
        upstream, metrics = member.upstream, self._metrics
        to, word, stream = upstream.name, self.forward.word, member.upstream.stream_transport
        proto = "tcp-tls" if stream == "tls" else "tcp"
        hits = metrics.counter(table.PROXY_CONN_HITS)
        misses = metrics.counter(table.PROXY_CONN_MISSES)
        datagrams, streams = upstream.datagrams, upstream.streams
        self._add(datagrams, "hits", datagrams.reused, hits, word, to, "udp")
        self._add(datagrams, "misses", datagrams.opened, misses, word, to, "udp")
        self._add(streams, "hits", streams.reused, hits, word, to, proto)
        self._add(streams, "misses", streams.opened, misses, word, to, proto)
        mismatches = datagrams.mismatches + upstream.mismatches
        counter = metrics.counter
        self._add(upstream, "bad", mismatches, counter(table.UPSTREAM_MISMATCHES), to)
        if word == "forward":
            self._add(upstream, "failed", upstream.failures, counter(table.FORWARD_REQUESTS), to)
        self._add(upstream, "late", upstream.timeouts, counter(table.UPSTREAM_TIMEOUTS), to)

    def _add(self, whose: object, what: str, value: int, counts: Counts, *labels: str) -> None:
        """Add what came since the last time: several forwards may ask the same upstream."""
        key = (id(whose), what)
        more = value - self._seen.get(key, 0)
        if more:
            self._seen[key] = value
            counts.add(*labels, by=more)


def count_legacy(metrics: Metrics) -> None:
    """Fill the metrics that go by the names of CoreDNS before 1.11 from those of today."""
    durations = metrics.histogram(table.PROXY_DURATION)
    legacy = metrics.histogram(table.FORWARD_DURATION)
    requests = metrics.counter(table.FORWARD_REQUESTS)
    responses = metrics.counter(table.FORWARD_RESPONSES)
    for (word, to, rcode), counts in durations.counts.items():
        if word == "forward":
            legacy.counts[to, rcode] = counts
            legacy.sums[to, rcode] = durations.sums[word, to, rcode]
            replies = sum(counts)
            requests.add(to, by=replies - responses[to, rcode])
            responses[to, rcode] = replies
    failures = metrics.counter(table.FORWARD_HEALTHCHECK_FAILURES)
    for (word, to), count in metrics.counter(table.PROXY_HEALTHCHECK_FAILURES).items():
        if word == "forward":
            failures[to,] = count


def _complain(why: str) -> None:
    log.warn("{why}", why=why)
