"""One record by its output path, out of an archive in a bucket: `lookup.py ENDPOINT BUCKET PATH [DAY]`.

Prints what DuckDB found and how long it took, as JSON; credentials come from the environment. DuckDB's extension for S3 comes
as a package of DuckDB's own version.
"""

import importlib.util
import json
import os
import pathlib
import sys
import time

import duckdb


def extension():
    spec = importlib.util.find_spec("duckdb_extension_httpfs")
    if spec is None:
        sys.exit(f"pip install duckdb-extension-httpfs=={duckdb.__version__}")
    found = pathlib.Path(next(iter(spec.submodule_search_locations)))
    return found / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"


def connect(endpoint):
    db = duckdb.connect()
    db.execute(f"LOAD '{extension()}'")
    host = endpoint.removeprefix("http://")
    db.execute(
        f"CREATE SECRET (TYPE s3, KEY_ID '{os.environ['AWS_ACCESS_KEY_ID']}', SECRET '{os.environ['AWS_SECRET_ACCESS_KEY']}', "
        f"REGION '{os.environ['AWS_REGION']}', ENDPOINT '{host}', URL_STYLE 'path', USE_SSL false)"
    )
    return db


def main(endpoint, bucket, path, day=None):
    db = connect(endpoint)
    for setting in os.environ.get("LOOKUP_SETTINGS", "").split(";"):
        if setting:
            db.execute(setting)
    records = f"read_parquet('s3://{bucket}/records/**/*.parquet', hive_partitioning = true)"
    where = "output_path = ?" + (" AND day = ?" if day else "")
    arguments = [path] + ([day] if day else [])
    began = time.monotonic()
    rows = db.execute(f"SELECT index, actor_id, body FROM {records} WHERE {where}", arguments).fetchall()
    seconds = time.monotonic() - began
    if any(f'"output_path":"{path}"' not in body for _, _, body in rows):
        sys.exit("the wrong record")
    print(json.dumps({"path": path, "day": day, "found": len(rows), "seconds": round(seconds, 3), "duckdb": duckdb.__version__}))


main(*sys.argv[1:])
