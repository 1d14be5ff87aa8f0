"""The versions of all objects of a kind, as an API server lists them without the objects.

Owns: a paged list of metadata (PartialObjectMetadataList, meta.k8s.io/v1), answered from the
server's watch cache. Refuses to know what the versions are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred

from k8sdns.cluster.client import ApiClient
from k8sdns.cluster.exchange import Exchange
from k8sdns.cluster.model import Kind
from k8sdns.cluster.objects import Metadata
from k8sdns.cluster.statuses import Status
from k8sdns.cluster.streams import UNREADABLE, ListMetadata, ListSplitter, StreamError

ACCEPT = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PAGE_LIMIT = 500
PAGE_WITHIN = 60.0
"""Seconds for one page."""


class _Item(msgspec.Struct, gc=False):
    metadata: Metadata


_decode = msgspec.json.Decoder(_Item).decode


class ListFailed(Exception):
    """A page could not be had; `status` says why, `retry_after` is in seconds."""

    def __init__(self, status: Status, retry_after: float | None = None) -> None:
        super().__init__(str(status))
        self.status = status
        self.retry_after = retry_after

    @property
    def is_throttled(self) -> bool:
        """Tell whether the server asked to be left alone."""
        return self.status.code == 429


async def list_metadata(
    client: ApiClient,
    kind: Kind,
    selectors: tuple[tuple[str, str], ...],
    listed: Callable[[Metadata], None],
) -> str:
    """Tell `listed` of every object of `kind`, and return the list's resourceVersion.

    Version 0 asks for what the watch cache holds, which costs etcd nothing; servers that cannot
    page from it answer whole. Raises `ListFailed`.
    """
    parameters: tuple[tuple[str, str], ...] = (("resourceVersion", "0"), *selectors)
    version = ""
    while True:
        page = _Page(listed)
        exchange = client.get(kind, (("limit", str(PAGE_LIMIT)), *parameters), page, ACCEPT)
        metadata = await page.of(exchange, client.reactor)
        version = version or metadata.resource_version
        if not metadata.continue_token:
            return version
        parameters = (("continue", metadata.continue_token), *selectors)


class _Page:
    """The conversation about one page."""

    def __init__(self, listed: Callable[[Metadata], None]) -> None:
        self._listed = listed
        self._splitter = ListSplitter()
        self._done: Deferred[ListMetadata] = Deferred()

    async def of(self, exchange: Exchange, clock: Any) -> ListMetadata:
        """Return what the page says of itself once it is whole."""
        self._done.addTimeout(PAGE_WITHIN, clock, onTimeoutCancel=_too_late)
        try:
            exchange.start()
            return await self._done
        except CancelledError:
            exchange.abandon()
            raise
        except ListFailed:
            exchange.abandon()
            raise

    def opened(self) -> None:
        """The page begins."""

    def received(self, octets: bytes) -> None:
        for item in self._splitter.feed(octets):
            self._take(item)

    def ended(self, why: str) -> None:
        try:
            metadata, items = self._splitter.finish()
        except StreamError as error:
            self._fail(ListFailed(Status(message=why or str(error))))
            return
        for item in items:
            self._take(item)
        if not self._done.called:
            self._done.callback(metadata)

    def refused(self, status: Status, retry_after: float | None) -> None:
        self._fail(ListFailed(status, retry_after))

    def unreachable(self, why: str) -> None:
        self._fail(ListFailed(Status(message=why)))

    def _take(self, item: bytes) -> None:
        try:
            metadata = _decode(item).metadata
        except UNREADABLE:
            return
        self._listed(metadata)

    def _fail(self, error: ListFailed) -> None:
        if not self._done.called:
            self._done.errback(error)


def _too_late(_result: object, seconds: float) -> None:
    raise ListFailed(Status(message=f"no whole page within {seconds:g} s"))
