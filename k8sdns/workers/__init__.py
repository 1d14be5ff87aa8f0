"""A server of several processes: a parent with the sockets, workers that answer, one feeder.

See docs/design/processes.md.
"""
