use std::time::Duration;

use bytes::Bytes;
use http::{Method, Version};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tachograph_collector::{
    intake::{Refusal, Signal},
    receive::Secret,
};
use tokio::time::timeout;

use crate::{
    desk::{RECEIPT, count, open, until},
    wire::{Ask, JSON, PROTOBUF, gzip, message, post, zstd},
};

const ONE_SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"chat","kind":2,"startTimeUnixNano":"1544712660000000000","attributes":[{"key":"gen_ai.usage.input_tokens","value":{"intValue":"7"}}]}]}]}]}"#;

#[tokio::test]
async fn every_encoding_version_and_port() {
    let desk = open(|_| {}).await;
    let plain = message(200_000);
    for addr in [desk.http, desk.grpc] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for (encoding, body) in [("identity", plain.clone()), ("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
                let ask = Ask {
                    version,
                    method: Method::POST,
                    path: "/v1/logs",
                    headers: &[("content-type", PROTOBUF), ("content-encoding", encoding)],
                    body: body.into(),
                };
                let reply = ask.to(addr).await;
                assert_eq!(reply.status, 200, "{version:?} {encoding}");
                assert_eq!(reply.header("content-type"), PROTOBUF);
                assert!(reply.body.is_empty());
            }
        }
    }
    let taken = desk.taken();
    assert_eq!(taken.len(), 12);
    assert!(taken.iter().all(|t| t.0 == Signal::Logs && t.1 == plain));
    assert_eq!(count(&desk.metrics.bytes_in_flight), 0);
}

#[tokio::test]
async fn json_arrives_as_protobuf() {
    let desk = open(|_| {}).await;
    let bodies = [
        (None, ONE_SPAN.as_bytes().to_vec()),
        (Some("gzip"), gzip(ONE_SPAN.as_bytes())),
        (Some("zstd"), zstd(ONE_SPAN.as_bytes())),
    ];
    for (encoding, body) in bodies {
        let mut headers = vec![("content-type", "application/json; charset=utf-8")];
        headers.extend(encoding.map(|e| ("content-encoding", e)));
        let reply = post(desk.http, "/v1/traces", &headers, body).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), JSON);
        assert_eq!(reply.body, "{}");
    }
    let taken = desk.taken();
    assert_eq!(taken.len(), 3);
    for (signal, protobuf) in taken {
        assert_eq!(signal, Signal::Traces);
        let request = ExportTraceServiceRequest::decode(protobuf).expect("protobuf");
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.name.as_str(), span.kind), ("chat", 2));
        assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_000);
    }
}

#[tokio::test]
async fn large_json_goes_the_same_way() {
    let desk = open(|_| {}).await;
    let span = r#"{"name":"a span of some length, so that many of them make a body of some size"}"#;
    let spans = vec![span; 5000].join(",");
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let reply = post(desk.http, "/v1/traces", &[("content-type", JSON)], body).await;
    assert_eq!(reply.status, 200);
    let request = ExportTraceServiceRequest::decode(desk.taken()[0].1.clone()).expect("protobuf");
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 5000);
    assert_eq!(count(&desk.metrics.bytes_in_flight), 0);
}

#[tokio::test]
async fn broken_json_names_the_field() {
    let desk = open(|_| {}).await;
    let wrong = ONE_SPAN.replace("eee19b7ec3c1b174", "span one");
    let surrogate = ONE_SPAN.replace("chat", "\\ud83d!");
    for (body, words) in [
        (wrong, "resourceSpans[0].scopeSpans[0].spans[0].spanId: expected"),
        (surrogate, "resourceSpans[0].scopeSpans[0].spans[0].name: "),
        ("{".into(), "body: "),
    ] {
        let reply = post(desk.http, "/v1/traces", &[("content-type", JSON)], body).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.rpc_status().code, 3);
        assert!(reply.message().starts_with(words), "{}", reply.message());
    }
    assert_eq!(count(&desk.metrics.refused_malformed), 3);
    assert!(desk.taken().is_empty());
}

