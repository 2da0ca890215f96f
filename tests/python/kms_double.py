"""A DOUBLE of AWS KMS, for what moto lacks: Ed25519 keys, and digests (MessageType DIGEST) that are signed as they are.

    kms_double.py PORT

It answers CreateKey, GetPublicKey and Sign as the API reference has it, with the limits that it names (4,096 bytes of RAW, 32 of DIGEST
with SHA-256), by real cryptography. What it lets through that the real service would not is not known here.
"""

import base64
import http.server
import json
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils

SPECS = {
    "ECC_NIST_EDWARDS25519": (ed25519.Ed25519PrivateKey.generate, "ED25519_SHA_512"),
    "ECC_NIST_P256": (lambda: ec.generate_private_key(ec.SECP256R1()), "ECDSA_SHA_256"),
}
ARN = "arn:aws:kms:us-east-1:111122223333:key/"
keys = {}


class Refused(Exception):
    pass


def create_key(asked):
    make, _ = SPECS[asked["KeySpec"]]
    arn = f"{ARN}{len(keys)}"
    keys[arn] = (asked["KeySpec"], make())
    return {"KeyMetadata": {"Arn": arn, "KeyId": arn.removeprefix(ARN)}}


def find(asked):
    if asked["KeyId"] not in keys:
        raise Refused("NotFoundException")
    return keys[asked["KeyId"]]


def get_public_key(asked):
    spec, key = find(asked)
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    spki = key.public_key().public_bytes(*form)
    return {"KeyId": asked["KeyId"], "PublicKey": base64.b64encode(spki).decode(), "KeySpec": spec, "KeyUsage": "SIGN_VERIFY"}


def sign(asked):
    spec, key = find(asked)
    message, kind = base64.b64decode(asked["Message"]), asked.get("MessageType", "RAW")
    if asked["SigningAlgorithm"] != SPECS[spec][1]:
        raise Refused("InvalidKeyUsageException")
    if not 1 <= len(message) <= 4096 or kind == "DIGEST" and len(message) != 32:
        raise Refused("ValidationException")
    if spec == "ECC_NIST_EDWARDS25519":
        if kind != "RAW":
            raise Refused("ValidationException")
        signature = key.sign(message)
    else:
        digest = hashes.SHA256() if kind == "RAW" else utils.Prehashed(hashes.SHA256())
        signature = key.sign(message, ec.ECDSA(digest))
    algorithm = asked["SigningAlgorithm"]
    return {"KeyId": asked["KeyId"], "Signature": base64.b64encode(signature).decode(), "SigningAlgorithm": algorithm}


ACTIONS = {"CreateKey": create_key, "GetPublicKey": get_public_key, "Sign": sign}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            status, answer = 200, ACTIONS[self.headers["x-amz-target"].removeprefix("TrentService.")](asked)
        except Refused as refused:
            status, answer = 400, {"__type": str(refused), "message": "the double refuses"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/x-amz-json-1.1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
