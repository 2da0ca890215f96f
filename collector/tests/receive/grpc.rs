use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use tachograph_collector::{
    intake::{Refusal, Signal},
    receive::Secret,
};

use crate::{
    desk::{RECEIPT, count, open},
    wire::{Ask, LOGS, TRACES, call, framed, gzip, message, zstd},
};

#[tokio::test]
async fn the_clients_of_the_opentelemetry_project_are_served() {
    let desk = open(|_| {}).await;
    let spans = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![Span { name: "chat".into(), ..Span::default() }; 500],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    // Both ports speak gRPC.
    for addr in [desk.grpc, desk.http] {
        let mut client = TraceServiceClient::connect(format!("http://{addr}")).await.expect("connects");
        for _ in 0..3 {
            let answer = client.export(spans.clone()).await.expect("accepted");
            assert_eq!(answer.into_inner().partial_success, None);
        }
    }
    let mut client = LogsServiceClient::connect(format!("http://{}", desk.grpc)).await.expect("connects");
    client.export(ExportLogsServiceRequest::default()).await.expect("accepted");

    let taken = desk.taken();
    assert_eq!(taken.len(), 7);
    let sent = Bytes::from(spans.encode_to_vec());
    assert!(taken[..6].iter().all(|t| *t == (Signal::Traces, sent.clone())));
    assert_eq!(taken[6], (Signal::Logs, Bytes::new()));
    let metrics = &desk.metrics;
    assert_eq!(count(&metrics.requests_traces), 6);
    assert_eq!(count(&metrics.requests_logs), 1);
    assert_eq!(count(&metrics.acknowledged), 7);
    assert_eq!(count(&metrics.records), 21);
    assert_eq!(count(&metrics.duplicate_records), 14);
    assert_eq!(count(&metrics.rejected_records), 7);
    assert_eq!(count(&metrics.protobuf_bytes), 6 * sent.len() as u64);
}

#[tokio::test]
async fn the_client_reads_why_it_was_refused() {
    let desk = open(|_| {}).await;
    desk.refuse(Refusal::Malformed { field: "resource_spans[0]".into(), reason: "50 % \u{fc}berlang".into() });
    let mut client = TraceServiceClient::connect(format!("http://{}", desk.grpc)).await.expect("connects");
    let status = client.export(ExportTraceServiceRequest::default()).await.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(status.message(), "resource_spans[0]: 50 % \u{fc}berlang");
}

#[tokio::test]
async fn gzip_zstd_and_no_compression() {
    let desk = open(|_| {}).await;
    let plain = message(300_000);
    let bodies = [
        ("identity", framed(false, &plain)),
        ("gzip", framed(true, &gzip(&plain))),
        ("zstd", framed(true, &zstd(&plain))),
        // An encoding is announced, but this message does not use it.
        ("gzip", framed(false, &plain)),
    ];
    for (encoding, body) in bodies {
        let reply = call(desk.grpc, LOGS, &[("grpc-encoding", encoding)], body).await;
        assert_eq!(reply.grpc_status(), 0, "{reply:?}");
        assert_eq!(&reply.body[..], [0; 5]);
    }
    let taken = desk.taken();
    assert_eq!(taken.len(), 4);
    assert!(taken.iter().all(|t| t.0 == Signal::Logs && t.1 == plain));
}

#[tokio::test]
async fn what_is_not_recorded_is_unimplemented() {
    let desk = open(|_| {}).await;
    let metrics = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    let profiles = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    for (path, words) in [
        (metrics, "metrics belong elsewhere"),
        (profiles, "profiles belong elsewhere"),
        ("/grpc.health.v1.Health/Check", "nothing at"),
    ] {
        let reply = call(desk.grpc, path, &[], framed(false, b"")).await;
        assert_eq!(reply.grpc_status(), 12);
        assert!(reply.message().contains(words), "{}", reply.message());
    }
    let reply = call(desk.grpc, TRACES, &[("grpc-encoding", "snappy")], framed(true, b"x")).await;
    assert_eq!(reply.grpc_status(), 12);
    assert_eq!(reply.header("grpc-accept-encoding"), "identity,gzip,zstd");
    assert_eq!(count(&desk.metrics.refused_unsupported), 4);
    assert!(desk.taken().is_empty());
}

#[tokio::test]
async fn refusals_tell_the_sender_what_to_do() {
    let desk = open(|_| {}).await;
    let full = Refusal::Full { retry_after: Duration::from_millis(1500), what: "journal" };
    let failed = Refusal::Failed { reason: "disk".into() };
    for (refusal, code, retry, words) in [
        (full, 8, Some(1500), "journal"),
        (Refusal::Stopping, 14, Some(5000), "shutting down"),
        (Refusal::Closed, 14, Some(5000), "this ledger is closed"),
        (failed, 14, Some(5000), "disk"),
    ] {
        desk.refuse(refusal);
        let reply = call(desk.grpc, TRACES, &[], framed(false, b"")).await;
        assert_eq!(reply.grpc_status(), code);
        assert_eq!(reply.rpc_status().code, code);
        assert_eq!(reply.retry_info_ms(), retry);
        assert!(reply.message().contains(words), "{}", reply.message());
    }
    desk.refuse(Refusal::Malformed { field: "spans[3]".into(), reason: "bad".into() });
    let reply = call(desk.grpc, TRACES, &[], framed(false, b"")).await;
    assert_eq!(reply.grpc_status(), 3);
    assert_eq!(reply.retry_info_ms(), None);
    assert_eq!(reply.rpc_status().details.len(), 1, "BadRequest");
    let metrics = &desk.metrics;
    assert_eq!(count(&metrics.refused_full), 1);
    assert_eq!(count(&metrics.refused_stopping), 1);
    assert_eq!(count(&metrics.refused_failed), 1);
    assert_eq!(count(&metrics.refused_malformed), 1);
    assert_eq!(count(&metrics.acknowledged), 0);
}

