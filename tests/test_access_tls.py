"""TLS at `http.listen`: what is spoken, a new certificate without a restart, and files that do not fit."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import socket
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.entering import ADA, Browser, bearer, http
from tests.processes import Installation
from tests.scripted import ScriptedPrometheus, scripted
from tests.webserver import Site
from watchdog.access.gate import SECURE_COOKIE
from watchdog.config.httpsettings import TlsSettings
from watchdog.errors import ConfigError
from watchdog.web.tls import TlsFiles, tls_context


def certificate(directory: Path, name: str = "one", passphrase: bytes | None = None) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as files; `name` tells it apart."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    cert_file, key_file = directory / "tls.crt", directory / "tls.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pkcs8 = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, how))
    return cert_file, key_file


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    cert_file, key_file = certificate(tmp_path)
    tls = TlsSettings(cert_file=cert_file, key_file=key_file)
    with Site(tmp_path, http=http(tmp_path, tls=tls)) as running:
        running.add()
        yield running


def shown(site: Site, *, server_name: str | None = None, **how: ssl.TLSVersion) -> tuple[str, str]:
    """The certificate's hash and the version of a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for name, version in how.items():
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            setattr(context, name, version)
    with (
        socket.create_connection(("127.0.0.1", site.answering.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=server_name) as line,
    ):
        return hashlib.sha256(line.getpeercert(binary_form=True) or b"").hexdigest(), line.version() or ""


def written(directory: Path) -> str:
    """The hash of the certificate in the file."""
    pem = (directory / "tls.crt").read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_everything_is_answered_under_https_and_nothing_in_plain(tmp_path: Path, site: Site) -> None:
    assert site.url.startswith("https://")
    with pytest.raises(requests.RequestException):
        requests.get(site.url.replace("https:", "http:"), timeout=10)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(site.url, timeout=10)
    trusting = str(tmp_path / "tls.crt")
    assert requests.get(site.url + "/api/v1/rollouts", verify=trusting, timeout=10).ok
    given = requests.post(
        f"{site.url}/api/v1/rollouts/checkout-2.14.0/hold",
        json={"reason": "x"},
        headers=bearer(ADA),
        verify=trusting,
        timeout=10,
    )
    assert (given.status_code, given.json()["by"]) == (202, "ada")


def test_only_versions_from_1_2_on_are_spoken(site: Site) -> None:
    assert shown(site)[1] == "TLSv1.3"
    assert shown(site, maximum_version=ssl.TLSVersion.TLSv1_2)[1] == "TLSv1.2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shown(site, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    assert shown(site)[1] == "TLSv1.3"


@pytest.mark.parametrize("server_name", [None, "watchdog.example"])
def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path, site: Site, server_name: str | None) -> None:
    assert shown(site, server_name=server_name)[0] == written(tmp_path)
    before = written(tmp_path)
    certificate(tmp_path, "two")
    assert written(tmp_path) != before
    assert shown(site, server_name=server_name)[0] == written(tmp_path)


def test_files_that_do_not_fit_keep_the_certificate_of_before(tmp_path: Path, site: Site) -> None:
    before = written(tmp_path)
    (tmp_path / "tls.key").write_text("half a key")
    assert shown(site)[0] == before
    (tmp_path / "tls.key").unlink()
    assert shown(site)[0] == before
    certificate(tmp_path, "two")
    assert shown(site)[0] == written(tmp_path) != before


def test_a_browser_gets_a_cookie_that_only_https_may_carry(tmp_path: Path, site: Site) -> None:
    browser = Browser(site.url, verify=str(tmp_path / "tls.crt"))
    sent = browser.login(ADA)
    (cookie,) = [one for one in sent.raw.headers.getlist("Set-Cookie") if one.startswith(f"{SECURE_COOKIE}=")]
    assert {"secure", "httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "You are ada" in browser.get("/login").text


@pytest.mark.parametrize("what", ["no certificate", "no key", "not PEM", "another's key", "a passphrase"])
def test_files_that_are_no_certificate_and_key_refuse_the_start(tmp_path: Path, what: str) -> None:
    cert_file, key_file = certificate(tmp_path, passphrase=b"secret" if what == "a passphrase" else None)
    if what == "no certificate":
        cert_file.unlink()
    elif what == "no key":
        key_file.unlink()
    elif what == "not PEM":
        cert_file.write_text("not PEM")
    elif what == "another's key":
        mine = cert_file.read_bytes()
        certificate(tmp_path, "two")
        cert_file.write_bytes(mine)
    with pytest.raises(ConfigError) as refused:
        tls_context(TlsFiles(cert_file, key_file))
    assert str(refused.value).startswith("http.tls")
    assert str(cert_file) in str(refused.value) or str(key_file) in str(refused.value)


def test_the_daemon_serves_tls_and_says_at_once_when_it_cannot(tmp_path: Path) -> None:
    certificate(tmp_path)
    with ScriptedPrometheus() as prometheus:
        prometheus.always(scripted.value(0.0))
        tls = "{cert_file: tls.crt, key_file: tls.key}"
        site = Installation(tmp_path, prometheus.url, http=f"{{listen: '127.0.0.1:0', tls: {tls}}}")
        with site.daemon() as daemon:
            url = daemon.url.replace("http:", "https:")
            assert requests.get(f"{url}/healthz", verify=str(tmp_path / "tls.crt"), timeout=10).ok
            assert daemon.end() == 0
        (tmp_path / "tls.key").write_text("no key")
        ended = site.run("run")
        assert ended.status == 2
        assert "http.tls" in ended.err
