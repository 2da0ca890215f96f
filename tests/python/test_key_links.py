"""Links between a ledger's keys, in verify.py: the vectors of tests/golden/keys-v1.json, and bundles of ledgers that changed their key."""

import json
import subprocess
import sys
import unittest

from bundle_attacks import LEDGER, Rotated, of_rotated
from test_bundle import ASSETS, GOLDEN, Case, load_verifier, make_body, make_bundle, sha256

VERIFIER = load_verifier()
VECTORS = json.loads((GOLDEN / "keys-v1.json").read_text(encoding="utf-8"))


class Vectors(unittest.TestCase):
    def keys(self):
        return [[VERIFIER.parse_vkey(VECTORS["first"], 1), None, None]]

    def test_links_lead_to_the_keys_that_signed(self):
        keys, changes = self.keys(), []
        for link in VECTORS["links"]:
            VERIFIER.follow_link(link["link"].encode(), link["index"], keys, changes)
        self.assertEqual([(change["record"], change["action"], change["above"]) for change in changes], [(3, "key.announce", 5), (7, "key.retire", 9)])
        for note in VECTORS["checkpoints"]:
            with self.subTest(note["size"]):
                if note["good"]:
                    VERIFIER.check_signature(note["note"].encode(), keys)
                else:
                    self.assertRaises(VERIFIER.Wrong, VERIFIER.check_signature, note["note"].encode(), keys)

    def test_refused_links(self):
        for refused in VECTORS["refused"]:
            with self.subTest(refused["why"]):
                keys, changes = self.keys(), []
                with self.assertRaises(ValueError):
                    VERIFIER.follow_link(refused["link"].encode(), refused["index"], keys, changes)
                self.assertEqual((keys, changes), (self.keys(), []))

    def test_no_ledger_has_more_than_a_thousand(self):
        link, change = VECTORS["links"][0], {"record": 0, "action": "key.announce", "vkey": "", "above": 0}
        VERIFIER.follow_link(link["link"].encode(), link["index"], self.keys(), [change] * 999)
        with self.assertRaisesRegex(VERIFIER.Wrong, "more than 1000"):
            VERIFIER.follow_link(link["link"].encode(), link["index"], self.keys(), [change] * 1_000)


class Bundles(Case):
    def test_the_report_says_which_keys_signed(self):
        second = Rotated().bodies[6]
        second = json.loads(second)["details"]["vkey"]
        folder = self.write(of_rotated())
        code, report = self.python(folder, "--key", LEDGER.vkey)
        self.assertEqual(code, 0, report)
        self.assertEqual(report["keys"], [LEDGER.vkey, second])
        self.assertEqual(report["key_changes"], [{"record": 6, "action": "key.announce", "vkey": second, "above": 8}])
        self.assertEqual(self.python(folder, "--key", second)[0], 0)
        code, report = self.python(GOLDEN / "bundle-v1", "--key", LEDGER.vkey)
        self.assertEqual((report["keys"], report["key_changes"]), ([LEDGER.vkey], []))
        for place, words in ((folder, f"record 6 announces {second}: it signs all of more than 8 records"), (GOLDEN / "bundle-v1", f"{LEDGER.vkey}; no change of it is recorded here")):
            done = subprocess.run([sys.executable, "-I", str(ASSETS / "verify.py"), str(place), "--key", LEDGER.vkey], capture_output=True, text=True, check=False)
            self.assertIn(words, done.stdout)

    def test_a_checkpoint_between_a_record_and_its_link(self):
        """Record 6 is under a checkpoint of 7 that was time-stamped, so that a link over 9 was put off. (The token is none: what is
        asked here does not rest on it.)"""
        token = b"a token"
        for above, fails in ((7, set()), (9, {"authenticity"})):
            anchor = make_body(8, "lifecycle", action_type="time.anchor", details={"token_sha256": sha256(token).hex()}, producer="tachograph-collector")
            ledgers = []
            for size in (12, 20):
                ledger = Rotated(size, above)
                bodies = [*ledger.bodies[:8], anchor, *ledger.bodies[9:]]
                make_bundle.Ledger.__init__(ledger, bodies)
                ledgers.append(ledger)
            ledger, longer = ledgers
            extra = {"keys/00000000000000000006": longer.link(), "not-before.tsr": token, "not-before.checkpoint": ledger.checkpoint(7).encode()}
            selection = {"kind": "indexes", "first": "10", "last": "11"}
            folder = self.write(make_bundle.make_bundle(ledger, selection, [10, 11], anchor=8, extra=extra))
            code, report = self.python(folder, "--key", LEDGER.vkey)
            self.assertEqual(self.verdicts(report, "fail"), fails, report["findings"])
            if fails:
                self.assertIn("somebody with the keys before put it off", report["findings"][0]["what"])


if __name__ == "__main__":
    unittest.main()
