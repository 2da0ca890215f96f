"""What the scripts beside this one do with the vectors that they make: write their file, or with --check compare it."""

import json
import pathlib
import sys


def write(name, vectors, usage, ensure_ascii=False):
    """The file `name` in this folder, as JSON; `usage` is told to whoever gives other arguments than --check."""
    path = pathlib.Path(__file__).with_name(name)
    text = json.dumps(vectors, indent=1, ensure_ascii=ensure_ascii) + "\n"
    if sys.argv[1:] == ["--check"]:
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path.name} differs from what this script makes")
    elif sys.argv[1:]:
        sys.exit(usage)
    else:
        path.write_text(text, encoding="utf-8")
