"""Parsed Corefile to running object graph: install, then connect.

Owns the two passes over the directives of every block, and the grouping of blocks by listener.
Refuses to know any particular directive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet.task import Clock
from twisted.logger import Logger

from k8sdns import directives, plan as plans
from k8sdns.corefile.directive import Directive
from k8sdns.corefile.dump import as_json
from k8sdns.corefile.parser import Corefile
from k8sdns.corefile.source import CorefileText
from k8sdns.errors import ConfigurationError, CorefileError
from k8sdns.interfaces import (
    IGate,
    ILeaving,
    IReadiness,
    IReadsFiles,
    IRefusalObserver,
    IStreamSecurity,
)
from k8sdns.metrics import HTTPS_RESPONSES, Metrics, count_dropped_lines
from k8sdns.plan import Plan, PlannedBlock
from k8sdns.reloading import Reloads
from k8sdns.running import Generation, Running
from k8sdns.server.carried import Carried, Share
from k8sdns.server.draft import ALONE, PARENT, REHEARSAL, WORKER, BlockDraft, Context
from k8sdns.server.listeners import ListenKey
from k8sdns.server.router import Route, Router
from k8sdns.server.server import Server
from k8sdns.server.stream import StreamLimits, Streams
from k8sdns.web.doh import MAX_CONNECTIONS, DohFactory
from k8sdns.workers.supervisor import Supervisor, WorkersReadiness

log = Logger()


def check(corefile: CorefileText, *, default_port: int, environ: Mapping[str, str]) -> Plan:
    """Parse and validate a text; raises ConfigurationError. Opens and starts nothing."""
    found = directives.discovered()
    return plans.plan(corefile, found, default_port=default_port, environ=environ)


def rehearse(plan: Plan) -> None:
    """Build what `plan` comes to, with every file that it names, and throw it away.

    Raises ConfigurationError for what a start would refuse; binds, connects and starts nothing.
    What a start would only complain of is logged.
    """
    carried = Carried()
    share, nowhere = carried.share(), Clock()
    context = Context(nowhere, nowhere, Metrics(), share, _halted_at_once, plan, role=REHEARSAL)
    generation = generate(plan, context)
    for thing in (*generation.services, *carried.of(share)):
        if IReadsFiles.providedBy(thing):
            thing.read_now()


def _halted_at_once(message: str) -> None:
    raise ConfigurationError(message)


def understood(corefile: Corefile, source: CorefileText, *, default_port: int, folder: str) -> Plan:
    """Return the plan of a Corefile that another process of this server has parsed."""
    found = directives.discovered()
    return plans.planned(corefile, source, found, default_port=default_port, folder=folder)


def dump(corefile: CorefileText, *, environ: Mapping[str, str]) -> str:
    """Return what was understood of the text as JSON text; options are not judged."""
    return as_json(plans.parsed(corefile, environ))


def words() -> Sequence[str]:
    """Return the words that a server block may hold, in alphabetical order."""
    return sorted(directives.discovered())


def build(plan: Plan, reactor: Any, halt: Callable[[str], None]) -> Running | Supervisor:
    """Return what serves `plan`, with one process or several; nothing is opened yet."""
    metrics = Metrics()
    count_dropped_lines(metrics)
    readiness = WorkersReadiness()
    things = (readiness,) if plan.processes > 1 else ()
    role = PARENT if plan.processes > 1 else ALONE

    def generator(wanted: Plan) -> Callable[[Share], Generation]:
        def make(share: Share) -> Generation:
            context = Context(
                reactor, reactor, metrics, share, halt, wanted, reloads, role, things=things
            )
            return generate(wanted, context)

        return make

    def recheck(source: CorefileText) -> Plan:
        return check(source, default_port=plan.default_port, environ=os.environ)

    async def exchange(wanted: Plan) -> None:
        if isinstance(built, Supervisor):
            await built.reload(wanted)
        else:
            await built.reload(generator(wanted))

    reloads = Reloads(plan, os.environ, recheck, exchange, metrics)
    running = Running(reactor, metrics, generator(plan), reloads)
    built: Running | Supervisor = running
    if role == PARENT:
        built = Supervisor(plan, reactor, metrics, running, generator, readiness, halt)
    return built


def generate(plan: Plan, context: Context) -> Generation:
    """Build every object of a plan: install all directives, connect them, group by listener."""
    for warning in plan.warnings:
        log.warn("{warning}", warning=warning)
    drafts = [_draft(block, context) for block in plan.blocks]
    for block, draft in zip(plan.blocks, drafts, strict=True):
        for directive, settings in _installed(block, context):
            if directive.install is not None:
                with _placed(block, directive.word):
                    directive.install(settings, draft)
            draft.words.append(directive.word)
    for block, draft in zip(plan.blocks, drafts, strict=True):
        for directive, settings in _installed(block, context):
            if directive.connect is not None:
                with _placed(block, directive.word):
                    directive.connect(settings, draft)
    return Generation(
        _servers(plan, drafts, context) if context.role in (ALONE, REHEARSAL, WORKER) else {},
        tuple(_all(drafts, IService)),
        tuple(_all(drafts, IGate)),
        tuple(_all(drafts, ILeaving)),
        context.share,
        tuple(_all(drafts, IReadiness)),
        plan.listeners,
    )


@contextmanager
def _placed(block: PlannedBlock, word: str) -> Iterator[None]:
    """Let what is wrong with a directive's files and surroundings name its line in the Corefile."""
    try:
        yield
    except CorefileError:
        raise
    except ConfigurationError as error:
        file, line = block.written_at.get(word, (block.file, block.line))
        raise CorefileError(str(error), file, line) from error


