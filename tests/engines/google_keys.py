"""
Google as a push subscription's tokens know it: keys that sign them, and a certificate of each on an HTTPS server.

    with GoogleKeys(directory) as google: …    google.url, google.trust, google.token(), google.rotate("k2")

The server is a real one with a certificate of its own, which whoever sets SSL_CERT_FILE to `trust` believes.
"""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.engines.certificates import certificate, serving

AUDIENCE = "https://tai.example/pubsub"
ACCOUNT = "pusher@acme-prod.iam.gserviceaccount.com"


def new_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def pem_of(key: Any) -> str:
    """A certificate of the key, as Google publishes one."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "federated-signon.system.gserviceaccount.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=16))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def claims(**more: Any) -> dict[str, Any]:
    """What Pub/Sub's tokens say; None leaves a claim out."""
    now = int(time.time())
    every = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "azp": "113774264463038321964",
        "sub": "113774264463038321964",
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + 3600,
        **more,
    }
    return {name: value for name, value in every.items() if value is not None}


def signed(key: rsa.RSAPrivateKey, kid: str | None = "k1", *, algorithm: str = "RS256", **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers={} if kid is None else {"kid": kid})


def signed_bytes(payload: bytes, key: Any, kid: str = "k1") -> str:
    """Any payload at all, with a good signature."""
    return jwt.PyJWS(["RS256"]).encode(payload, key, "RS256", headers={"kid": kid})


class GoogleKeys:
    """`status` is what the server answers with; `fetches` counts what it was asked."""

    def __init__(self, directory: Path) -> None:
        self.trust = certificate(directory, "localhost")
        self.keys = {"k1": new_key()}
        self.status = 200
        self.fetches = 0
        self._published = json.dumps({"k1": pem_of(self.keys["k1"])}).encode()

    def rotate(self, kid: str) -> None:
        """A new key beside the old ones, published at once."""
        self.keys[kid] = new_key()
        self._published = json.dumps({kid: pem_of(key) for kid, key in self.keys.items()}).encode()

    def token(self, kid: str = "k1", **more: Any) -> str:
        return signed(self.keys[kid], kid, **more)

    @property
    def url(self) -> str:
        return f"https://localhost:{self._server.server_port}/oauth2/v1/certs"

    @property
    def environ(self) -> dict[str, str]:
        """What a service needs to take these tokens."""
        return {
            "PUBSUB_PUSH_AUDIENCE": AUDIENCE,
            "PUBSUB_PUSH_SERVICE_ACCOUNT": ACCOUNT,
            "PUBSUB_PUSH_CERTS_URL": self.url,
            "SSL_CERT_FILE": str(self.trust),
        }

    def __enter__(self) -> Self:
        google = self

        class Certificates(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                google.fetches += 1
                body = google._published if google.status == 200 else b"away"
                self.send_response(google.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Certificates)
        self._server.socket = serving(self.trust).wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
