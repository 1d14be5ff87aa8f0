"""Web configuration files: what is read, and what is refused rather than ignored."""

from __future__ import annotations

import pytest

from k8sdns.errors import ConfigurationError
from k8sdns.web import webconfig
from k8sdns.web.webconfig import WebConfig

FILES = "tls_server_config:\n  cert_file: c.pem\n  key_file: /etc/k.pem\n"


@pytest.fixture
def read(tmp_path):
    def written(text):
        path = tmp_path / "web.yml"
        path.write_text(text)
        return webconfig.read(str(path))

    return written


def test_files_and_the_mode_of_clients(read, tmp_path):
    assert read(FILES) == WebConfig(f"{tmp_path}/c.pem", "/etc/k.pem", "", "nocert")
    found = read(
        f"{FILES}  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
    )
    assert found.client_ca == f"{tmp_path}/ca.pem"
    assert found.client_auth == "require_and_verify"
    assert read(f"{FILES}  min_version: TLS12\n") == read(FILES)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "has no tls_server_config"),
        ("- 1\n", "has no tls_server_config"),
        ("{", "is no YAML"),
        (f"{FILES}basic_auth_users: {{a: b}}\n", "basic_auth_users is not supported"),
        (f"{FILES}  max_version: TLS12\n", "max_version is not supported"),
        (f"{FILES}  client_auth_type: Maybe\n", "client_auth_type is none of"),
        ("tls_server_config:\n  cert_file: c.pem\n", "needs cert_file and key_file"),
        ("tls_server_config:\n  cert_file: [c]\n  key_file: k\n", "cert_file is no path"),
    ],
)
def test_what_cannot_be_done_is_refused(read, text, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        read(text)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot read .*absent.yml: No such file"):
        webconfig.read(str(tmp_path / "absent.yml"))
