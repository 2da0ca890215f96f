"""RFC 3161 responses of which that part is changed that no signature covers."""


def parts(data):
    """The values of a DER value's content: of each its tag and its content."""
    found = []
    while data:
        tag, length, at = data[0], data[1], 2
        if length > 0x7F:
            at += length & 0x7F
            length = int.from_bytes(data[2:at], "big")
        found.append((tag, data[at : at + length]))
        data = data[at + length :]
    return found


def value(tag, content):
    length = len(content)
    size = (length.bit_length() + 7) // 8
    return bytes([tag]) + (bytes([length]) if length < 0x80 else bytes([0x80 | size]) + length.to_bytes(size, "big")) + content


def with_status_text(response, text):
    """The same token in a response with `statusString` (a SEQUENCE of UTF8String behind the status)."""
    ((_, content),) = parts(response)
    (_, status), *token = parts(content)
    (status, *_) = parts(status)
    status = value(0x30, value(*status) + value(0x30, value(0x0C, text.encode())))
    return value(0x30, status + b"".join(value(*part) for part in token))
