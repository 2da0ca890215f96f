"""A program that is instrumented with the OpenTelemetry SDK, as a user's would be: batches, gzip, GenAI attributes, logs.

Prints one JSON object: the spans and logs that it made, and those that the exporter was told are taken.
"""

import argparse
import base64
import json
import time

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

TIMEOUT_SECONDS = 60


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=["grpc", "http"], required=True)
    parser.add_argument("--endpoint", required=True, help="host:port")
    parser.add_argument("--spans", type=int, required=True)
    parser.add_argument("--logs", type=int, default=0)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--pause-ms", type=float, default=0)
    parser.add_argument("--receipts", help="ask for receipts and add them to this file")
    return parser.parse_args()


def receipt_lines(answer):
    """The lines of a receipts file from what an answer says, as docs/format.md has both."""
    version, ledger, *runs = answer.split(" ")
    assert version == "v1", answer
    for run in runs:
        if run.startswith("+"):
            continue
        indexes, _, encoded = run.partition(":")
        first, _, last = indexes.partition("-")
        first, last = int(first), int(last or first)
        packed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).hex()
        hashes = [packed[at : at + 64] for at in range(0, len(packed), 64)]
        hashes = ["-"] * (last - first + 1 - len(hashes)) + hashes
        for index, leaf_hash in zip(range(first, last + 1), hashes, strict=True):
            yield f"tachograph-receipt/v1 {ledger} {index} {leaf_hash} -\n"


class Receipts:
    """Makes exporters ask for receipts, and adds those of the answers to a file."""

    HEADER = {"tachograph-receipts": "1"}

    def __init__(self, path):
        self._file = open(path, "a", encoding="ascii")

    def keep(self, answer):
        if answer:
            self._file.write("".join(receipt_lines(answer)))
            self._file.flush()

    def http_options(self):
        import requests

        session = requests.Session()
        session.hooks["response"].append(lambda answer, *_, **__: self.keep(answer.headers.get("tachograph-receipt")))
        return {"session": session, "headers": self.HEADER}

    def intercept_grpc(self, exporter):
        import grpc

        keep = self.keep

        class Interceptor(grpc.UnaryUnaryClientInterceptor):
            def intercept_unary_unary(self, continuation, details, request):
                call = continuation(details, request)
                keep(dict(call.trailing_metadata() or ()).get("tachograph-receipt"))
                return call

        exporter._client = exporter._stub(grpc.intercept_channel(exporter._channel, Interceptor()))
        return exporter


def exporters(protocol, endpoint, receipts):
    if protocol == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        options = {"insecure": True, "compression": grpc.Compression.Gzip, "timeout": TIMEOUT_SECONDS}
        if not receipts:
            return OTLPSpanExporter(endpoint=endpoint, **options), OTLPLogExporter(endpoint=endpoint, **options)
        options["headers"] = receipts.HEADER
        made = OTLPSpanExporter(endpoint=endpoint, **options), OTLPLogExporter(endpoint=endpoint, **options)
        return tuple(receipts.intercept_grpc(exporter) for exporter in made)

    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    options = {"compression": Compression.Gzip, "timeout": TIMEOUT_SECONDS}
    options |= receipts.http_options() if receipts else {}
    url = f"http://{endpoint}/v1/"
    return OTLPSpanExporter(endpoint=url + "traces", **options), OTLPLogExporter(endpoint=url + "logs", **options)


class Book:
    """Notes what an exporter reports, and passes everything on."""

    def __init__(self, exporter, success, name):
        self._exporter, self._success, self._name = exporter, success, name
        self.acknowledged = []

    def export(self, batch):
        result = self._exporter.export(batch)
        if result == self._success:
            self.acknowledged.extend(self._name(item) for item in batch)
        return result

    def __getattr__(self, name):
        return getattr(self._exporter, name)


def span_name(span):
    return f"{span.context.trace_id:032x}/{span.context.span_id:016x}"


def log_name(log):
    return log.log_record.attributes["test.number"]


def make_span(tracer, number):
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-4",
        "gen_ai.response.model": "claude-opus-4-20260101",
        "gen_ai.response.id": f"msg-{number}",
        "gen_ai.request.temperature": 0.25,
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.usage.input_tokens": 100 + number,
        "gen_ai.usage.output_tokens": 200,
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": f"Frage {number} für Zoë"}]}]),
        "gen_ai.conversation.id": f"conversation-{number // 10}",
        "enduser.id": f"user-{number % 7}",
        "app.feature": "loan-advice",
        "app.tags": ["a", "b"],
    }
    with tracer.start_as_current_span("chat claude-opus-4", kind=SpanKind.CLIENT, attributes=attributes) as span:
        span.add_event("first token", {"ms": 12})
        if number % 10 == 3:
            span.set_status(Status(StatusCode.ERROR, "overloaded"))
            span.set_attribute("error.type", "overloaded_error")
    return span


def main():
    arguments = parse_arguments()
    resource = Resource.create({"service.name": "advice", "deployment.environment.name": "test"})
    receipts = Receipts(arguments.receipts) if arguments.receipts else None
    span_exporter, log_exporter = exporters(arguments.protocol, arguments.endpoint, receipts)
    spans = Book(span_exporter, SpanExportResult.SUCCESS, span_name)
    logs = Book(log_exporter, LogRecordExportResult.SUCCESS, log_name)

    tracing = TracerProvider(resource=resource)
    limits = {"max_queue_size": 100_000, "schedule_delay_millis": 50, "max_export_batch_size": arguments.batch}
    tracing.add_span_processor(BatchSpanProcessor(spans, **limits))
    logging = LoggerProvider(resource=resource)
    logging.add_log_record_processor(BatchLogRecordProcessor(logs, **limits))

    tracer, logger = tracing.get_tracer("test.client", "1.2.3"), logging.get_logger("test.client")
    made = []
    for number in range(arguments.spans):
        made.append(span_name(make_span(tracer, number)))
        time.sleep(arguments.pause_ms / 1000)
    for number in range(arguments.logs):
        logger.emit(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.WARN,
            severity_text="WARN",
            body=f"policy {number} was overridden",
            attributes={"test.number": number, "tachograph.kind": "policy", "user.id": "officer-1"},
            event_name="policy.override",
        )
    tracing.force_flush(TIMEOUT_SECONDS * 1000)
    logging.force_flush(TIMEOUT_SECONDS * 1000)
    tracing.shutdown()
    logging.shutdown()
    print(json.dumps({"spans": made, "spans_acknowledged": spans.acknowledged, "logs_acknowledged": logs.acknowledged}))


if __name__ == "__main__":
    main()
