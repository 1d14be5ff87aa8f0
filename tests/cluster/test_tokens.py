"""Bearer tokens in files are followed, and never lost to a bad moment."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from k8sdns.cluster.access import AccessError, ClusterAccess, Secret
from k8sdns.cluster.tokens import FileCredential, stored_credential


def ask(credential):
    """Return the Authorization header of the next request, or raise."""
    found = []
    Deferred.fromCoroutine(credential.grant()).addBoth(found.append)
    (result,) = found
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result.authorization


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "token"
    path.write_text("one\n")
    return path


def test_a_token_is_stripped_and_read_again_only_when_it_is_old(file):
    clock = Clock()
    credential = FileCredential(str(file), clock)
    assert ask(credential) == b"Bearer one"
    file.write_text("  two\n")
    clock.advance(50)
    assert ask(credential) == b"Bearer one"
    clock.advance(1)
    assert ask(credential) == b"Bearer two"


@pytest.mark.parametrize("spoil", ["missing", "empty"])
def test_the_last_good_token_is_kept_while_the_file_is_bad(file, spoil):
    clock = Clock()
    credential = FileCredential(str(file), clock)
    ask(credential)
    file.unlink() if spoil == "missing" else file.write_text("\n")
    clock.advance(60)
    assert ask(credential) == b"Bearer one"
    file.write_text("two")
    assert ask(credential) == b"Bearer two"


def test_a_refused_token_is_read_again_at_once(file):
    credential = FileCredential(str(file), Clock())
    grant = []
    Deferred.fromCoroutine(credential.grant()).addCallback(grant.append)
    file.write_text("two")
    credential.rejected(grant[0])
    assert ask(credential) == b"Bearer two"


def test_without_any_token_the_request_fails_rather_than_go_out_anonymously(tmp_path):
    credential = FileCredential(str(tmp_path / "none"), Clock())
    with pytest.raises(AccessError, match="none"):
        ask(credential)


def test_a_token_file_wins_over_an_inline_token_while_it_can_be_read(file):
    access = ClusterAccess("https://x", token=Secret("inline"), token_file=str(file))
    assert ask(stored_credential(access, Clock())) == b"Bearer one"
    file.unlink()
    assert ask(stored_credential(access, Clock())) == b"Bearer inline"


@pytest.mark.parametrize(
    ("access", "header"),
    [
        (ClusterAccess("https://x"), b""),
        (ClusterAccess("https://x", token=Secret("t\n")), b"Bearer t"),
        (ClusterAccess("https://x", basic=Secret("me:pw")), b"Basic bWU6cHc="),
    ],
)
def test_what_is_configured_is_sent(access, header):
    assert ask(stored_credential(access, Clock())) == header
