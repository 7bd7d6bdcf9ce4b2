from collections.abc import Iterable

def whole_request(
    data: bytes, head_bytes_max: int
) -> tuple[str, bytes, list[tuple[bytes, bytes]], bytes] | None: ...
def response_head(
    status_line: bytes, headers: Iterable[tuple[bytes, bytes]], close: bool, chunked: bool
) -> bytes: ...
