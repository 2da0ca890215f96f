"""What the other tests rely on: the pinned packages, and DuckDB's own hashing and Parquet without any extension to fetch."""

import hashlib
import importlib.metadata
import os
import pathlib
import sys
import tempfile
import unittest

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")


def pins():
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield line.split("==")


class Environment(unittest.TestCase):
    def test_installed_versions_are_the_pinned_ones(self):
        wanted = dict(pins())
        self.assertGreater(len(wanted), 0)
        self.assertEqual({name: importlib.metadata.version(name) for name in wanted}, wanted)

    def test_the_tests_run_in_the_environment_that_they_are_told_of(self):
        self.assertEqual(os.environ["TACHOGRAPH_TEST_PYTHON"], sys.executable)

    def test_the_exporters_can_be_imported(self):
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

        self.assertNotEqual(Grpc, Http)


class DuckDb(unittest.TestCase):
    def setUp(self):
        import duckdb

        # Offline: nothing may be fetched behind a test's back.
        self.db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
        self.addCleanup(self.db.close)

    def one(self, query, *parameters):
        return self.db.execute(query, parameters).fetchone()[0]

    def test_sha256_of_bytes_is_that_of_the_standard_library(self):
        data = bytes([0]) + b'{"v":"1"}'
        self.assertEqual(self.one("SELECT sha256(?::BLOB)", data), hashlib.sha256(data).hexdigest())

    def test_parquet_with_zstd_is_read_as_it_lies(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "day=2026-01-01", "a.parquet")
            os.mkdir(os.path.dirname(path))
            self.db.execute(f"COPY (SELECT range AS index FROM range(1000)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
            query = f"SELECT sum(index) FROM read_parquet('{folder}/*/*.parquet', hive_partitioning = true) WHERE day = '2026-01-01'"
            self.assertEqual(self.one(query), 499_500)

    def test_json_needs_no_extension_to_be_fetched(self):
        self.assertEqual(self.one("""SELECT '{"a":{"b":"c"}}'::JSON ->> '$.a.b'"""), "c")


if __name__ == "__main__":
    unittest.main()