#[tokio::test]
async fn too_much_is_not_to_be_sent_again() {
    let desk = open(|l| {
        l.limits.max_body_bytes = 100_000;
        l.limits.max_decompressed_bytes = 1_000_000;
        l.limits.max_bytes_in_flight = 10_000_000;
    })
    .await;
    let zeros = vec![0; 1_000_001];
    let bodies = [
        ("identity", framed(false, &message(100_001)), "max_body_bytes"),
        ("gzip", framed(true, &gzip(&zeros)), "max_decompressed_bytes"),
        ("zstd", framed(true, &zstd(&zeros)), "max_decompressed_bytes"),
    ];
    for (encoding, body, setting) in bodies {
        let reply = call(desk.grpc, TRACES, &[("grpc-encoding", encoding)], body).await;
        assert_eq!(reply.grpc_status(), 3);
        assert_eq!(reply.retry_info_ms(), None);
        assert!(reply.message().contains(setting), "{}", reply.message());
    }
    assert_eq!(count(&desk.metrics.refused_too_large), 3);
    // The limits themselves are allowed.
    let reply = call(desk.grpc, TRACES, &[], framed(false, &message(100_000))).await;
    assert_eq!(reply.grpc_status(), 0);
    let just = framed(true, &gzip(&zeros[1..]));
    let reply = call(desk.grpc, TRACES, &[("grpc-encoding", "gzip")], just).await;
    assert_eq!(reply.grpc_status(), 0);
    assert_eq!(count(&desk.metrics.bytes_in_flight), 0);
}

#[tokio::test]
async fn broken_framing_is_malformed() {
    let desk = open(|_| {}).await;
    let whole = framed(false, b"12345");
    let mut two = whole.to_vec();
    two.extend_from_slice(&whole);
    let mut flag = whole.to_vec();
    flag[0] = 7;
    let bodies = [
        (Bytes::new(), "no whole gRPC message"),
        (whole.slice(..4), "no whole gRPC message"),
        (whole.slice(..8), "ends after 3 of 5 bytes"),
        (two.into(), "more than one"),
        (flag.into(), "flag 7"),
        (framed(true, b"12345"), "does not say how"),
    ];
    for (body, words) in bodies {
        let reply = call(desk.grpc, TRACES, &[], body).await;
        assert_eq!(reply.grpc_status(), 3);
        assert!(reply.message().contains(words), "{}", reply.message());
    }
    let broken = framed(true, b"this is not gzip");
    let reply = call(desk.grpc, TRACES, &[("grpc-encoding", "gzip")], broken).await;
    assert_eq!(reply.grpc_status(), 3);
    assert_eq!(count(&desk.metrics.refused_malformed), 7);
}

#[tokio::test]
async fn grpc_over_http1_is_refused() {
    let desk = open(|_| {}).await;
    let ask = Ask {
        version: http::Version::HTTP_11,
        method: http::Method::POST,
        path: TRACES,
        headers: &[("content-type", "application/grpc")],
        body: framed(false, b""),
    };
    assert_eq!(ask.to(desk.grpc).await.status, 505);
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let desk = open(|l| l.auth.tokens = vec![Secret::new("right")]).await;
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        let reply = call(desk.grpc, TRACES, headers, framed(false, b"")).await;
        assert_eq!(reply.grpc_status(), 16);
    }
    let right = [("authorization", "Bearer right")];
    let reply = call(desk.grpc, TRACES, &right, framed(false, b"")).await;
    assert_eq!(reply.grpc_status(), 0);
    assert_eq!(count(&desk.metrics.refused_unauthenticated), 2);
}

#[tokio::test]
async fn a_receipt_comes_in_the_trailers_if_it_was_asked_for() {
    let desk = open(|_| {}).await;
    for (headers, expected) in [
        (&[("tachograph-receipts", "1")][..], RECEIPT),
        (&[], ""),
        // A version that is not known here.
        (&[("tachograph-receipts", "2")], ""),
    ] {
        let reply = call(desk.grpc, TRACES, headers, framed(false, b"")).await;
        assert_eq!((reply.grpc_status(), reply.header("tachograph-receipt")), (0, expected), "{headers:?}");
        assert!(!reply.headers.contains_key("tachograph-receipt"));
    }
    // The generated client finds it in the answer's metadata.
    let mut client = TraceServiceClient::connect(format!("http://{}", desk.grpc)).await.expect("connects");
    let mut request = tonic::Request::new(ExportTraceServiceRequest::default());
    request.metadata_mut().insert("tachograph-receipts", "1".parse().unwrap());
    let answer = client.export(request).await.expect("accepted");
    assert_eq!(answer.metadata().get("tachograph-receipt").unwrap(), RECEIPT);
    // What is refused has none.
    desk.refuse(Refusal::Stopping);
    let reply = call(desk.grpc, TRACES, &[("tachograph-receipts", "1")], framed(false, b"")).await;
    assert_eq!((reply.grpc_status(), reply.header("tachograph-receipt")), (14, ""));
}
