"""The embedded service speaks wss, to clients that trust it and to nobody else."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from assemblyai.streaming.v3 import (
    AsyncRealTimeTranscriber,
    RealTimeEvents,
    RealTimeParameters,
    RealTimeTranscriberOptions,
    SpeechModel,
    TerminationEvent,
)
from conftest import spoken
from websockets.asyncio.client import connect

import rtkit
from rtkit.loopback.server import serve_loopback
from rtkit.loopback.tls import how_to_trust, local_ca, read_certificate

trustme = pytest.importorskip("trustme")
HEADERS = {"Authorization": "sesame"}


@contextmanager
def served(folder: Path, module: str, *options: str, trusts: str = "") -> Iterator[str]:
    """The address that the command prints; it logs to a file of its name."""
    path = str(Path(rtkit.__file__).parents[1])
    with (
        (folder / f"{module}.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-m", module, "--port", "0", *options],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": path, **({"SSL_CERT_FILE": trusts} if trusts else {})},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            yield next(line.split()[2] for line in lines if "Listening" in line).rstrip(";")
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    said = spoken(("Hello", 0.1, 0.3), ("there.", 0.35, 0.6))
    (folder / "said.json").write_text(json.dumps(said.to_json()))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """With a CA of its own, in `folder`, whatever the environment says of proxies."""
    with served(
        folder,
        "rtkit.loopback",
        *[
            "--tls",
            "--quiet",
            "--key",
            "sesame",
            "--script",
            "said.json",
            "--delay",
            "0",
            "--max-speed",
            "99",
        ],
    ) as url:
        yield url


@pytest.fixture
def trust(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python's clients are told to, without a proxy."""
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "rtkit-ca.pem"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


async def begins(url: str, trusted: ssl.SSLContext) -> None:
    async with connect(
        f"{url}?sample_rate=8000", additional_headers=HEADERS, ssl=trusted
    ) as connection:
        assert json.loads(await connection.recv())["type"] == "Begin"


def test_the_local_ca_is_trusted_by_whom_it_is_given_to_and_by_nobody_else(
    folder: Path, url: str
) -> None:
    assert url.startswith("wss://127.0.0.1:")
    ca = folder / "rtkit-ca.pem"
    assert "PRIVATE KEY" not in ca.read_text()
    trusted = ssl.create_default_context(cafile=str(ca))
    for host in ("127.0.0.1", "localhost"):
        asyncio.run(begins(url.replace("127.0.0.1", host), trusted))
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(begins(url, ssl.create_default_context()))


@pytest.mark.usefixtures("trust")
def test_rtkit_streams_to_it(url: str) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=0.3)
    service = rtkit.AssemblyAI(key="sesame", host=url)
    assert asyncio.run(rtkit.stream(clip, service=service)).complete


@pytest.mark.usefixtures("trust")
def test_the_python_sdk_gets_its_token_and_goes_on_with_it(url: str) -> None:
    """Its request always goes to https; nothing of it is patched."""
    address = url.removeprefix("wss://").removesuffix("/v3/ws")

    async def session() -> str:
        with_key = AsyncRealTimeTranscriber(
            RealTimeTranscriberOptions(api_host=address, api_key="sesame")
        )
        token = await with_key.create_temporary_token(expires_in_seconds=60)
        heard: list[TerminationEvent] = []
        async with AsyncRealTimeTranscriber(
            RealTimeTranscriberOptions(api_host=address, token=token)
        ) as client:
            client.on(RealTimeEvents.Termination, lambda _, message: heard.append(message))
            model = SpeechModel.universal_streaming_english
            asked: dict[str, Any] = {"sample_rate": 8000, "speech_model": model}
            await client.connect(RealTimeParameters(**asked))
        assert len(heard) == 1
        return token

    assert asyncio.run(session()).startswith("embedded.")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not there")
        pytest.skip(f"{name} is not there")
    return found