#[tokio::test]
async fn requests_that_are_not_served() {
    let desk = open(|_| {}).await;
    let protobuf = ("content-type", PROTOBUF);
    let json = ("content-type", JSON);
    type Headers<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Method, &str, Headers<'_>, u16, &str); 9] = [
        (Method::POST, "/v1/metrics", &[protobuf], 501, "metrics belong elsewhere"),
        (Method::POST, "/v1/metrics", &[json], 501, "metrics belong elsewhere"),
        (Method::GET, "/v1/traces", &[protobuf], 405, "use POST"),
        (Method::PUT, "/v1/logs", &[json], 405, "use POST"),
        (Method::POST, "/v1/traces", &[("content-type", "text/plain")], 415, "`text/plain`"),
        (Method::POST, "/v1/traces", &[], 415, "content type"),
        (Method::POST, "/v1/traces", &[protobuf, ("content-encoding", "br")], 415, "`br`"),
        (Method::POST, "/", &[protobuf], 404, "/v1/traces"),
        (Method::POST, "/v1/traces/", &[json], 404, "/v1/traces"),
    ];
    for (method, path, headers, status, words) in cases {
        let ask = Ask { version: Version::HTTP_11, method, path, headers, body: Bytes::from_static(b"{}") };
        let reply = ask.to(desk.http).await;
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.message().contains(words), "{}", reply.message());
        let as_asked = headers.contains(&protobuf);
        assert_eq!(reply.header("content-type") == PROTOBUF, as_asked);
        assert_eq!(reply.header("allow"), if status == 405 { "POST" } else { "" });
    }
    assert_eq!(count(&desk.metrics.refused_unsupported), 9);
}

#[tokio::test]
async fn refusals_tell_the_sender_what_to_do() {
    let desk = open(|_| {}).await;
    let full = |ms| Refusal::Full { retry_after: Duration::from_millis(ms), what: "journal" };
    let failed = Refusal::Failed { reason: "disk".into() };
    let malformed = Refusal::Malformed { field: "f".into(), reason: "r".into() };
    for (refusal, status, code, retry_after) in [
        (full(10), 429, 8, "1"),
        (full(2100), 429, 8, "3"),
        (Refusal::Stopping, 503, 14, "5"),
        (Refusal::Closed, 503, 14, "5"),
        (failed, 503, 14, "5"),
        (malformed, 400, 3, ""),
    ] {
        desk.refuse(refusal);
        for (format, body) in [(PROTOBUF, ""), (JSON, "{}")] {
            let reply = post(desk.http, "/v1/logs", &[("content-type", format)], body).await;
            assert_eq!(reply.status, status);
            assert_eq!(reply.header("content-type"), format);
            assert_eq!(reply.rpc_status().code, code);
            assert_eq!(reply.header("retry-after"), retry_after);
        }
    }
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
    for (encoding, body, setting) in [
        // Much more than the limit: the client still sends when the answer is clear.
        ("identity", message(180_000), "max_body_bytes"),
        ("gzip", gzip(&zeros), "max_decompressed_bytes"),
        ("zstd", zstd(&zeros), "max_decompressed_bytes"),
        // Two gzip members, each within the limit.
        ("gzip", [gzip(&zeros[..600_000]), gzip(&zeros[..600_000])].concat(), "max_decompressed_bytes"),
    ] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let reply = post(desk.http, "/v1/traces", &headers, body).await;
        assert_eq!(reply.status, 413, "{encoding}");
        assert!(reply.message().contains(setting), "{}", reply.message());
        assert_eq!(reply.header("retry-after"), "");
    }
    assert_eq!(count(&desk.metrics.refused_too_large), 4);
    assert_eq!(count(&desk.metrics.bytes_in_flight), 0);
}

