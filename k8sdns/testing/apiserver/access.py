"""Who is asking, and may they: bearer tokens, client certificates, a role table.

Owns: authentication and authorization. Refuses to know: HTTP beyond one header's text.
With no token and no certificate user registered, everybody is "system:admin": a server for trying
things out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from k8sdns.testing.apiserver.resources import ResourceType
from k8sdns.testing.apiserver.statuses import forbidden, unauthorized

EVERYONE = "system:admin"


@dataclass(frozen=True)
class Rule:
    """One line of a role; "*" stands for all. `namespace` "" grants everywhere."""

    verbs: frozenset[str]
    resources: frozenset[str]
    groups: frozenset[str] = frozenset({"*"})
    namespace: str = ""

    def grants(self, verb: str, resource: ResourceType, namespace: str) -> bool:
        """True when this line allows the verb on the resource there."""
        return (
            not self.verbs.isdisjoint((verb, "*"))
            and not self.resources.isdisjoint((resource.plural, "*"))
            and not self.groups.isdisjoint((resource.group, "*"))
            and self.namespace in ("", namespace)
        )


@dataclass
class Access:
    """The credentials and roles of one server; `now()` in seconds, the server's clock."""

    now: Callable[[], float]
    tokens: dict[str, tuple[str, float | None]] = field(default_factory=dict)
    certificates: set[str] = field(default_factory=set)
    roles: dict[str, list[Rule]] = field(default_factory=dict)
    """Users with an entry may do what their rules say and nothing else; others anything."""
    roles_read_at: float = float("-inf")
    """Until then users with an entry may do nothing, as on a server that has just started."""

    def add_token(self, token: str, user: str, expires: float | None = None) -> None:
        """Accept a bearer token, until `expires` on the server's clock."""
        self.tokens[token] = (user, expires)

    def revoke(self, token: str) -> None:
        """Accept a token no more."""
        self.tokens.pop(token, None)

    def add_certificate(self, common_name: str) -> None:
        """Accept client certificates of this CN (its CA is checked by the TLS layer)."""
        self.certificates.add(common_name)

    def allow(
        self, user: str, verbs: str, resources: str, groups: str = "*", namespace: str = ""
    ) -> None:
        """Grant; `verbs`, `resources` and `groups` are words with spaces. "" names the core group.

        The first call for a user takes everything else away from them.
        """
        group_set = frozenset(groups.split()) or frozenset({""})
        rule = Rule(frozenset(verbs.split()), frozenset(resources.split()), group_set, namespace)
        self.roles.setdefault(user, []).append(rule)

    def deny_all(self, user: str) -> None:
        """Take every right away from a user."""
        self.roles[user] = []

    def user(self, authorization: str, common_name: str = "") -> str:
        """The user behind a request's credentials; 401 when they do not count."""
        if not (self.tokens or self.certificates):
            return EVERYONE
        if common_name and common_name in self.certificates:
            return common_name
        scheme, _, token = authorization.partition(" ")
        found = self.tokens.get(token.strip()) if scheme.lower() == "bearer" else None
        if found is None or (found[1] is not None and self.now() >= found[1]):
            raise unauthorized()
        return found[0]

    def check(
        self, user: str, verb: str, resource: ResourceType, namespace: str, name: str
    ) -> None:
        """Raise 403 unless `user` may; `verb` is an RBAC verb (list, watch, get, create…)."""
        rules = self.roles.get(user)
        if rules is None:
            return
        is_read = self.now() >= self.roles_read_at
        if is_read and any(rule.grants(verb, resource, namespace) for rule in rules):
            return
        raise forbidden(user, verb, resource, namespace, name)
