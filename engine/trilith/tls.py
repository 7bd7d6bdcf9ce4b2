"""TLS contexts from the files that the configuration names: of servers, and of our own commands."""

from __future__ import annotations

import ssl

from trilith.config import ConfigError, Server


def server_context(certificate_file: str, key_file: str) -> ssl.SSLContext:
    """Shows the certificate, with its chain; both files are PEM. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load(context, certificate_file, key_file)
    return context


def load(context: ssl.SSLContext, certificate_file: str, key_file: str) -> None:
    """Have a context show another certificate from now on. Raises ConfigError."""
    try:
        context.load_cert_chain(certificate_file, key_file, password=_refuse_password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{certificate_file} and {key_file} cannot be used for TLS: {error}"
        ) from error


def pinned_context(server: Server) -> ssl.SSLContext | None:
    """For commands of this machine that ask its own ports: trusts the configured certificate and
    no other, whatever name it is for. None: the ports speak plain HTTP. Raises ConfigError.
    """
    if not server.tls_certificate_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=server.tls_certificate_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"server.tls_certificate_file: {server.tls_certificate_file} cannot be read: {error}"
        ) from error
    return context


def _refuse_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise ssl.SSLError("the key is encrypted: give one without a passphrase")
