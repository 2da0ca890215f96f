"""The signatures of sources as docs/verifying.md has them checked, without our software.

    sources.py LEDGER DOCS WORK KEY PRODUCER EXPECTED     what the blocks say must contain EXPECTED
"""

import pathlib
import shutil
import sys

from verifying import Visit


def main():
    ledger, docs, work, key = map(pathlib.Path, sys.argv[1:5])
    producer, expected = sys.argv[5:]
    visit = Visit(ledger, docs, work)
    shutil.copyfile(key, work / f"{producer}.pub.pem")
    visit.sql()
    code, output = visit.sh("source")
    assert expected in output and (code == 0) == expected.endswith("good"), output


if __name__ == "__main__":
    main()
