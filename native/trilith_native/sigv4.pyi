from typing import Self, final

@final
class SigningState:
    def __new__(cls, key: bytes) -> Self: ...
    def sign(self, message: bytes) -> bytes: ...

def request_signature(
    state: SigningState,
    method: bytes,
    path: bytes,
    query: bytes,
    signed: tuple[tuple[bytes, bytes], ...],
    signed_text: bytes,
    headers: dict[bytes, bytes],
    body: bytes,
    timestamp: bytes,
    scope: bytes,
) -> bytes: ...