def _installed(block: PlannedBlock, context: Context) -> list[tuple[Directive, Any]]:
    """Return the directives that this process has a part in."""
    return [
        (directive, settings)
        for directive, settings in block.directives
        if context.role in (ALONE, REHEARSAL) or context.role in directive.roles
    ]


def _draft(block: PlannedBlock, context: Context) -> BlockDraft:
    served = [
        (str(ListenKey(address.scheme, host, address.port)), address.zone)
        for address, host in block.places
    ]
    draft = BlockDraft(context, block.zones, tuple(dict.fromkeys(name for name, _zone in served)))
    draft.served = tuple(served)
    draft.root = Path(block.root)
    draft.bind = list(block.hosts)
    for thing in context.things:
        draft.add(thing)
    return draft


def _all(drafts: Sequence[BlockDraft], interface: Any) -> list[Any]:
    """Return what provides `interface` in any block, each thing once."""
    found = {id(thing): thing for draft in drafts for thing in draft.all(interface)}
    return list(found.values())


def _servers(
    plan: Plan, drafts: Sequence[BlockDraft], context: Context
) -> dict[ListenKey, tuple[Server, Any]]:
    """Group the blocks by listener: one server each, whose routes stand in file order."""
    routes: dict[ListenKey, list[Route]] = {}
    members: dict[ListenKey, list[BlockDraft]] = {}
    for planned, draft in zip(plan.blocks, drafts, strict=True):
        block = draft.made()
        for address, host in planned.places:
            key = ListenKey(address.scheme, host, address.port)
            routes.setdefault(key, []).append(Route(address.zone, block))
            members.setdefault(key, []).append(draft)
    return {key: _server(key, found, members[key], context) for key, found in routes.items()}


def _server(
    key: ListenKey, routes: list[Route], drafts: list[BlockDraft], context: Context
) -> tuple[Server, Any]:
    limits = next((d.stream_limits for d in drafts if d.stream_limits is not None), StreamLimits())
    if key.scheme == "https":
        most = (draft.https_connections for draft in drafts)
        limits = limits._replace(connections=next(filter(None, most), MAX_CONNECTIONS))
    server = Server(
        Router(routes),
        context.clock,
        context.metrics,
        name=str(key),
        serves_any_class=any(draft.serves_any_class for draft in drafts),
        dropped=tuple(_refusal_observers(drafts)),
        streams=Streams(context.clock, limits),
    )
    return server, _stream_factory(key.scheme, server, drafts, context)


def _refusal_observers(drafts: list[BlockDraft]) -> list[Any]:
    return [observer.saw_refused for observer in _all(drafts, IRefusalObserver)[:1]]


def _stream_factory(scheme: str, server: Server, drafts: list[BlockDraft], context: Context) -> Any:
    """Return what makes the protocols of a listener's streams; of several blocks' TLS the first."""
    factory = _doh(server, context) if scheme == "https" else server
    security = next(iter(_all(drafts, IStreamSecurity)), None)
    if scheme == "dns" or security is None:
        return factory
    return security.secured(factory)


def _doh(server: Server, context: Context) -> DohFactory:
    responses = context.metrics.counter(HTTPS_RESPONSES)
    return DohFactory(
        server.respond_to_stream,
        server.streams,
        lambda status: responses.add(server.name, str(status)),
        context.clock,
    )
