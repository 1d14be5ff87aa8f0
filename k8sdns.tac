"""``twistd -y k8sdns.tac``: the server, configured by environment variables (see README.md)."""

from k8sdns.service import make_application

application = make_application()
