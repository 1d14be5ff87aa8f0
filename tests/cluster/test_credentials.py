"""Where access comes from, what is refused and how; secrets are never shown."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile

import pytest
import yaml

from k8sdns.cluster.access import ClusterAccess, Pem, Secret
from k8sdns.cluster.credentials import access_for, from_endpoint, from_kubeconfig, in_cluster
from k8sdns.errors import ConfigurationError
from k8sdns.testing.apiserver import Authority

SECRETS = ("s3cr3t-token", "hunter2", "PRIVATE KEY")


@pytest.fixture(scope="module")
def authority():
    return Authority()


def encoded(octets):
    return base64.b64encode(octets).decode()


def a_kubeconfig(cluster=None, user=None, **more):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "home",
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "home", "context": {"cluster": "c", "user": "u"}}],
        **more,
    }


@pytest.fixture
def write(tmp_path):
    def write(content, name="config"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return str(path)

    return write


# -- in the cluster -------------------------------------------------------------------------------


@pytest.fixture
def service_account(tmp_path, authority):
    (tmp_path / "token").write_text("s3cr3t-token\n")
    (tmp_path / "ca.crt").write_bytes(authority.ca_pem)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("host", "server"),
    [
        ("10.96.0.1", "https://10.96.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        ("[fd00::1]", "https://[fd00::1]:443"),
    ],
)
def test_a_pod_finds_its_api_server(service_account, host, server):
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    access = in_cluster(environ, service_account)
    assert access.server == server
    assert access.token_file == os.path.join(service_account, "token")
    assert access.ca == Pem(os.path.join(service_account, "ca.crt"))


def test_in_a_pod_the_kubernetes_package_is_not_loaded(service_account):
    program = f"""
import sys
from k8sdns.cluster.credentials import in_cluster
from k8sdns.cluster.live import LiveSource
in_cluster({{"KUBERNETES_SERVICE_HOST": "h", "KUBERNETES_SERVICE_PORT": "1"}}, {service_account!r})
print("kubernetes" in sys.modules, "twisted.internet.reactor" in sys.modules)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_outside_of_a_cluster_the_remedies_are_named():
    with pytest.raises(ConfigurationError, match="kubeconfig FILE, endpoint URL or manifests"):
        access_for(environ={})


def test_outside_of_a_cluster_kubeconfig_is_used(write):
    path = write(a_kubeconfig(user={"token": "s3cr3t-token"}))
    assert access_for(environ={"KUBECONFIG": path}).token == Secret("s3cr3t-token")


@pytest.mark.parametrize("missing", ["token", "ca.crt"])
def test_a_service_account_without_its_files_is_refused_by_name(service_account, missing):
    os.unlink(os.path.join(service_account, missing))
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ConfigurationError, match=missing):
        in_cluster(environ, service_account)


# -- endpoint -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://api.example:6443", "https://api.example:6443"),
        ("https://[::1]:6443/prefix/", "https://[::1]:6443/prefix"),
        ("localhost:8080", "http://localhost:8080"),
    ],
)
def test_an_endpoint_is_a_url(url, server):
    assert from_endpoint(url, environ={}).server == server


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "https://u:p@x", "https://x?y=1", "https://x:99999"]
)
def test_what_is_no_api_server_url_is_refused(url):
    with pytest.raises(ConfigurationError, match="URL"):
        from_endpoint(url, environ={})


def test_an_endpoint_with_tls_reads_its_files(tmp_path, authority):
    certificate, key = authority.issue("dns")
    paths = []
    for name, pem in (("c", certificate), ("k", key), ("ca", authority.ca_pem)):
        (tmp_path / name).write_bytes(pem)
        paths.append(str(tmp_path / name))
    access = from_endpoint("https://api:6443", tuple(paths), environ={})
    assert access.certificate.read() == certificate
    os.unlink(paths[1])
    with pytest.raises(ConfigurationError, match=paths[1]):
        from_endpoint("https://api:6443", tuple(paths), environ={})


def test_a_key_that_does_not_fit_is_refused_without_being_shown(tmp_path, authority):
    paths = []
    certificate, key = authority.issue("a")[0], authority.issue("b")[1]
    for name, pem in (("c", certificate), ("k", key), ("ca", authority.ca_pem)):
        (tmp_path / name).write_bytes(pem)
        paths.append(str(tmp_path / name))
    with pytest.raises(ConfigurationError, match="no matching") as caught:
        from_endpoint("https://api:6443", tuple(paths), environ={})
    assert "PRIVATE KEY" not in str(caught.value)


# -- kubeconfig -----------------------------------------------------------------------------------


def test_inline_data_never_touches_the_disk(write, authority, monkeypatch):
    certificate, key = authority.issue("dns")
    path = write(
        a_kubeconfig(
            {"certificate-authority-data": encoded(authority.ca_pem)},
            {
                "client-certificate-data": encoded(certificate),
                "client-key-data": encoded(key),
            },
        )
    )

    def refuse(*args, **kwargs):
        raise AssertionError("a temporary file was made")

    for name in ("mkstemp", "NamedTemporaryFile", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    access = from_kubeconfig(path, environ={})
    assert access.ca.read() == authority.ca_pem
    assert access.key.read() == key


def test_paths_are_relative_to_the_file_that_names_them(write, tmp_path, authority):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "ca.crt").write_bytes(authority.ca_pem)
    path = write(
        a_kubeconfig({"certificate-authority": "ca.crt"}, {"tokenFile": "token"}), "deep/config"
    )
    access = from_kubeconfig(path, environ={})
    assert access.ca.path == str(tmp_path / "deep" / "ca.crt")
    assert access.token_file == str(tmp_path / "deep" / "token")


