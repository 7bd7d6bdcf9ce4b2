"""The certificate that the public ports show, read again when its files change.

What renews a certificate replaces its files: new connections then get the new one, open ones keep
theirs. A pair that cannot be used is told in the log, and the last good one stays in use.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import grpc

from trilith import tls
from trilith.config import ConfigError

log = logging.getLogger("trilith.edge")

_Stamp = tuple[tuple[int, int], ...]


class Certificate:
    """A certificate with its chain and its key, both PEM."""

    def __init__(self, certificate_file: str, key_file: str) -> None:
        """Raises ConfigError for what cannot be used."""
        self._files = (certificate_file, key_file)
        self._stamp = self._stamps()
        self.context = tls.server_context(*self._files)
        self._pair = self._read()

    def _read(self) -> tuple[bytes, bytes]:
        certificate_file, key_file = self._files
        try:
            return Path(key_file).read_bytes(), Path(certificate_file).read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error

    def _stamps(self) -> _Stamp:
        stamps = []
        for file in self._files:
            try:
                found = os.stat(file)
            except OSError:
                continue
            stamps.append((found.st_mtime_ns, found.st_ino))
        return tuple(stamps)

    def refresh(self) -> None:
        """Take up files that have changed."""
        stamp = self._stamps()
        if stamp == self._stamp:
            return
        self._stamp = stamp  # a pair that is not whole yet gets another one when it is
        try:
            tls.server_context(*self._files)  # first on its own: it may be unusable
            pair = self._read()
            tls.load(self.context, *self._files)
        except ConfigError as error:
            log.warning("the certificate in use is kept: %s", error)
            return
        self._pair = pair
        log.info("the certificate was read again from %s", self._files[0])

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """gRPC asks for each connection whether there is another certificate."""
        shown = self._pair

        def changed() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            self.refresh()
            if shown == self._pair:
                return None
            shown = self._pair
            return grpc.ssl_server_certificate_configuration([shown])

        first = grpc.ssl_server_certificate_configuration([shown])
        # None, which says that nothing has changed, is missing in the stub.
        return grpc.dynamic_ssl_server_credentials(first, changed)  # type: ignore[arg-type]
