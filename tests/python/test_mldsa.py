"""Cosignatures with ML-DSA-44: verify.py against the vectors, and both against the package `cryptography`, which shares nothing with them."""

import base64
import json
import unittest

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from test_bundle import GOLDEN, LEDGER, Case, load_verifier, make_bundle, noted, witness_vkey

import make_mldsa_vectors as vectors
import mldsa

VERIFIER = load_verifier()
VECTORS = json.loads((GOLDEN / "mldsa-v1.json").read_text(encoding="utf-8"))


def parsed(vkey):
    return VERIFIER.parse_vkey(vkey, 4)


class Vectors(unittest.TestCase):
    def test_good_cosignatures(self):
        note = VECTORS["witnessed"].encode()
        for cosignature in VECTORS["cosignatures"]:
            key = parsed(VECTORS["witnesses"][cosignature["witness"]]["vkey"])
            (found,) = VERIFIER.signatures_of(note, key)
            self.assertEqual(VERIFIER.cosigned(key, note, found), cosignature["time"])

    def test_refused_notes(self):
        key = parsed(VECTORS["witnesses"][0]["vkey"])
        for refused in VECTORS["refused_notes"]:
            with self.subTest(refused["why"]):
                note = refused["note"].encode()
                with self.assertRaises(VERIFIER.Wrong):
                    for found in VERIFIER.signatures_of(note, key):
                        VERIFIER.cosigned(key, note, found)

    def test_refused_keys(self):
        for refused in VECTORS["refused_keys"]:
            with self.subTest(refused["why"]), self.assertRaises(ValueError):
                parsed(refused["vkey"])

    def test_another_implementation_finds_the_same(self):
        for witness in VECTORS["witnesses"]:
            private = MLDSA44PrivateKey.from_seed_bytes(bytes.fromhex(witness["seed"]))
            self.assertEqual(private.public_key().public_bytes_raw().hex(), witness["public"])
        for cosignature in VECTORS["cosignatures"]:
            public = bytes.fromhex(VECTORS["witnesses"][cosignature["witness"]]["public"])
            signature = base64.b64decode(cosignature["line"].split(" ")[2])[12:]
            MLDSA44PublicKey.from_public_bytes(public).verify(signature, bytes.fromhex(cosignature["message"]))

    def test_verify_py_takes_what_another_implementation_signed(self):
        for number in range(16):
            private = MLDSA44PrivateKey.from_seed_bytes(bytes([number]) * 32)
            public, message = private.public_key().public_bytes_raw(), b"m" * number * 31
            # Randomised, unlike ours.
            signature = private.sign(message)
            self.assertTrue(VERIFIER.signed_ml_dsa(public, message, signature))
            changed = bytearray(signature)
            changed[number * 161] ^= 1 << number % 8
            for other in ((public, message + b"x", signature), (public, message, bytes(changed)), (public, message, signature[1:]),
                          (public[:-1] + bytes([public[-1] ^ 1]), message, signature)):
                self.assertFalse(VERIFIER.signed_ml_dsa(*other))


class Bundles(Case):
    """A bundle whose checkpoint its witness cosigned with both of its keys."""

    FIRST = make_bundle.WITNESS
    SECOND = vectors.witness(make_bundle.WITNESS, bytes(range(120, 152)))

    def line(self, size=7, key=None):
        signed = vectors.message(self.FIRST, vectors.TIME, LEDGER.name, size, make_bundle.root(LEDGER.hashes[:size]))
        return vectors.line(self.SECOND, vectors.TIME, mldsa.sign(bytes.fromhex((key or self.SECOND)["seed"]), signed))

    def check(self, line, *witnesses):
        note = make_bundle.cosign(LEDGER.checkpoint(7)) + line
        folder = self.write(noted(make_bundle.make_bundle(LEDGER), LEDGER.checkpoint(7), note))
        arguments = [argument for witness in witnesses for argument in ("--witness", witness)]
        return self.python(folder, "--key", LEDGER.vkey, *arguments)

    def test_both_keys(self):
        first, second = witness_vkey(), self.SECOND["vkey"]
        for witnesses in ([first], [second], [first, second]):
            code, report = self.check(self.line(), *witnesses)
            self.assertEqual((code, report["axes"]["non_equivocation"]["verdict"]), (0, "pass"), report)
            said = report["axes"]["non_equivocation"]["reasons"]
            self.assertEqual((len(said), sum("(ML-DSA-44)" in reason for reason in said)), (len(witnesses), int(second in witnesses)))
        file = self.place / "second.vkey"
        file.write_text(second + "\n", encoding="ascii")
        self.assertEqual(self.check(self.line(), str(file))[0], 0)

    def test_one_that_is_missing_leaves_it_open(self):
        code, report = self.check("", witness_vkey(), self.SECOND["vkey"])
        self.assertEqual((code, report["axes"]["non_equivocation"]["verdict"]), (2, "incomplete"))

    def test_two_keys_are_one_witness(self):
        note = make_bundle.cosign(LEDGER.checkpoint(7))
        folder = self.write(noted(make_bundle.make_bundle(LEDGER), LEDGER.checkpoint(7), note))
        other = witness_vkey("witness.example/w2", bytes(range(5, 37)))
        keys = ["--witness", witness_vkey(), "--witness", self.SECOND["vkey"], "--witness", other]
        code, report = self.python(folder, "--key", LEDGER.vkey, *keys, "--quorum", "1")
        self.assertEqual((code, report["axes"]["non_equivocation"]["verdict"]), (2, "incomplete"))
        folder = self.write(noted(make_bundle.make_bundle(LEDGER), LEDGER.checkpoint(7), note + self.line()))
        self.assertEqual(self.python(folder, "--key", LEDGER.vkey, *keys, "--quorum", "1")[0], 0)
        self.assertEqual(self.python(folder, "--key", LEDGER.vkey, *keys, "--quorum", "2")[0], 2)

    def test_a_false_one_fails_though_the_other_is_good(self):
        for line in (self.line(size=6), self.line(key=VECTORS["witnesses"][0])):
            code, report = self.check(line, witness_vkey(), self.SECOND["vkey"])
            self.assertEqual((code, self.verdicts(report, "fail")), (1, {"non_equivocation"}), report)
            self.assertIn(f"the cosignature of {self.FIRST} is false", report["findings"][0]["what"])
            # To whoever does not know the key the line is nothing.
            self.assertEqual(self.check(line, witness_vkey())[0], 0)


if __name__ == "__main__":
    unittest.main()