def test_several_files_merge_and_the_first_to_say_wins(write):
    first = write(a_kubeconfig(user={"token": "one"}), "first")
    other = a_kubeconfig({"server": "https://other"}, {"token": "two"})
    other["current-context"] = "away"
    other["contexts"].append({"name": "away", "context": {"cluster": "c", "user": "u"}})
    second = write(other, "second")
    names = os.pathsep.join([first, "/nowhere/at/all", second])
    for context in ("", "away"):
        access = from_kubeconfig(names, context, environ={})
        assert (access.server, access.token) == ("https://api:6443", Secret("one"))
    assert from_kubeconfig("", environ={"KUBECONFIG": names}).token == Secret("one")


def test_tls_server_name_insecure_and_proxy_are_carried(write):
    path = write(
        a_kubeconfig(
            {
                "insecure-skip-tls-verify": True,
                "tls-server-name": "kubernetes",
                "proxy-url": "http://me:hunter2@proxy:3128",
            }
        )
    )
    access = from_kubeconfig(path, environ={})
    assert access.insecure
    assert access.tls_server_name == "kubernetes"
    assert access.proxy == Secret("http://me:hunter2@proxy:3128")


REFUSED = [
    ({}, {"auth-provider": {"name": "oidc"}}, "auth-provider .* exec plugin"),
    ({}, {"as": "root"}, "impersonation"),
    ({}, {"as-groups": ["g"]}, "impersonation"),
    ({"proxy-url": "socks5://x:1080"}, {}, "socks5"),
    ({"server": ""}, {}, "server"),
    ({"certificate-authority-data": "AAAA"}, {}, "no certificate"),
    ({}, {"client-certificate-data": "AAAA"}, "go together"),
    ({"insecure-skip-tls-verify": True, "certificate-authority": "x"}, {}, "contradiction"),
    ({}, {"exec": {"command": "sh", "apiVersion": "v0"}}, "apiVersion"),
    (
        {},
        {
            "exec": {
                "command": "sh",
                "apiVersion": "client.authentication.k8s.io/v1",
                "interactiveMode": "Always",
            }
        },
        "interactiveMode",
    ),
    (
        {},
        {
            "exec": {
                "command": "no-such-program-here",
                "apiVersion": "client.authentication.k8s.io/v1",
                "installHint": "get it at example.com",
            }
        },
        "no-such-program-here to run. get it at",
    ),
    ({}, {"token": ["s3cr3t-token"]}, "Expected `str`"),
]


@pytest.mark.parametrize(("cluster", "user", "message"), REFUSED)
def test_what_cannot_be_supported_is_refused_with_the_reason(write, cluster, user, message):
    with pytest.raises(ConfigurationError, match=message):
        from_kubeconfig(write(a_kubeconfig(cluster, user)), environ={"PATH": os.environ["PATH"]})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no kubeconfig"),
        ("[s3cr3t-token]", "no kubeconfig"),
        ("users:\n- s3cr3t-token\n", "no current-context"),
        ("users: [{user: {token: s3cr3t-token}}]\n", "no kubeconfig|current-context"),
        ("token: s3cr3t-token: hunter2\n", "not valid YAML"),
        ("{}", "current-context"),
    ],
)
def test_what_is_no_kubeconfig_is_refused_without_quoting_it(write, content, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        from_kubeconfig(write(content), environ={})
    assert not any(secret in str(caught.value) for secret in SECRETS)
    assert caught.value.__cause__ is None


def test_a_missing_file_and_an_unknown_context_are_named(write):
    with pytest.raises(ConfigurationError, match="/nowhere"):
        from_kubeconfig("/nowhere", environ={})
    with pytest.raises(ConfigurationError, match=r"no context named away .*home"):
        from_kubeconfig(write(a_kubeconfig()), "away", environ={})


# -- proxies of the environment -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://10.0.0.1:6443", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://10.0.0.1:6443", {"https_proxy": "p:3128"}, "http://p:3128"),
        ("http://10.0.0.1:8080", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("https://localhost:6443", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("https://10.0.0.1", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://10.0.0.1", {"HTTPS_PROXY": "http://p", "NO_PROXY": "10.1.0.0/16"}, "http://p"),
    ],
)
def test_proxies_of_the_environment_are_those_that_go_would_use(url, environ, proxy):
    access = from_endpoint(url, environ=environ)
    assert access.proxy == (None if proxy is None else Secret(proxy))


# -- secrets --------------------------------------------------------------------------------------


def test_nothing_secret_is_shown():
    access = ClusterAccess(
        "https://api",
        key=Pem(inline=Secret("PRIVATE KEY")),
        token=Secret("s3cr3t-token"),
        basic=Secret("me:hunter2"),
        proxy=Secret("http://me:hunter2@p"),
    )
    for text in (repr(access), str(access), f"{access}", repr(access.__dict__)):
        assert not any(secret in text for secret in SECRETS)


def test_equal_access_is_equal_and_other_secrets_are_not():
    one = ClusterAccess("https://api", token=Secret("a"))
    assert one == ClusterAccess("https://api", token=Secret("a"))
    assert one != ClusterAccess("https://api", token=Secret("b"))
    assert len({one, ClusterAccess("https://api", token=Secret("a"))}) == 1
