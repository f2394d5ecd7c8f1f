"""The embedded service speaks wss, to clients that trust it and to nobody else."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import rtkit
from rtkit.loopback.tls import how_to_trust, local_ca, read_certificate

trustme = pytest.importorskip("trustme")
HEADERS = {"Authorization": "any"}


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """The address that the command prints, and what comes after it."""
    with subprocess.Popen(
        [sys.executable, "-m", "rtkit.loopback", "--port", "0", "--quiet", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(rtkit.__file__).parents[1])},
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[2].rstrip(";")
        finally:
            process.terminate()


async def begins(url: str, trusted: ssl.SSLContext) -> None:
    async with connect(
        f"{url}?sample_rate=8000", additional_headers=HEADERS, ssl=trusted
    ) as connection:
        assert json.loads(await connection.recv())["type"] == "Begin"


def test_the_local_ca_is_trusted_by_whom_it_is_given_to_and_by_nobody_else(tmp_path: Path) -> None:
    with served(tmp_path, "--tls") as url:
        assert url.startswith("wss://127.0.0.1:")
        ca = tmp_path / "rtkit-ca.pem"
        assert "PRIVATE KEY" not in ca.read_text()
        trusted = ssl.create_default_context(cafile=str(ca))
        for host in ("127.0.0.1", "localhost"):
            asyncio.run(begins(url.replace("127.0.0.1", host), trusted))
        with pytest.raises(ssl.SSLCertVerificationError):
            asyncio.run(begins(url, ssl.create_default_context()))
        token = url.replace("wss", "https").replace("/v3/ws", "/v3/token?expires_in_seconds=60")
        request = urllib.request.Request(token, headers=HEADERS)
        with urllib.request.urlopen(request, context=trusted) as answer:
            assert json.loads(answer.read())["token"]


def test_rtkit_streams_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=0.5)
    with served(tmp_path, "--tls", "ca.pem") as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        service = rtkit.AssemblyAI(key="any", host=url)
        assert asyncio.run(rtkit.stream(clip, service=service)).complete


def test_a_certificate_of_ones_own_is_taken(tmp_path: Path) -> None:
    ca = trustme.CA()
    mine = ca.issue_cert("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    (tmp_path / "cert.pem").write_bytes(mine.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(mine.private_key_pem.bytes())
    trusted = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with served(tmp_path, "--certificate", "cert.pem", "--private-key", "key.pem") as url:
        asyncio.run(begins(url, trusted))


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no\.pem cannot be used \(No such file"):
        read_certificate(tmp_path / "no.pem", None)
    (tmp_path / "a.pem").write_text("no certificate")
    with pytest.raises(ValueError, match=r"a\.pem cannot be used with the key in .*b\.pem"):
        read_certificate(tmp_path / "a.pem", tmp_path / "b.pem")
    done = subprocess.run(
        [sys.executable, "-m", "rtkit.loopback", "--private-key", "a.pem"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "--private-key belongs to a certificate" in done.stderr


def test_each_language_is_told_how(tmp_path: Path) -> None:
    told = how_to_trust(tmp_path / "ca.pem")
    for way in ("NODE_EXTRA_CA_CERTS=", "SSL_CERT_FILE=", "curl --cacert", "keytool -importcert"):
        assert f"{way}" in told
    assert told.count(str(tmp_path / "ca.pem")) >= 6


def test_node_trusts_it_as_it_is_told_to(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI"):
            pytest.fail("Node is not there")
        pytest.skip("Node is not there")
    script = """
    const https = require("https")
    const url = process.argv[1].replace("wss", "https").replace("/v3/ws", "/v3/ws/health")
    https.get(url, (answer) => { console.log(answer.statusCode) })
      .on("error", (error) => { console.log(error.code) })
    """
    with served(tmp_path, "--tls") as url:
        for trust, said in (({"NODE_EXTRA_CA_CERTS": "rtkit-ca.pem"}, "200"), ({}, "UNABLE_TO")):
            done = subprocess.run(
                [node, "-e", script, url],
                cwd=tmp_path,
                env={**os.environ, **trust},
                capture_output=True,
                text=True,
            )
            assert done.stdout.startswith(said), (done.stdout, done.stderr)


def test_the_key_is_never_written(tmp_path: Path) -> None:
    local_ca(tmp_path / "ca.pem")
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]