def test_node_trusts_it_as_it_is_told_to(folder: Path, url: str) -> None:
    script = """
    const https = require("https")
    const url = process.argv[1].replace("wss", "https").replace("/v3/ws", "/v3/ws/health")
    https.get(url, (answer) => { console.log(answer.statusCode) })
      .on("error", (error) => { console.log(error.code) })
    """
    for trust, said in (({"NODE_EXTRA_CA_CERTS": "rtkit-ca.pem"}, "200"), ({}, "UNABLE_TO")):
        done = subprocess.run(
            [program("node"), "-e", script, url],
            cwd=folder,
            env={**os.environ, **trust},
            capture_output=True,
            text=True,
        )
        assert done.stdout.startswith(said), (done.stdout, done.stderr)


@pytest.mark.parametrize("by", ["apiKey", "token"])
def test_the_npm_sdk_has_a_whole_session(folder: Path, url: str, by: str) -> None:
    talk_by_npm(folder, url, by, "rtkit-ca.pem")


def test_the_npm_sdk_has_a_whole_session_through_the_tap(folder: Path, url: str) -> None:
    upstream = ["--upstream", url.removesuffix("/v3/ws"), "--tls", "tap-ca.pem"]
    with served(folder, "rtkit.tap", *upstream, trusts=str(folder / "rtkit-ca.pem")) as tap:
        talk_by_npm(folder, f"{tap}/v3/ws", "token", "tap-ca.pem")
    passed, came, went = (folder / "rtkit.tap.log").read_text().splitlines()
    assert "/v3/token" in passed
    assert came.endswith("client 1 came: assemblyai, /v3/ws")
    assert "client 1: not paced, 2 s of audio in " in went


def talk_by_npm(folder: Path, url: str, by: str, ca: str) -> None:
    if not (folder / "node_modules").exists():
        npm = [program("npm"), "install", "--prefer-offline", "--no-audit", "--ignore-scripts"]
        npm += ["--fetch-retries=1", "--fetch-timeout=20000", "assemblyai@4.41.5"]
        done = subprocess.run(npm, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            assert not os.environ.get("CI"), done.stderr
            pytest.skip("npm cannot install assemblyai")
    script = """
    const { AssemblyAI, StreamingTranscriber } = require("assemblyai")
    const [url, by] = process.argv.slice(1)
    async function main() {
      const base = url.replace("wss", "https").replace("/v3/ws", "")
      const client = new AssemblyAI({ apiKey: "sesame", streamingBaseUrl: base })
      const key = by == "apiKey" ? "sesame"
        : await client.streaming.createTemporaryToken({ expires_in_seconds: 60 })
      const session = new StreamingTranscriber({
        [by]: key, sampleRate: 8000, formatTurns: true, websocketBaseUrl: url,
        speechModel: "universal-streaming-english", connectTimeout: 30000,
      })
      session.on("turn", (turn) => { if (turn.end_of_turn) console.log(turn.transcript) })
      session.on("error", (error) => console.log("error", error))
      await session.connect()
      for (let sent = 0; sent < 20; sent++) session.sendAudio(new Uint8Array(1600))
      await session.close()
    }
    main()
    """
    done = subprocess.run(
        [program("node"), "-e", script, url, by],
        cwd=folder,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": ca},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[:1] == ["Hello there."], (done.stdout, done.stderr)


def test_a_certificate_of_ones_own_is_taken(tmp_path: Path) -> None:
    ca = trustme.CA()
    mine = ca.issue_cert("127.0.0.1")
    (tmp_path / "cert.pem").write_bytes(mine.cert_chain_pems[0].bytes())
    (tmp_path / "key.pem").write_bytes(mine.private_key_pem.bytes())
    trusted = ssl.create_default_context()
    ca.configure_trust(trusted)

    async def session() -> None:
        tls = read_certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
        async with serve_loopback(0, tls=tls) as server:
            await begins(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/v3/ws", trusted)

    asyncio.run(session())


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
    assert "--private-key needs a certificate" in done.stderr


def test_each_language_is_told_how(tmp_path: Path) -> None:
    told = how_to_trust(tmp_path / "ca.pem")
    for way in ("NODE_EXTRA_CA_CERTS=", "SSL_CERT_FILE=", "curl --cacert", "keytool -importcert"):
        assert f"{way}" in told
    assert told.count(str(tmp_path / "ca.pem")) >= 6


def test_the_key_is_never_written(tmp_path: Path) -> None:
    local_ca(tmp_path / "ca.pem")
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]
