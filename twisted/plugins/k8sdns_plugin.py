"""`twistd k8sdns`: the line that Twisted's plugin search finds, and nothing else."""

from twisted.application.service import ServiceMaker

k8sdns = ServiceMaker(
    "k8sdns",
    "k8sdns.service",
    "A DNS server for Kubernetes clusters that reads CoreDNS's Corefiles.",
    "k8sdns",
)
