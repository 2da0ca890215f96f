"""The golden files come out the same when an independent program makes them again: Python's standard library alone."""

import pathlib
import subprocess
import sys
import unittest

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"


class GoldenFiles(unittest.TestCase):
    def test_every_script_reproduces_its_file(self):
        scripts = sorted(GOLDEN.glob("make_*_vectors.py"))
        self.assertGreaterEqual(len(scripts), 2)
        for script in scripts:
            with self.subTest(script.name):
                done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
