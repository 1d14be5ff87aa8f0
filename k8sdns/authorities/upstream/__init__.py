"""The way out: one layer of transports under everything that asks other name servers.

`Upstream` is one server with its sockets, connections and health; `Attempt` is one question to
one of them. `forward` and `proxy` decide whom to ask, in which order and how often.
"""
