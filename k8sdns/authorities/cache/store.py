"""Where entries are kept: bounded in number and octets; what is asked for stays.

Owns eviction. When a class is full the oldest entry goes, unless it was asked for since it was
last looked at: then it goes to the end of the line and the next one is looked at (second chance).
"""

from __future__ import annotations

from collections import OrderedDict
from weakref import WeakKeyDictionary

from k8sdns.authorities.cache.entry import Entry, Key
from k8sdns.authorities.cache.judgement import SUCCESS
from k8sdns.authorities.cache.settings import CacheSettings, Shelf

MAX_CHANCES = 100  # entries that one eviction looks at; some 20 µs


class Shelved:
    """The entries of one class."""

    def __init__(self, shelf: Shelf) -> None:
        self.entries: OrderedDict[Key, Entry] = OrderedDict()
        self.octets = 0
        self.evictions = 0
        self._capacity = max(1, shelf.capacity)
        self._max_octets = shelf.octets

    def put(self, entry: Entry) -> None:
        """Keep `entry`, in the place of one with its key."""
        entries, key, most = self.entries, entry.key, self._max_octets
        if key in entries:
            self.discard(key)
        size = entry.size
        if size > most:
            return
        while len(entries) >= self._capacity or self.octets + size > most:
            self._evict()
        entries[key] = entry
        self.octets += size

    def discard(self, key: Key) -> None:
        """Forget the entry with this key, if there is one."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.octets -= entry.size

    def _evict(self) -> None:
        entries = self.entries
        for _ in range(MAX_CHANCES):
            key, entry = entries.popitem(last=False)
            if not entry.is_wanted:
                break
            entry.is_wanted = False
            entries[key] = entry
        else:
            key, entry = entries.popitem(last=False)
        self.octets -= entry.size
        self.evictions += 1


class CacheStore:
    """Successes and denials; a key has an entry in at most one of the two."""

    def __init__(self, settings: CacheSettings) -> None:
        self.success = Shelved(settings.success)
        self.denial = Shelved(settings.denial)
        self._tags: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._last_tag = 0

    def tag_of(self, authority: object) -> int:
        """Return the number that sets the keys of one authority's answers apart from others'."""
        tag = self._tags.get(authority)
        if tag is None:
            tag = self._tags[authority] = self._last_tag = self._last_tag + 1
        return tag

    def get(self, key: Key) -> Entry | None:
        """Return what is kept under `key`, fresh or not."""
        return self.success.entries.get(key) or self.denial.entries.get(key)

    def put(self, entry: Entry) -> None:
        """Keep `entry` and forget what was kept under its key."""
        if entry.keep is SUCCESS:
            self.put_success(entry)
        else:
            self.success.discard(entry.key)
            self.denial.put(entry)

    def put_success(self, entry: Entry) -> None:
        """Do the same with a success."""
        denial = self.denial
        if denial.entries:
            denial.discard(entry.key)
        self.success.put(entry)

    def clear(self) -> None:
        """Forget everything."""
        for shelved in (self.success, self.denial):
            shelved.entries.clear()
            shelved.octets = 0
