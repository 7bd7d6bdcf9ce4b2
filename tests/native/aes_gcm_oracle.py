"""AES-256-GCM from FIPS 197 and NIST SP 800-38D, a byte and a bit at a time."""

ROUNDS = 14


def double(a: int) -> int:
    return ((a << 1) ^ 0x11B if a & 0x80 else a << 1) & 0xFF


def multiply(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = double(a), b >> 1
    return product


def substitution_box() -> list[int]:
    box = []
    for value in range(256):
        inverse = next((c for c in range(256) if multiply(value, c) == 1), 0)
        box.append(0x63)
        for shift in range(5):
            box[-1] ^= (inverse << shift | inverse >> (8 - shift)) & 0xFF
    return box


BOX = substitution_box()


def expand_key(key: bytes) -> list[bytes]:
    words = [key[i : i + 4] for i in range(0, 32, 4)]
    constant = 1
    while len(words) < 4 * (ROUNDS + 1):
        word = words[-1]
        if len(words) % 8 == 0:
            word = bytes(BOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = double(constant)
        elif len(words) % 8 == 4:
            word = bytes(BOX[b] for b in word)
        words.append(bytes(a ^ b for a, b in zip(words[-8], word, strict=True)))
    return [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def mix_column(column: list[int]) -> list[int]:
    total = column[0] ^ column[1] ^ column[2] ^ column[3]
    return [column[i] ^ total ^ double(column[i] ^ column[(i + 1) % 4]) for i in range(4)]


def encrypt_block(keys: list[bytes], block: bytes) -> bytes:
    state = [a ^ b for a, b in zip(block, keys[0], strict=True)]
    for number in range(1, ROUNDS + 1):
        state = [BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]  # SubBytes, ShiftRows
        if number < ROUNDS:
            state = [b for i in range(0, 16, 4) for b in mix_column(state[i : i + 4])]
        state = [a ^ b for a, b in zip(state, keys[number], strict=True)]
    return bytes(state)


def multiply_blocks(x: int, y: int) -> int:
    product = 0
    for i in range(127, -1, -1):
        if x >> i & 1:
            product ^= y
        y = (y >> 1) ^ (0xE1 << 120 if y & 1 else 0)
    return product


def ghash(subkey: int, data: bytes) -> int:
    state = 0
    for i in range(0, len(data), 16):
        state = multiply_blocks(state ^ int.from_bytes(data[i : i + 16]), subkey)
    return state


def seal(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    keys = expand_key(key)
    subkey = int.from_bytes(encrypt_block(keys, bytes(16)))
    stream = b"".join(
        encrypt_block(keys, nonce + (i + 2).to_bytes(4)) for i in range(-(-len(plaintext) // 16))
    )
    ciphertext = bytes(a ^ b for a, b in zip(plaintext, stream, strict=False))
    padded = b"".join(part + bytes(-len(part) % 16) for part in (aad, ciphertext))
    lengths = (len(aad) * 8).to_bytes(8) + (len(ciphertext) * 8).to_bytes(8)
    mask = int.from_bytes(encrypt_block(keys, nonce + (1).to_bytes(4)))
    return ciphertext + (ghash(subkey, padded + lengths) ^ mask).to_bytes(16)
