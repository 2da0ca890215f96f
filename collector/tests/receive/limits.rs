use std::time::{Duration, Instant};

use tachograph_collector::receive::{Auth, Limits, Listeners, ReceiveError, Secret, bind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    desk::{Desk, count, open, until},
    wire::{JSON, PROTOBUF, TRACES, call, framed, gzip, message, post},
};

const FORMAT: (&str, &str) = ("content-type", PROTOBUF);

/// All that the server says on `stream` until it closes it, within 5 s.
async fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut said)).await;
    // A reset is a way to close, too.
    let _ = read.expect("closed in time");
    String::from_utf8_lossy(&said).into_owned()
}

async fn say(desk: &Desk, words: &str) -> TcpStream {
    let mut stream = TcpStream::connect(desk.http).await.expect("connects");
    stream.write_all(words.as_bytes()).await.expect("sends");
    stream
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let desk = open(|l| {
        l.limits.max_body_bytes = 500_000;
        l.limits.max_bytes_in_flight = 500_000;
        l.limits.retry_after = Duration::from_millis(2500);
    })
    .await;
    desk.hold(true);
    let http = desk.http;
    let first = tokio::spawn(async move { post(http, "/v1/traces", &[FORMAT], message(400_000)).await });
    until("the first is under way", || desk.waiting() == 1).await;
    assert!(count(&desk.metrics.bytes_in_flight) >= 400_000);

    let reply = post(http, "/v1/traces", &[FORMAT], message(200_000)).await;
    assert_eq!(reply.status, 429);
    assert_eq!(reply.header("retry-after"), "3");
    assert!(reply.message().contains("bytes in flight"));
    let reply = call(desk.grpc, TRACES, &[], framed(false, &message(200_000))).await;
    assert_eq!(reply.grpc_status(), 8);
    assert_eq!(reply.retry_info_ms(), Some(2500));
    // What is compressed counts as what it becomes.
    let headers = [FORMAT, ("content-encoding", "gzip")];
    let reply = post(http, "/v1/traces", &headers, gzip(&vec![0; 200_000])).await;
    assert_eq!(reply.status, 429);
    assert_eq!(count(&desk.metrics.refused_full), 3);

    desk.hold(false);
    assert_eq!(first.await.expect("no panic").status, 200);
    let reply = post(http, "/v1/traces", &[FORMAT], message(200_000)).await;
    assert_eq!(reply.status, 200);
    assert_eq!(count(&desk.metrics.bytes_in_flight), 0);
}

#[tokio::test]
async fn what_can_never_fit_is_not_to_be_sent_again() {
    let desk = open(|l| {
        l.limits.max_body_bytes = 100_000;
        l.limits.max_bytes_in_flight = 100_000;
    })
    .await;
    // JSON needs room for the text and for what it becomes.
    let body = format!(r#"{{"resourceSpans":[{{"schemaUrl":"{}"}}]}}"#, "x".repeat(90_000));
    let reply = post(desk.http, "/v1/traces", &[("content-type", JSON)], body).await;
    assert_eq!(reply.status, 413);
    assert!(reply.message().contains("max_bytes_in_flight"));
}

#[tokio::test]
async fn a_body_that_does_not_come_frees_its_place() {
    let desk = open(|l| l.limits.request_timeout = Duration::from_millis(300)).await;
    let head = "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n";
    let begun = Instant::now();
    let stream = say(&desk, &format!("{head}content-length: 100000\r\n\r\nsome")).await;
    until("the body is awaited", || count(&desk.metrics.bytes_in_flight) > 0).await;
    // Only what came is held, not what was announced.
    assert!(count(&desk.metrics.bytes_in_flight) < 10_000);
    let said = rest(stream).await;
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    assert!(said.contains("retry-after: 5"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(count(&desk.metrics.refused_timeout), 1);
    assert_eq!(count(&desk.metrics.bytes_in_flight), 0);

    // A byte now and then does not help.
    let mut stream = say(&desk, &format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
    for _ in 0..20 {
        if stream.write_all(b"1\r\nx\r\n").await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    until("the second times out", || count(&desk.metrics.refused_timeout) == 2).await;
    assert!(desk.taken().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let desk = open(|_| {}).await;
    let head =
        "POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\ncontent-length: 10\r\n\r\n";
    // Once while its body is read, once while its export is made durable.
    for (body, waiting) in [("some", 0), ("0123456789", 1)] {
        desk.hold(true);
        let stream = say(&desk, &format!("{head}{body}")).await;
        until("it is under way", || count(&desk.metrics.bytes_in_flight) > 0 && desk.waiting() == waiting).await;
        drop(stream);
        until("its place is free", || count(&desk.metrics.bytes_in_flight) == 0).await;
    }
    assert!(desk.taken().is_empty());
    assert_eq!(count(&desk.metrics.acknowledged), 0);
}

#[tokio::test]
async fn clients_that_do_not_ask_are_closed() {
    let desk = open(|l| {
        l.limits.header_read_timeout = Duration::from_millis(200);
        l.limits.idle_timeout = Duration::from_millis(400);
    })
    .await;
    let silent = say(&desk, "").await;
    let undecided = say(&desk, "PRI * HTTP/2").await;
    let half_a_head = say(&desk, "POST /v1/traces HTTP/1.1\r\nhost:").await;
    let preface_alone = say(&desk, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    for stream in [silent, undecided, half_a_head, preface_alone] {
        rest(stream).await;
    }
    until("all are closed", || count(&desk.metrics.connections_open) == 0).await;
    assert_eq!(count(&desk.metrics.connections), 4);
}

#[tokio::test]
async fn connections_are_bounded() {
    let desk = open(|l| l.limits.max_connections = 1).await;
    let first = say(&desk, "").await;
    until("the first is open", || count(&desk.metrics.connections_open) == 1).await;
    let http = desk.http;
    let mut second = tokio::spawn(async move { post(http, "/v1/traces", &[FORMAT], "x").await });
    let early = timeout(Duration::from_millis(200), &mut second).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert_eq!(second.await.expect("no panic").status, 200);
}

#[tokio::test]
async fn settings_that_cannot_work_are_all_named() {
    let listeners = Listeners {
        http: Some(([127, 0, 0, 1], 0).into()),
        limits: Limits { max_connections: 0, max_body_bytes: 10, max_bytes_in_flight: 5, ..Limits::default() },
        auth: Auth { tokens: vec![Secret::new("")] },
        ..Listeners::default()
    };
    let Err(ReceiveError::Settings(problems)) = bind(listeners, Default::default()).await else {
        panic!("bound");
    };
    assert_eq!(problems.len(), 3, "{problems:?}");
}
