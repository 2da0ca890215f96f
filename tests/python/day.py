"""Three questions to a day of an archive in a directory: `day.py ARCHIVE OUTPUT_PATH`. Prints as JSON how many seconds each took."""

import json
import sys
import time

import duckdb

QUESTIONS = {
    "count": "SELECT count(*) FROM {records}",
    "by_output_path": "SELECT index, body FROM {records} WHERE output_path = $path",
    "cost_by_team": "SELECT team, sum(cost), sum(tokens_in) FROM {records} GROUP BY team",
}


def main(archive, path):
    db = duckdb.connect()
    records = f"read_parquet('{archive}/records/**/*.parquet', hive_partitioning = true)"
    took = {}
    for name, question in QUESTIONS.items():
        began = time.monotonic()
        rows = db.execute(question.format(records=records), {"path": path} if "$path" in question else None).fetchall()
        took[name] = round(time.monotonic() - began, 3)
        if not rows or (name == "by_output_path" and len(rows) != 1):
            sys.exit(f"{name}: {len(rows)} rows")
    print(json.dumps(took))


main(*sys.argv[1:])
