"""A DNS server for Kubernetes clusters on Twisted that reads CoreDNS's Corefiles."""

__version__ = "0.1.0.dev0"
