"""TLS for clients that require it, with your own certificate or one from a local CA."""

from __future__ import annotations

import ssl
from argparse import ArgumentParser
from pathlib import Path

__all__ = ["add_tls_option", "how_to_trust", "local_ca", "read_certificate"]

NAMES = ("localhost", "127.0.0.1", "::1")


def add_tls_option(parser: ArgumentParser) -> None:
    """``--tls``, with the file that the CA goes to."""
    parser.add_argument(
        "--tls",
        type=Path,
        nargs="?",
        const=Path("rtkit-ca.pem"),
        metavar="PEM",
        help="use wss and https with a certificate for this machine only; the CA to trust is "
        "written to %(const)s, and instructions are printed. Needs pip install 'rtkit[tls]'",
    )


def read_certificate(certificate: Path, private_key: Path | None) -> ssl.SSLContext:
    """What a server with this certificate (PEM, with what it is signed by) encrypts with.

    Parameters
    ----------
    certificate : Path
    private_key : Path, optional
        In a file of its own; without it, it is in the certificate's.

    Raises
    ------
    ValueError
        If the two cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, private_key)
    except (OSError, ssl.SSLError) as error:
        said = getattr(error, "reason", None) or error.strerror or str(error)
        key = "" if private_key is None else f" with the key in {private_key}"
        raise ValueError(
            f"{certificate} cannot be used{key} ({said}); both must be PEM files"
        ) from error
    return context


def local_ca(path: Path) -> ssl.SSLContext:
    """Make a certificate for this machine alone, and write whom to trust for it to `path`.

    The key stays in memory: with the next start there is another.

    Raises
    ------
    ImportError
        If trustme is not installed.
    ValueError
        If it cannot be written.
    """
    try:
        import trustme
    except ImportError as error:
        raise ImportError("--tls needs trustme: pip install 'rtkit[tls]'") from error
    ca = trustme.CA(organization_name="rtkit, on this machine")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*NAMES).configure_cert(context)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        ca.cert_pem.write_to_path(str(path))
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror}); give --tls another file"
        ) from error
    return context


def how_to_trust(path: Path) -> str:
    """How clients in each language are told to trust what is in `path`."""
    at = path.absolute()
    rows = {
        "Node": f"NODE_EXTRA_CA_CERTS={at}",
        "Python, Go, Ruby": f"SSL_CERT_FILE={at}",
        "requests, httpx": f"REQUESTS_CA_BUNDLE={at} SSL_CERT_FILE={at}",
        "curl": f"curl --cacert {at}",
        "Java": f"keytool -importcert -noprompt -alias rtkit -file {at} -keystore rtkit.jks "
        "-storepass changeit; java -Djavax.net.ssl.trustStore=rtkit.jks",
        ".NET on Linux": f"SSL_CERT_FILE={at}",
    }
    width = max(map(len, rows))
    return "\n".join(f"  {name:<{width}}  {way}" for name, way in rows.items())
