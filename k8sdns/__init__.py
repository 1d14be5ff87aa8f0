"""A DNS server for Kubernetes clusters on Twisted that reads CoreDNS's Corefiles.

This is a guided tour: how a query lives, how a server comes to be, and what to read first.

The life of a query
===================

A datagram arrives (`turns.py` is the reactor's loop). `server/datagram.py` drains its socket, for
at most 3 ms a wake-up, and hands each to the socket's `Repeater` in `server/repeats.py`. If the
same octets, but for the id, were answered before and that Answer is still *current*, the reply is
given again; if the name is below one that is known to be missing, it is denied
(`server/denials.py`). Nothing below happens then. Else, for a name of others once the socket was
read (`server/late.py`), comes `Server.begin` in `server/server.py`:

- `wire/reader.py` reads the octets, strictly, into a `Question`. What is not exactly one
  well-formed query is rejected here (FORMERR, NOTIMP, BADVERS) or dropped.
- `server/router.py` finds the server block: the longest zone of this listener that encloses the
  name. No block is REFUSED.
- `server/block.py` asks the block. Around its authorities stand *stages* (`IStage`: acl, rewrite,
  errors ...) in CoreDNS's plugin order. Whatever goes wrong below, a bug included, becomes an
  Answer in this one place.
- `server/chain.py` asks the *authorities* (`IAuthority`: hosts, kubernetes, file, cached forward
  ...) in order, until one has an `Answer`. None means "not mine"; a Deferred, or a `Pending` of
  ours (`waiting.py`), means that it takes time, and only what goes over the network takes time.
  `server/deadlines.py` bounds the wait.
- `wire/writer.py` joins the client's id and question octets, the octets that the Answer was
  rendered to once, and OPT. It turns the addresses (`IRotation`), and cuts whole records off where
  the reply would be too long. Most replies touch no record object.
- *Observers* (`IObserver`: prometheus, log) see question, answer, time and size.

The octets leave the way the query came.

The one idea: an Answer is an immutable value that carries its own wire form (`answers.py`), valid
behind a question of the same name. Live answers are made from a store that is always up to date,
and what is remembered of them is dropped the moment the store changes. No TTL cache ever stands
before live data.

Where the cluster's names come from
===================================

`cluster/store.py` knows the cluster now. Every source ends in it: `cluster/live.py` lists and
watches an API server (`cluster/reflector.py` is the state machine of it, without I/O),
`cluster/manifests.py` reads files, `cluster/fed.py` takes what another process watches.
`authorities/kubernetes.py` answers from it by the Kubernetes DNS specification.

How a server comes to be
========================

`options.py` (twistd), `commandline.py` (CoreDNS's flags) or ``k8sdns.tac`` name a Corefile.
`corefile/` turns text into tokens, blocks and settings; `plan.py` is all that can be judged
without reading anything else. `assemble.py` then builds (``--check`` ends with that), in two passes
over every block: each directive's `install` adds things to a `BlockDraft` (`server/draft.py`), then
each `connect` may find others' things by interface. The result is a *generation*. `running.py`
binds, starts, exchanges and stops generations; `reloading.py` says when; `server/carried.py` keeps
what outlives a reload. `service.py` is the Twisted service around it, and the only module that
fetches the global reactor.

A directive is one module of `directives/`; other packages bring more (see
``docs/howto/write-a-directive.md``).

Reading order
=============

`errors.py`, `names.py`, `records.py`, `answers.py`, `interfaces.py`: the vocabulary, in ten
minutes. Then `server/block.py` and `server/chain.py`; `directives/whoami.py` with
`authorities/hosts.py` for a simple word, `directives/kubernetes.py` for the main one. Tests mirror
this tree; `k8sdns.testing` runs any Corefile in a test's own process. What was decided, and against
what, stands in ``docs/design``.

A module imports only from the layers below its own: ``pyproject.toml`` has the list.
"""

__version__ = "0.1.0.dev0"
