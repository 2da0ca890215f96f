"""The evidence bundle of docs/format.md section 9, checked by the three programs that it carries along: what is good is good, and
each way to cheat has its own verdict, on its own axis."""

import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = TESTS / "golden"
ASSETS = TESTS.parent / "exporters" / "src" / "bundle" / "assets"
sys.path.insert(0, str(GOLDEN))
sys.dont_write_bytecode = True

import make_bundle  # noqa: E402
import make_p256_vectors as p256  # noqa: E402
import make_stream_bundle  # noqa: E402
import tokens  # noqa: E402
from bundle_attacks import ATTACKS, LEDGER, PROOF, ROGUE, SHOWN, edit_about, edit_lines, forge, noted, without  # noqa: E402
from make_bundle import CASE, EVENTS, TRACE, Ledger, cosign, make_bodies, make_body, with_manifest, witness_vkey  # noqa: E402
from make_ledger_vectors import ed25519_sign, public_key, sha256  # noqa: E402
from make_stream_bundle import AGENT, StreamLedger  # noqa: E402

PASSING = {"integrity", "authenticity", "coverage"}


def load_verifier():
    spec = importlib.util.spec_from_file_location("bundle_verify", ASSETS / "verify.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Case(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = pathlib.Path(place.name)
        self.count = 0

    def write(self, files, manifest=True):
        self.count += 1
        folder = self.place / f"bundle-{self.count}"
        make_bundle.write(with_manifest(files) if manifest else files, folder)
        return folder

    def python(self, folder, *arguments):
        """Exit code and report of verify.py, which must not die on anything."""
        command = [sys.executable, "-I", str(ASSETS / "verify.py"), str(folder), "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.stderr, "", "verify.py has a traceback, or refuses its command line")
        return done.returncode, json.loads(done.stdout)

    def verdicts(self, report, verdict):
        return {axis for axis, answer in report["axes"].items() if answer["verdict"] == verdict}

    def sql(self, folder):
        """Whether verify.sql calls the bundle good; an error is none."""
        import duckdb

        before = os.getcwd()
        os.chdir(folder)
        try:
            db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
            answer = db.execute((ASSETS / "verify.sql").read_text(encoding="utf-8"))
            (row,) = answer.fetchall()
            return dict(zip([column[0] for column in answer.description], row))["good"]
        except duckdb.Error:
            return False
        finally:
            os.chdir(before)

    def sh(self, folder, *arguments, key=LEDGER.vkey):
        """Exit code and output of verify.sh, run where it lies, as an auditor does."""
        key_file = self.place / "key"
        key_file.write_text(key + "\n")
        command = ["sh", str(folder / "verify.sh"), *map(str, arguments)]
        environment = os.environ | {"LEDGER_KEY": str(key_file)}
        done = subprocess.run(command, cwd=self.place, env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr


class GoodBundle(Case):
    def test_script_reproduces_the_folder(self):
        done = subprocess.run([sys.executable, "-B", str(GOLDEN / "make_bundle.py"), "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_program_calls_it_good(self):
        golden = GOLDEN / "bundle-v1"
        code, report = self.python(golden, "--key", LEDGER.vkey, "--witness", witness_vkey())
        self.assertEqual(code, 0, report)
        self.assertEqual(self.verdicts(report, "pass"), {*PASSING, "non_equivocation"})
        self.assertEqual(self.verdicts(report, "fail"), set())
        self.assertEqual((report["records"], report["size"], report["findings"]), (3, 7, []))
        self.assertIs(self.sql(golden), True)
        code, output = self.sh(golden)
        self.assertEqual(code, 0, output)
        self.assertIn("checkpoint is signed by the ledger's key", output)
        self.assertIn("not checked here: the records themselves", output)

    def test_the_shell_takes_a_key_line_too(self):
        golden = GOLDEN / "bundle-v1"
        for key, expected in ((LEDGER.vkey, 0), (str(golden / "ledger.vkey"), 0), (ROGUE.vkey, 1), ("nowhere", 2)):
            environment = os.environ | {"LEDGER_KEY": key}
            done = subprocess.run(["sh", str(golden / "verify.sh")], cwd=self.place, env=environment, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, expected, key + done.stdout + done.stderr)

    def test_key_may_be_a_file_and_without_one_nothing_is_authentic(self):
        golden = GOLDEN / "bundle-v1"
        self.assertEqual(self.python(golden, "--key", str(golden / "ledger.vkey"))[0], 0)
        code, report = self.python(golden)
        self.assertEqual((code, report["axes"]["authenticity"]["verdict"]), (2, "incomplete"))

    def test_text_report_says_the_same(self):
        command = [sys.executable, str(GOLDEN / "bundle-v1" / "verify.py"), "--key", LEDGER.vkey]
        done = subprocess.run(command, cwd=self.place, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.endswith("VERIFIED on every required axis.\n"), done.stdout)
        self.assertRegex(done.stdout, r"(?m)^  time +INCOMPLETE  \(not required\)$")

    def test_required_axes(self):
        golden = GOLDEN / "bundle-v1"
        code, _ = self.python(golden, "--key", LEDGER.vkey, "--require", "integrity,time")
        self.assertEqual(code, 2)
        self.assertEqual(self.python(golden, "--require", "integrity")[0], 0)

    def test_wrong_command_lines(self):
        golden = str(GOLDEN / "bundle-v1")
        twice = ["--witness", witness_vkey(), "--witness", witness_vkey("witness.example/other", make_bundle.WITNESS_SEED), "--quorum", "1", "--key", LEDGER.vkey]
        private = ["--witness", "PRIVATE+KEY+" + witness_vkey()]
        for arguments in (twice, private, ["--key", "no key"], ["--witness", LEDGER.vkey], ["--quorum", "1"], ["--require", "luck"], ["--tsa-ca", "/nowhere"]):
            command = [sys.executable, str(ASSETS / "verify.py"), golden, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertNotIn("Traceback", done.stderr)
            self.assertEqual("two --witness have one public key" in done.stderr, arguments is twice)
            self.assertEqual("a private key was given" in done.stderr, arguments is private)

    def test_whole_range_is_complete(self):
        files = make_bundle.make_bundle(LEDGER, {"kind": "indexes", "first": "2", "last": "4"}, [2, 3, 4], witnessed=False)
        folder = self.write(files)
        code, report = self.python(folder, "--key", LEDGER.vkey, "--require", "integrity,authenticity,coverage,completeness")
        self.assertEqual((code, self.verdicts(report, "pass")), (0, {*PASSING, "completeness"}))
        self.assertIs(self.sql(folder), True)
        self.assertEqual(self.sh(folder)[0], 0)

    def test_every_record_of_trees_of_every_size(self):
        for size in range(1, 8):
            ledger = Ledger(make_bodies()[:size])
            selection = {"kind": "indexes", "first": "0", "last": str(size - 1)}
            folder = self.write(make_bundle.make_bundle(ledger, selection, list(range(size)), witnessed=False))
            code, report = self.python(folder, "--key", ledger.vkey)
            self.assertEqual(code, 0, report)
            self.assertIs(self.sql(folder), True, f"{size} records")

    def test_every_way_to_name_an_event(self):
        """As `tachograph trace` takes them: ids in capitals, a hash without its `sha256:`."""
        bodies = make_bodies()
        bodies[5] = bodies[5].replace(',"agent_id"', ',"output_hash":"sha256:%s","output_path":"out/A-17","agent_id"' % ("ab" * 32), 1)
        ledger = Ledger(bodies)
        for name in (EVENTS[5], EVENTS[5].upper(), TRACE, TRACE.upper(), CASE, "out/A-17", "sha256:" + "ab" * 32, "AB" * 32):
            folder = self.write(make_bundle.make_bundle(ledger, {"kind": "event", "id": name}, [5]))
            code, report = self.python(folder, "--key", ledger.vkey)
            self.assertEqual(code, 0, (name, report["findings"]))
        for name in (CASE.upper(), "OUT/A-17", "ab" * 31, ""):
            folder = self.write(make_bundle.make_bundle(ledger, {"kind": "event", "id": name}, [5]))
            self.assertEqual(self.python(folder, "--key", ledger.vkey)[0], 1, name)

    def test_destroyed_body_leaves_integrity_open(self):
        def destroy(lines):
            return [line | {"body": None} if line["index"] == "3" else line for line in lines]

        folder = self.write(edit_lines(make_bundle.make_bundle(LEDGER), destroy))
        code, report = self.python(folder, "--key", LEDGER.vkey)
        self.assertEqual((code, report["destroyed"], self.verdicts(report, "fail")), (2, 1, set()))
        self.assertEqual(report["axes"]["integrity"]["verdict"], "incomplete")
        self.assertIs(self.sql(folder), True)

    def test_quorum(self):
        second = {"name": "witness.example/w2", "seed": bytes(range(5, 37))}
        golden, both = GOLDEN / "bundle-v1", ["--witness", witness_vkey(), "--witness", witness_vkey(**second)]
        self.assertEqual(self.python(golden, "--key", LEDGER.vkey, *both, "--quorum", "1")[0], 0)
        code, report = self.python(golden, "--key", LEDGER.vkey, *both)
        self.assertEqual((code, report["axes"]["non_equivocation"]["verdict"]), (2, "incomplete"))


class OnP256(Ledger):
    """A ledger whose key is on the curve P-256. `encode` makes bytes of r and s, `k` is another nonce than RFC 6979's."""

    encode, k = staticmethod(p256.der), None

    def key_line(self):
        return p256.vkey_line(self.name, p256.SECRET)

    def sign(self, text):
        return p256.note_of(self.name, p256.SECRET, text, self.encode(*p256.sign(p256.SECRET, text.encode(), self.k)))


class P256(Case):
    def both(self, ledger, **files):
        """Exit codes of verify.py and verify.sh, and the verdict on authenticity."""
        folder = self.write({**make_bundle.make_bundle(ledger), **files})
        code, report = self.python(folder, "--key", ledger.vkey)
        return code, self.sh(folder, key=ledger.vkey)[0], report["axes"]["authenticity"]["verdict"]

    def test_vectors_are_what_the_script_makes(self):
        script = str(GOLDEN / "make_p256_vectors.py")
        done = subprocess.run([sys.executable, "-B", script, "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_good_signature_is_good_to_both(self):
        ledger = OnP256(make_bodies())
        for k, encode in ((None, p256.der), (77, p256.der), (None, lambda r, s: p256.der(r, p256.N - s))):
            ledger.k, ledger.encode = k, encode
            self.assertEqual(self.both(ledger), (0, 0, "pass"))

    def test_every_bad_signature_is_bad_to_both(self):
        ledger, long = OnP256(make_bodies()), lambda body: b"\x30\x81" + bytes([len(body)]) + body
        for encode in (
            lambda r, s: p256.der(r, s ^ 1),
            lambda r, s: p256.der(s, r),
            lambda r, s: p256.der(r, s + p256.N),
            lambda r, s: p256.der(0, s),
            lambda r, s: p256.der(r, s) + b"\0",
            lambda r, s: r.to_bytes(32, "big") + s.to_bytes(32, "big"),
            lambda r, s: long(p256.der_integer(r) + p256.der_integer(s)),
        ):
            ledger.encode = encode
            self.assertEqual(self.both(ledger), (1, 1, "fail"))

    def test_every_bad_key_is_bad_to_both(self):
        vectors, folder = json.loads((GOLDEN / "p256-v1.json").read_text()), GOLDEN / "bundle-v1"
        for key in vectors["refused_keys"]:
            command = [sys.executable, str(ASSETS / "verify.py"), str(folder), "--key", key["vkey"]]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, key["why"])
            self.assertNotIn("Traceback", done.stderr)
            ledger = OnP256(make_bodies())
            ledger.vkey = key["vkey"]
            folder_of_it = self.write(make_bundle.make_bundle(ledger))
            self.assertEqual(self.sh(folder_of_it, key=ledger.vkey)[0], 1, key["why"])

    def test_another_key_is_found(self):
        good, other = OnP256(make_bodies()), Ledger(make_bodies())
        folder = self.write(make_bundle.make_bundle(good))
        self.assertEqual((self.python(folder, "--key", other.vkey)[0], self.sh(folder, key=other.vkey)[0]), (1, 1))


class Streams(Case):
    """A session or an agent is shown as a whole."""

    def judged(self, files):
        folder = self.write(files)
        code, report = self.python(folder, "--key", LEDGER.vkey)
        self.assertEqual(code, 0, report["findings"])
        self.assertIs(self.sql(folder), True)
        self.assertEqual(self.sh(folder)[0], 0)
        axis = report["axes"]["completeness"]
        return axis["verdict"], " ".join(axis["reasons"])

    def test_script_reproduces_the_folder(self):
        done = subprocess.run([sys.executable, "-B", str(GOLDEN / "make_stream_bundle.py"), "--check"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_whole(self):
        verdict, reasons = self.judged(make_stream_bundle.make())
        self.assertEqual(verdict, "pass", reasons)
        self.assertIn("complete from record 0 to record 11", reasons)

    def test_a_part_of_the_ledger_is_whole_in_itself(self):
        verdict, reasons = self.judged(make_stream_bundle.make(selected=(1, 3, 6), generations=(0, 1)))
        self.assertEqual(verdict, "pass", reasons)
        self.assertIn("complete from record 0 to record 8", reasons)

    def test_records_outside_of_what_is_covered_leave_it_open(self):
        verdict, reasons = self.judged(make_stream_bundle.make(generations=(0, 1)))
        self.assertEqual(verdict, "incomplete")
        self.assertIn("2 records here lie where no generation is closed", reasons)

    def test_gap_without_streams_leaves_it_open(self):
        ledger = StreamLedger(ending="ended")
        verdict, reasons = self.judged(make_stream_bundle.make(ledger, selected=(1, 3, 6, 11, 12)))
        self.assertEqual(verdict, "pass", reasons)
        # Had the recorder sealed a record without streams in between, it would show.
        ledger = StreamLedger(ending="ended", gap=True)
        verdict, reasons = self.judged(make_stream_bundle.make(ledger, selected=(1, 3, 6, 12, 13)))
        self.assertEqual(verdict, "incomplete", reasons)
        self.assertIn("records 10 to 10, of which nothing is shown here", reasons)

    def test_an_agents_records_in_sessions_leave_it_open(self):
        verdict, reasons = self.judged(make_stream_bundle.make(kind="agent", name=AGENT, selected=(2, 3, 5)))
        self.assertEqual(verdict, "incomplete")
        self.assertIn("2 records here belong to streams of another kind", reasons)
        verdict, reasons = self.judged(make_stream_bundle.make(StreamLedger(by="agent"), kind="agent", name=AGENT, selected=(2, 3, 5)))
        self.assertEqual(verdict, "pass", reasons)

    def test_what_is_shown_and_what_is_not(self):
        for name, (make, verdict, words) in SHOWN.items():
            with self.subTest(name):
                _, report = self.python(self.write(make()), "--key", LEDGER.vkey)
                axis = report["axes"]["completeness"]
                self.assertEqual(axis["verdict"], verdict, (axis, report["findings"]))
                self.assertIn(words, " ".join(axis["reasons"]))

    def test_destroyed_body_is_still_the_streams(self):
        destroy = lambda lines: [line | {"body": None} if line["index"] == "3" else line for line in lines]
        files = edit_lines(make_stream_bundle.make(), destroy)
        _, report = self.python(self.write(files), "--key", LEDGER.vkey)
        self.assertEqual((report["axes"]["completeness"]["verdict"], report["findings"]), ("incomplete", []))

    def test_without_streams_nothing_is_shown(self):
        files = make_stream_bundle.make()
        files = without(files, "streams.json", *[name for name in files if name.startswith("closed/")])
        self.assertEqual(self.judged(files)[0], "incomplete")


class Chains(Case):
    """Every record of a chain is linked to one that carries the id, in any number of steps."""

    def chain(self, members, selected, id=CASE, destroyed=(), anchor=None):
        """`members`: of each record what it says of others. A bundle of the chain of `id` with the records `selected`."""
        ledger = Ledger([make_body(index, "audit_event", **said) for index, said in enumerate(members)])
        files = make_bundle.make_bundle(ledger, {"kind": "chain", "id": id}, selected, anchor=anchor)
        destroy = lambda lines: [line | {"body": None} if int(line["index"]) in destroyed else line for line in lines]
        _, report = self.python(self.write(edit_lines(files, destroy)), "--key", ledger.vkey)
        self.assertEqual(self.verdicts(report, "fail") - {"completeness"}, set(), report["findings"])
        return report["axes"]["completeness"]["verdict"], [finding["what"] for finding in report["findings"]]

    def test_each_kind_of_link(self):
        case = {"correlation_id": CASE}
        for link, members in {
            "the cause": [{}, {**case, "parent_id": EVENTS[0]}],
            "the effect": [case, {"parent_id": EVENTS[0]}],
            "the trace": [{**case, "trace_id": TRACE}, {"trace_id": TRACE}],
            "the correlation of another": [{"output_path": CASE, "correlation_id": "c"}, {"correlation_id": "c"}],
            "several steps, each in its own way": [
                {"parent_id": EVENTS[1]}, {"trace_id": TRACE}, {"trace_id": TRACE, "correlation_id": "c"}, {"correlation_id": "c", "parent_id": EVENTS[4]}, case],
        }.items():
            with self.subTest(link):
                self.assertEqual(self.chain(members, list(range(len(members)))), ("incomplete", []))

    def test_what_is_no_link(self):
        case = {"correlation_id": CASE}
        for what, members in {
            "nothing": [case, {}],
            "a cause that both have, and that is not here": [{**case, "parent_id": EVENTS[9]}, {"parent_id": EVENTS[9]}],
            "the same session": [{**case, "session_id": "s"}, {"session_id": "s"}],
            "a correlation that has the name of an event": [case, {"correlation_id": EVENTS[0]}],
            "a record that is linked to itself": [case, {"parent_id": EVENTS[1]}],
        }.items():
            with self.subTest(what):
                self.assertEqual(self.chain(members, [0, 1]), ("fail", [f"record 1 is none of the chain of {CASE}"]))

    def test_links_only_within_the_bundle(self):
        members = [{"correlation_id": CASE}, {"parent_id": EVENTS[0]}, {"parent_id": EVENTS[1]}]
        self.assertEqual(self.chain(members, [0, 1, 2]), ("incomplete", []))
        self.assertEqual(self.chain(members, [0, 2])[0], "fail")

    def test_without_a_body_nothing_can_be_told(self):
        members = [{"correlation_id": CASE}, {"parent_id": EVENTS[0]}, {"parent_id": EVENTS[1]}]
        for destroyed in ([1], [2], [0], [0, 1, 2]):
            self.assertEqual(self.chain(members, [0, 1, 2], destroyed=destroyed), ("incomplete", []), destroyed)


class Ranges(Case):
    def test_the_last_index_too(self):
        """As many as asked for, and the wrong ones: also where no body tells anything."""
        destroy = lambda lines: [line | {"body": None} if line["index"] == "5" else line for line in lines]
        for asked in (("2", "4"), ("3", "5"), ("1", "3")):
            good = make_bundle.make_bundle(LEDGER, {"kind": "indexes", "first": asked[0], "last": asked[1]}, [2, 3, 5])
            for files in (good, edit_lines(good, destroy)):
                folder = self.write(files)
                code, report = self.python(folder, "--key", LEDGER.vkey)
                self.assertEqual((code, self.verdicts(report, "fail")), (1, {"completeness"}), report["findings"])
                self.assertIs(self.sql(folder), False)


class Substitutes(Case):
    """What lies in the bundle is never run in place of what it is named after."""

    MODULES = "argparse base64 bisect calendar contextlib hashlib hmac json os pathlib re shutil signal subprocess _strptime _pylong".split()
    PROGRAMS = "openssl sha256sum shasum find grep sed sort cut tr cat head tail diff cmp od wc mktemp rm dirname".split()

    def folder(self, names, text, mode):
        """A good bundle and beside it files that leave a trace when they are run."""
        self.trace = self.place / "trace"
        text = text.format(trace=self.trace)
        folder = self.write({**make_bundle.make_bundle(LEDGER), **{name: text.encode() for name in names}})
        for name in names:
            (folder / name).chmod(mode)
        return folder

    def test_modules(self):
        names = [f"{name}.py" for name in self.MODULES]
        folder = self.folder(names, "open('{trace}', 'w')\nprint('VERIFIED')\nraise SystemExit(0)\n", 0o644)
        program = ASSETS / "verify.py"
        for flags, at, file, more in (
            (["-I"], folder, "verify.py", {}),
            ([], folder, "verify.py", {}),
            (["-S"], folder, "verify.py", {}),
            ([], self.place, folder / "verify.py", {}),
            ([], folder, program, {}),
            ([], self.place, program, {"PYTHONSAFEPATH": "1"}),
        ):
            with self.subTest(flags=flags, at=at, file=file):
                command = [sys.executable, "-B", *flags, str(file), "--key", LEDGER.vkey, "--json"]
                command += [str(folder)] if file is program else []
                done = subprocess.run(command, cwd=at, env=os.environ | more, capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual((done.returncode, done.stderr, self.trace.exists()), (1, "", False), done.stdout)
                found = {finding["object"]: finding["what"] for finding in json.loads(done.stdout)["findings"]}
                self.assertEqual(found, {name: "no part of a bundle: nothing vouches for it" for name in names})

    def test_a_module_that_a_path_of_modules_leads_to(self):
        folder = self.folder(["hashlib.py"], "open('{trace}', 'w')\nraise SystemExit(0)\n", 0o644)
        for path in (".", str(folder)):
            command = [sys.executable, "-B", "verify.py", "--key", LEDGER.vkey]
            done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, self.trace.exists()), (1, False), done.stderr)

    def test_programs_of_the_shell(self):
        folder = self.folder(self.PROGRAMS, "#!/bin/sh\n: > '{trace}'\n", 0o755)
        link = self.place / "link"
        link.symlink_to(folder)
        for place in (".", "", str(folder), str(link), f"{link}/../link", f"{folder}/proofs/.."):
            with self.subTest(place):
                environment = os.environ | {"PATH": f"{place}:{os.environ['PATH']}", "LEDGER_KEY": str(folder / "ledger.vkey")}
                for file in ("verify.sh", str(folder / "verify.sh")):
                    done = subprocess.run(["/bin/sh", file], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
                    self.assertEqual((done.returncode, self.trace.exists()), (0, False), done.stdout + done.stderr)
                    self.assertIn("all that was checked is good", done.stdout)


class Attacks(Case):
    def test_each_has_its_verdict(self):
        for name, (_, expected, by_sql, by_sh) in ATTACKS.items():
            with self.subTest(name):
                folder = self.write(forge(name), manifest=False)
                code, report = self.python(folder, "--key", LEDGER.vkey, "--witness", witness_vkey())
                self.assertEqual((code, self.verdicts(report, "fail")), (1, set(expected)), report["findings"])
                for axis, words in expected.items():
                    found = [finding["what"] for finding in report["findings"] if finding["axis"] == axis]
                    self.assertTrue(any(words in what for what in found) or any(words in f["object"] for f in report["findings"]), found)
                self.assertEqual(self.sql(folder), not by_sql, "verify.sql")
                if "verify.sh" in os.listdir(folder):
                    self.assertEqual(self.sh(folder)[0] != 0, by_sh, "verify.sh")

    def test_unknown_key(self):
        code, report = self.python(GOLDEN / "bundle-v1", "--key", ROGUE.vkey)
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"authenticity"}))
        self.assertIn("unknown key", report["findings"][0]["what"])
        self.assertEqual(self.sh(GOLDEN / "bundle-v1", key=ROGUE.vkey)[0], 1)

    def test_cosignature_of_an_unknown_witness(self):
        """Nothing speaks against the ledger, but the witness that was asked for has not seen it: no pass."""
        good = make_bundle.make_bundle(LEDGER)
        folder = self.write(noted(good, LEDGER.checkpoint(7), cosign(LEDGER.checkpoint(7), seed=bytes(range(9, 41)))))
        code, report = self.python(folder, "--key", LEDGER.vkey, "--witness", witness_vkey())
        self.assertEqual((code, report["axes"]["non_equivocation"]["verdict"]), (2, "incomplete"))
        self.assertIn("unknown witnesses: witness.example/w1", report["axes"]["non_equivocation"]["reasons"][0])

    def test_missing_and_added_files_under_the_old_manifest(self):
        good = with_manifest(make_bundle.make_bundle(LEDGER))
        for name in sorted(good):
            with self.subTest(f"without {name}"):
                folder = self.write(without(good, name), manifest=False)
                code, report = self.python(folder, "--key", LEDGER.vkey, "--witness", witness_vkey())
                self.assertEqual((code, report["axes"]["integrity"]["verdict"]), (1, "fail"))
                self.assertIs(self.sql(folder), False)
                if name != "verify.sh":
                    self.assertEqual(self.sh(folder)[0], 1)
        folder = self.write({**good, "proofs/notes": b"x"}, manifest=False)
        self.assertEqual([self.python(folder, "--key", LEDGER.vkey)[0], self.sql(folder), self.sh(folder)[0]], [1, False, 1])

    def test_links_and_pipes_are_not_opened(self):
        for make in (lambda path: os.symlink("/dev/zero", path), os.mkfifo):
            for name in ("records.jsonl", "MANIFEST.sha256", "bundle.json", "witnessed", PROOF(3)):
                folder = self.write(make_bundle.make_bundle(LEDGER))
                (folder / name).unlink()
                make(folder / name)
                code, report = self.python(folder, "--key", LEDGER.vkey)
                self.assertEqual((code, report["axes"]["integrity"]["verdict"]), (1, "fail"), name)
                self.assertEqual(self.sh(folder)[0], 1)
        folder = self.write(make_bundle.make_bundle(LEDGER))
        (folder / "proofs").rename(self.place / "proofs")
        (folder / "proofs").symlink_to(self.place / "proofs")
        self.assertEqual(self.python(folder, "--key", LEDGER.vkey)[0], 1)

    def test_output_is_plain_text(self):
        """What a bundle holds can't move the cursor of whoever reads the report, nor turn its letters round."""
        evil = "\x1b[2J\u202eVERIFIED\x07"
        folder = self.write(edit_about(make_bundle.make_bundle(LEDGER), bundle=evil, selection={"kind": evil}))
        (folder / evil).write_text("x")
        for arguments in ([], ["--json"]):
            command = [sys.executable, str(ASSETS / "verify.py"), str(folder), *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertFalse(set(evil) - set("[2JVERIFIED") & set(done.stdout))


class Flips(Case):
    """A bundle of which one byte is changed is never good, whether or not the manifest is made anew."""

    def test_every_file(self):
        good = with_manifest(make_bundle.make_bundle(LEDGER))
        for name, data in good.items():
            for at in {0, len(data) // 2, len(data) - 1}:
                with self.subTest(f"{name}, byte {at}"):
                    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
                    folder = self.write({**good, name: changed}, manifest=False)
                    code, report = self.python(folder, "--key", LEDGER.vkey, "--witness", witness_vkey())
                    self.assertEqual((code, report["axes"]["integrity"]["verdict"]), (1, "fail"))
                    if at == len(data) // 2:
                        self.assertIs(self.sql(folder), False)

    def test_every_evidence_file_with_a_new_manifest(self):
        """In this process, for speed: thousands of bytes."""
        verifier = load_verifier()
        options = type("Options", (), {"key": verifier.parse_vkey(LEDGER.vkey, 1), "witness": [verifier.parse_vkey(witness_vkey(), 4)],
                                       "quorum": None, "tsa_ca": None})
        good = make_bundle.make_bundle(LEDGER)
        unproven = re.search(rb'"created_at":"[^"]*"', good["bundle.json"]).span()
        folder, tried = self.write(good), 0
        for name in ("bundle.json", "ledger.vkey", "checkpoint", "witnessed", "records.jsonl", PROOF(2), PROOF(3), PROOF(5)):
            for at in range(0, len(good[name]), 31):
                if name == "bundle.json" and unproven[0] <= at < unproven[1]:
                    continue  # the clock of whoever made the bundle: nothing rests on it
                changed = good[name][:at] + bytes([good[name][at] ^ (1 << at % 8)]) + good[name][at + 1 :]
                files = with_manifest({**good, name: changed})
                for path in (name, "MANIFEST.sha256"):
                    (folder / path).write_bytes(files[path])
                report = verifier.Report()
                verifier.verify(folder, options, report)
                verdicts = [report.verdict(axis) for axis in (*PASSING, "non_equivocation")]
                self.assertTrue(report.failed or set(verdicts) != {"pass"}, f"{name}, byte {at}: {changed}")
                tried += 1
            (folder / name).write_bytes(good[name])
        self.assertGreater(tried, 200)


class Signatures(unittest.TestCase):
    """The Ed25519 of verify.py: RFC 8032's vectors, and what a strict reader refuses."""

    SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")

    def setUp(self):
        self.verifier = load_verifier()
        self.public, self.signature = public_key(self.SECRET), ed25519_sign(self.SECRET, b"\x72")

    def test_vector_of_the_rfc(self):
        self.assertEqual(self.public.hex(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
        self.assertTrue(self.verifier.signed(self.public, b"\x72", self.signature))
        self.assertFalse(self.verifier.signed(self.public, b"\x73", self.signature))
        self.assertFalse(self.verifier.signed(self.public, b"\x72", self.signature[:-1]))

    def test_second_spelling_of_s(self):
        s = int.from_bytes(self.signature[32:], "little") + self.verifier.L
        self.assertFalse(self.verifier.signed(self.public, b"\x72", self.signature[:32] + s.to_bytes(32, "little")))

    def test_points_of_small_order(self):
        """With the identity as key and as R, and s = 0, a lax reader takes every message as signed."""
        identity, p = (1).to_bytes(32, "little"), self.verifier.P
        minus_one = (p - 1).to_bytes(32, "little")
        for point in (identity, minus_one, bytes(32), (p + 1).to_bytes(32, "little"), p.to_bytes(32, "little")):
            self.assertFalse(self.verifier.signed(point, b"anything", identity + bytes(32)))
            self.assertFalse(self.verifier.signed(self.public, b"anything", point + bytes(32)))


class TimeStamps(Case):
    """With an authority of our own, made by OpenSSL."""

    CONFIG = """
[tsa]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
[ext]
basicConstraints = critical,CA:false
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
"""

    def setUp(self):
        super().setUp()
        self.authority = self.make_authority("tsa")

    def openssl(self, *arguments, cwd):
        done = subprocess.run(["openssl", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)

    def make_authority(self, name):
        place = self.place / name
        place.mkdir()
        (place / "config").write_text(self.CONFIG)
        (place / "serial").write_text("01\n")
        (place / "req").write_text(f"[req]\ndistinguished_name = dn\nx509_extensions = ext\nprompt = no\n[dn]\nCN = {name}\n{self.CONFIG}")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days", "30",
                     "-config", "req", cwd=place)
        return place

    def stamp(self, data, authority=None):
        place = authority or self.authority
        (place / "data").write_bytes(data)
        self.openssl("ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "query", cwd=place)
        self.openssl("ts", "-reply", "-queryfile", "query", "-config", "config", "-section", "tsa", "-signer", "ca.pem",
                     "-inkey", "key.pem", "-out", "reply", cwd=place)
        return (place / "reply").read_bytes()

    def bundle(self, anchored=True, **extra):
        """A ledger whose record 4 is the anchor, and a bundle with stamps from both sides."""
        before = Ledger(make_bodies()[:4]).checkpoint(4).encode()
        token = self.stamp(before)
        bodies = make_bodies()
        bodies[4] = make_body(4, "lifecycle", action_type="time.anchor", details={"token_sha256": sha256(token).hex()},
                              producer="tachograph-collector", producer_epoch="c1", producer_seq="1")
        ledger = Ledger(bodies)
        files = {"not-before.tsr": token, "not-before.checkpoint": before} if anchored else {}
        files["not-after/tsa.tsr"] = self.stamp(ledger.checkpoint(7).encode())
        return make_bundle.make_bundle(ledger, {"kind": "event", "id": CASE}, [5], anchor=4 if anchored else None, extra=files | extra)

    def check(self, files, *arguments):
        folder = self.write(files)
        return folder, *self.python(folder, "--key", LEDGER.vkey, *arguments)

    def trusted(self, files, ca=None):
        return self.check(files, "--tsa-ca", str((ca or self.authority) / "ca.pem"))

    def test_the_golden_ledgers_clock_is_behind_the_stamp(self):
        """The records say that they were sealed in September; the stamp that was there before them is of today."""
        folder, code, report = self.trusted(self.bundle())
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}), report["findings"])
        self.assertIn("sealed earlier than the time stamp", report["findings"][0]["what"])

    def at(self, seconds):
        """From here on the recorder's clock begins that many seconds from now."""
        self.addCleanup(setattr, make_bundle, "NOW", make_bundle.NOW)
        make_bundle.NOW = (int(time.time()) + seconds) * 10**9

    def test_what_the_response_says_beside_the_token(self):
        """Its status text is under no signature. OpenSSL prints it before the token's own time."""
        self.at(-5)
        files = self.bundle(anchored=False)
        said = time.strftime("%Y", time.gmtime())
        for text in ("x\nTime stamp: Nov 21 00:00:00 2030 GMT", "x\nTime stamp: Nov 21 00:00:00 2030 GMT\nAccuracy: 0xFFFFFF seconds"):
            forged = tokens.with_status_text(files["not-after/tsa.tsr"], text)
            folder, code, report = self.trusted({**files, "not-after/tsa.tsr": forged})
            self.assertIn("2030", self.text_of(folder / "not-after" / "tsa.tsr"), "the attack is none")
            self.assertEqual((code, report["axes"]["time"]["verdict"]), (0, "pass"), report)
            self.assertIn(f"were there at {said}", report["axes"]["time"]["reasons"][0])
            self.assertNotIn("2030", json.dumps(report))
            code, output = self.sh(folder, self.authority / "ca.pem")
            self.assertEqual((code, "2030" in output, f" {said} GMT" in output), (0, False, True), output)
        # Nor does it make a clock right that the token contradicts.
        self.at(3_600)
        files = self.bundle(anchored=False)
        forged = tokens.with_status_text(files["not-after/tsa.tsr"], text)
        _, code, report = self.trusted({**files, "not-after/tsa.tsr": forged})
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}), report)

    def text_of(self, token):
        return subprocess.run(["openssl", "ts", "-reply", "-in", str(token), "-text"], capture_output=True, text=True, check=True).stdout

    def test_text_of_a_token(self):
        stamp_time = load_verifier().stamp_time
        at = 1_795_761_764 * 10**9
        for accuracy, nanos in (("unspecified", 0), ("0x01 seconds, 0x01F4 millis, 0x64 micros", 1_500_100_000),
                                ("unspecified seconds, 0x0A millis, unspecified micros", 10_000_000)):
            for point, more in (("", 0), (".5", 500_000_000), (".123456789", 123_456_789)):
                text = f"Version: 1\nTime stamp: Nov 27 06:42:44{point} 2026 GMT\nAccuracy: {accuracy}\nOrdering: yes\n"
                self.assertEqual(stamp_time(text), (at + more, nanos))
        for wrong in ("", text + text, text + "Time stamp: x\n", text.replace("GMT", ""), text.replace("0x0A", "-0x0A"), " " + text.replace("\n", "\n ")):
            with self.assertRaises(ValueError, msg=wrong):
                stamp_time(wrong)

    def test_authoritys_accuracy_counts(self):
        """300 seconds and the one that the authority of these tests grants itself."""
        verifier = load_verifier()
        self.at(0)
        folder = self.write(self.bundle(anchored=False))
        stamped, tolerance = verifier.check_stamp(folder, "not-after/tsa.tsr", "checkpoint", shutil.which("openssl"), self.authority / "ca.pem", verifier.Report())
        self.assertEqual((stamped % 10**9, tolerance), (0, 301 * 10**9))
        for beyond, verdict in ((0, set()), (1, {"time"})):
            report = verifier.Report()
            verifier.check_time(folder, {"not-after/tsa.tsr"}, {"anchor": None}, {0: {"sealed_at": stamped + tolerance + beyond}}, None, self.authority / "ca.pem", report)
            self.assertEqual(report.failed, verdict)

    def test_openssl_in_the_bundle_is_not_run(self):
        self.at(-5)
        trace = self.place / "trace"
        folder = self.write({**self.bundle(anchored=False), "openssl": f"#!/bin/sh\n: > '{trace}'\n".encode()})
        (folder / "openssl").chmod(0o755)
        link = self.place / "link"
        link.symlink_to(folder)
        for place in (".", str(folder), str(link)):
            command = [sys.executable, "-I", "verify.py", "--key", LEDGER.vkey, "--tsa-ca", str(self.authority / "ca.pem"), "--json"]
            environment = os.environ | {"PATH": f"{place}:{os.environ['PATH']}"}
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
            report = json.loads(done.stdout)
            self.assertEqual((done.returncode, self.verdicts(report, "fail"), trace.exists()), (1, {"integrity"}, False), done.stderr)
            self.assertEqual(report["axes"]["time"]["verdict"], "incomplete")
            self.assertIn("lies in the bundle, and so was not run", report["axes"]["time"]["reasons"][0])
        # Where the PATH leads to another one from where it is run, that one is taken.
        done = subprocess.run([sys.executable, "-I", str(folder / "verify.py"), *command[3:]], cwd=self.place, env=os.environ | {"PATH": f".:{os.environ['PATH']}"},
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((json.loads(done.stdout)["axes"]["time"]["verdict"], trace.exists()), ("pass", False), done.stdout)

    def test_stamps_on_both_sides_are_good(self):
        self.at(-5)
        folder, code, report = self.trusted(self.bundle())
        self.assertEqual((code, report["axes"]["time"]["verdict"]), (0, "pass"), report)
        self.assertIn("what stands behind record 4 was sealed later than 20", report["axes"]["time"]["reasons"][1])
        code, output = self.sh(folder, self.authority / "ca.pem")
        self.assertEqual((code, "not-before.tsr: " in output), (0, True), output)

    def test_clock_is_before_the_stamp(self):
        self.at(3_600)
        _, code, report = self.trusted(self.bundle(anchored=False))
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}))
        self.assertIn("sealed later than this time stamp", report["findings"][0]["what"])

    def test_stamp_after_is_good(self):
        files = self.bundle(anchored=False)
        folder, code, report = self.trusted(files)
        self.assertEqual((code, report["axes"]["time"]["verdict"]), (0, "pass"), report)
        self.assertIn("all these records were there at 20", report["axes"]["time"]["reasons"][0])
        self.assertEqual(self.sh(folder, self.authority / "ca.pem")[0], 0)
        self.assertIs(self.sql(folder), True)

    def test_without_certificates_it_says_how_to_check(self):
        _, code, report = self.check(self.bundle(anchored=False))
        self.assertEqual((code, report["axes"]["time"]["verdict"]), (0, "incomplete"))
        self.assertIn("openssl ts -verify -in not-after/tsa.tsr -data checkpoint -CAfile TSA-CA.pem", report["axes"]["time"]["reasons"][0])

    def test_unknown_authority(self):
        folder, code, report = self.trusted(self.bundle(anchored=False), self.make_authority("other"))
        self.assertEqual((code, self.verdicts(report, "fail")), (2, set()))
        self.assertIn("time", self.verdicts(report, "incomplete"))
        self.assertTrue(any("does not lead to" in reason for reason in report["axes"]["time"]["reasons"]))
        code, output = self.sh(folder, self.place / "other" / "ca.pem")
        self.assertEqual((code, "UNKNOWN  not-after/tsa.tsr" in output, "BAD" in output), (2, True, False), output)

    def test_stamp_over_something_else(self):
        files = self.bundle(anchored=False, **{"not-after/tsa.tsr": self.stamp(b"something else")})
        folder, code, report = self.trusted(files)
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}))
        self.assertIn("not a time stamp over checkpoint", report["findings"][0]["what"])
        self.assertEqual(self.sh(folder, self.authority / "ca.pem")[0], 1)

    def test_no_stamp_at_all(self):
        _, code, report = self.trusted(self.bundle(anchored=False, **{"not-after/tsa.tsr": b"\x30\x80" * 50}))
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}))

    def test_token_that_the_anchor_does_not_hold(self):
        """Found without OpenSSL and without certificates."""
        good = self.bundle()
        folder, code, report = self.check({**good, "not-before.tsr": self.stamp(good["not-before.checkpoint"])})
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}))
        self.assertIn("record 4 does not hold the hash of this token", report["findings"][0]["what"])
        self.assertEqual(self.sh(folder)[0], 1)
        _, code, report = self.check(without(good, "not-before.checkpoint"))
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}))
        rogue = Ledger(make_bodies()[:4], seed=bytes(range(1, 33))).checkpoint(4).encode()
        _, code, report = self.check({**good, "not-before.checkpoint": rogue})
        self.assertEqual((code, self.verdicts(report, "fail")), (1, {"time"}))
        self.assertIn("unknown key", report["findings"][0]["what"])


if __name__ == "__main__":
    unittest.main()