/// 64 MiB of zeros are a few thousand bytes of zstd. The default limits stop a bomb of any size at its first byte too many.
#[tokio::test]
async fn a_bomb_is_stopped_while_it_inflates() {
    let desk = open(|l| l.limits.max_decompressed_bytes = 4 << 20).await;
    let mut bomb = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("starts");
    let zeros = vec![0; 1 << 20];
    for _ in 0..256 {
        std::io::Write::write_all(&mut bomb, &zeros).expect("writes to memory");
    }
    let bomb = bomb.finish().expect("writes to memory");
    assert!(bomb.len() < 64 * 1024, "{}", bomb.len());
    let headers = [("content-type", PROTOBUF), ("content-encoding", "zstd")];
    let reply = post(desk.http, "/v1/traces", &headers, bomb).await;
    assert_eq!(reply.status, 413);
}

#[tokio::test]
async fn a_zstd_frame_cannot_ask_for_a_large_window() {
    let desk = open(|_| {}).await;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("starts");
    encoder.window_log(27).expect("a valid window");
    std::io::Write::write_all(&mut encoder, b"small").expect("writes to memory");
    let body = encoder.finish().expect("writes to memory");
    let headers = [("content-type", PROTOBUF), ("content-encoding", "zstd")];
    let reply = post(desk.http, "/v1/traces", &headers, body).await;
    assert_eq!(reply.status, 400);
    assert!(reply.message().contains("memory"), "{}", reply.message());
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_malformed() {
    let desk = open(|_| {}).await;
    let mut cut = gzip(&message(10_000));
    cut.truncate(5_000);
    let mut changed = zstd(&message(10_000));
    changed.truncate(5_000);
    for (encoding, body) in [("gzip", cut), ("zstd", changed), ("gzip", vec![])] {
        let headers = [("content-type", PROTOBUF), ("content-encoding", encoding)];
        let reply = post(desk.http, "/v1/traces", &headers, body).await;
        assert_eq!(reply.status, 400, "{encoding}");
    }
    assert!(desk.taken().is_empty());
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let desk = open(|_| {}).await;
    desk.hold(true);
    let http = desk.http;
    let mut sending = tokio::spawn(async move { post(http, "/v1/traces", &[("content-type", PROTOBUF)], "x").await });
    until("the export arrives", || desk.waiting() == 1).await;
    let early = timeout(Duration::from_millis(200), &mut sending).await;
    assert!(early.is_err(), "answered before it was durable: {early:?}");
    desk.hold(false);
    assert_eq!(sending.await.expect("no panic").status, 200);
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let desk = open(|l| l.auth.tokens = vec![Secret::new("one"), Secret::new("two")]).await;
    let format = ("content-type", JSON);
    for headers in [&[format][..], &[format, ("authorization", "Bearer three")]] {
        let reply = post(desk.http, "/v1/traces", headers, "{}").await;
        assert_eq!(reply.status, 401);
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        assert_eq!(reply.rpc_status().code, 16);
    }
    for token in ["Bearer one", "bearer two"] {
        let headers = [format, ("authorization", token)];
        let reply = post(desk.http, "/v1/traces", &headers, "{}").await;
        assert_eq!(reply.status, 200);
    }
    assert_eq!(count(&desk.metrics.refused_unauthenticated), 2);
}

#[tokio::test]
async fn a_receipt_comes_in_a_header_if_it_was_asked_for() {
    let desk = open(|_| {}).await;
    for (content_type, body) in [(PROTOBUF, ""), (JSON, "{}")] {
        let asking = [("content-type", content_type), ("tachograph-receipts", "1")];
        let reply = post(desk.http, "/v1/traces", &asking, body).await;
        assert_eq!((reply.status.as_u16(), reply.header("tachograph-receipt")), (200, RECEIPT));
        let reply = post(desk.http, "/v1/traces", &[("content-type", content_type)], body).await;
        assert_eq!((reply.status.as_u16(), reply.header("tachograph-receipt")), (200, ""));
    }
}
