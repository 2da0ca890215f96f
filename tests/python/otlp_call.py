"""One OTLP/gRPC export of one span, without any retry; prints how it was answered as JSON."""

import json
import sys

import grpc
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

DETAILS = "grpc-status-details-bin"


def main():
    endpoint, name = sys.argv[1:]
    span = Span(trace_id=name.encode().ljust(16)[:16], span_id=b"otlpcall", name=name, start_time_unix_nano=1, end_time_unix_nano=2)
    # A span that no small remainder of a disk takes.
    span.trace_state = "x" * 500_000
    request = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
    answer = {"code": "OK", "message": "", "retry_delay_seconds": None}
    with grpc.insecure_channel(endpoint) as channel:
        try:
            TraceServiceStub(channel).Export(request, timeout=20)
        except grpc.RpcError as error:
            answer.update(code=error.code().name, message=error.details())
            details = dict(error.trailing_metadata() or ()).get(DETAILS)
            if details is not None:
                for detail in status_pb2.Status.FromString(details).details:
                    retry = error_details_pb2.RetryInfo()
                    if detail.Unpack(retry):
                        answer["retry_delay_seconds"] = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
