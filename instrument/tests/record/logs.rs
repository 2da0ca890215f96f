//! Log records go the way of spans: numbered in one sequence, through the same queue and spool.

use crate::otlp::{Received, Server, attribute, free_address};
use crate::sink::{Sink, turn};
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use std::collections::BTreeSet;
use std::time::Duration;
use tachograph::{Capture, Guard, Init, Redaction, Spool, sha256};

#[tachograph::generation(model = "m", prompt = "p")]
fn generate() {}

fn logger(guard: &Guard) -> SdkLogger {
    let processor = guard.log_processor().expect("over OTLP");
    SdkLoggerProvider::builder().with_log_processor(processor).build().logger("an application's own")
}

fn log(logger: &SdkLogger, body: &str) {
    let mut record = logger.create_log_record();
    record.set_severity_number(Severity::Info);
    record.set_body(AnyValue::from(body.to_owned()));
    record.add_attribute("enduser.id", "u-1");
    logger.emit(record);
}

#[test]
fn spans_and_log_records_by_turns_need_no_request_each() {
    let _turn = turn();
    for spool in [false, true] {
        let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
        let init = Init::new("logs").endpoint(format!("http://{address}")).on_warning(|_| ());
        let init = if spool { init.spool(Spool::new(directory.path())) } else { init };
        let guard = init.init().expect("init");
        let logger = logger(&guard);
        for number in 0..200 {
            log(&logger, &format!("line {number}"));
            generate();
        }
        let _server = Server::start(address, received.clone());
        assert_eq!(guard.shutdown().expect("nothing lost").exported, 400);
        assert_eq!((received.logs().len(), received.spans().len()), (200, 200));
        assert!(received.requests() < 20, "{} requests", received.requests());
    }
}

#[test]
fn a_receiver_without_a_service_for_log_records_gets_the_spans() {
    let _turn = turn();
    for spool in [false, true] {
        let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
        received.without_logs();
        let _server = Server::start(address, received.clone());
        let (lines, warn) = crate::delivery::collect_warnings();
        let init = Init::new("logs").endpoint(format!("http://{address}")).on_warning(warn);
        let init = if spool { init.spool(Spool::new(directory.path())) } else { init };
        let guard = init.init().expect("init");
        let logger = logger(&guard);
        generate();
        guard.flush(Duration::from_secs(30));
        log(&logger, "nobody takes it");
        assert_eq!(guard.flush(Duration::from_secs(30)).lost, 1, "alone it holds up what comes, too");
        (0..20).for_each(|_| generate());
        let report = guard.shutdown().expect_err("the log record is lost").report;
        assert_eq!((report.exported, report.lost), (21, 1), "{report}");
        assert_eq!(received.spans().len(), 21);
        let lines = lines.lock().unwrap();
        assert!(lines.iter().any(|line| line.contains("has no service for log records")), "{lines:?}");
        let kept: Vec<_> = std::fs::read_dir(directory.path().join("refused"))
            .map(|files| files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect())
            .unwrap_or_default();
        assert_eq!(kept.len(), usize::from(spool));
        assert!(kept.iter().all(|kept| kept.windows(15).any(|window| window == b"nobody takes it")));
    }
}

#[test]
fn what_is_no_receiver_at_all_costs_nothing() {
    let _turn = turn();
    let (address, received) = (free_address(), Received::default());
    let server = Server::start(address, received.clone());
    let init = Init::new("logs").endpoint(format!("http://{address}")).on_warning(|_| ());
    let guard = init.init().expect("init");
    let logger = logger(&guard);
    let both = || {
        log(&logger, "line");
        generate();
    };
    both();
    guard.flush(Duration::from_secs(30));
    drop(server);
    // For a while something else listens there, which knows neither service.
    let other = Server::start_without_services(address);
    both();
    log(&logger, "line");
    let report = guard.flush(Duration::from_secs(1));
    assert_eq!((report.exported, report.lost), (2, 0), "{report}");
    drop(other);
    let _server = Server::start(address, received.clone());
    assert_eq!(guard.shutdown().expect("nothing lost").exported, 5);
    assert_eq!((received.logs().len(), received.spans().len()), (3, 2));
}

#[test]
fn log_records_and_spans_share_a_sequence_and_a_spool() {
    let _turn = turn();
    for spool in [false, true] {
        let (directory, address, received) = (tempfile::tempdir().unwrap(), free_address(), Received::default());
        let init = || {
            let init = Init::new("logs").endpoint(format!("http://{address}")).on_warning(|_| ());
            if spool { init.spool(Spool::new(directory.path())) } else { init }
        };
        let guard = init().shutdown_limit(Duration::from_secs(if spool { 0 } else { 15 })).init().expect("init");
        // Without a spool there is a receiver at once; with one it comes with the next start.
        let server = (!spool).then(|| Server::start(address, received.clone()));
        let logger = logger(&guard);
        for number in 0..50 {
            log(&logger, &format!("line {number}"));
            generate();
        }
        let report = guard.shutdown().expect("nothing lost");
        if spool {
            assert_eq!(report.spooled, 100, "{report}");
            let _server = Server::start(address, received.clone());
            let guard = init().init().expect("init");
            let began = std::time::Instant::now();
            while guard.report().adopted_exported < 100 && began.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(guard.shutdown().expect("nothing lost").adopted_exported, 100);
        } else {
            assert_eq!(report.exported, 100, "{report}");
        }
        drop(server);
        let (logs, spans) = (received.logs(), received.spans());
        assert_eq!((logs.len(), spans.len()), (50, 50));
        let bodies = logs.iter().map(|log| log.body.clone().and_then(|body| body.value));
        let expected = (0..50).map(|number| Some(Value::StringValue(format!("line {number}"))));
        assert!(bodies.eq(expected), "in their order");
        let of_logs = |key: &str| -> Vec<Value> {
            let found = logs.iter().map(|log| log.attributes.iter().find(|attribute| attribute.key == key));
            found
                .map(|attribute| attribute.and_then(|found| found.value.clone()?.value).expect("each has it"))
                .collect()
        };
        let ids: BTreeSet<_> = of_logs("tachograph.event.id").iter().map(|id| format!("{id:?}")).collect();
        assert_eq!(ids.len(), 50);
        let of_spans = spans.iter().filter_map(|span| attribute(span, "tachograph.producer.seq"));
        let numbers: BTreeSet<_> = of_logs("tachograph.producer.seq")
            .into_iter()
            .chain(of_spans)
            .map(|number| match number {
                Value::IntValue(number) => number,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(numbers.into_iter().eq(1..=100), "one sequence, after the opening");
    }
}

#[test]
fn an_exporter_of_ones_own_takes_no_log_records() {
    let _turn = turn();
    let guard = Init::new("test").init_with(Sink::default()).expect("init");
    assert!(guard.log_processor().is_none());
    guard.shutdown().expect("nothing lost");
}

/// What the receiver gets of one log record with text in its body, in an attribute, and within lists and maps, as JSON.
fn received_log(init: impl FnOnce(Init) -> Init) -> (serde_json::Value, String) {
    let (address, received) = (free_address(), Received::default());
    let _server = Server::start(address, received.clone());
    let guard = init(Init::new("logs").endpoint(format!("http://{address}")).on_warning(|_| ())).init().expect("init");
    let logger = logger(&guard);
    let mut record = logger.create_log_record();
    record.set_severity_number(Severity::Warn);
    record.set_event_name("asked");
    record.set_body(AnyValue::from("anna asks".to_owned()));
    record.add_attribute("enduser.id", "u-1");
    record.add_attribute("question", "who is anna");
    record.add_attribute("list", AnyValue::ListAny(Box::new(vec![AnyValue::Int(7), AnyValue::from("anna")])));
    let map = std::collections::HashMap::from([("who".into(), AnyValue::from("anna"))]);
    record.add_attribute("map", AnyValue::Map(Box::new(map)));
    record.add_attribute("bytes", AnyValue::Bytes(Box::new(b"anna".to_vec())));
    record.add_attribute("numbers", AnyValue::ListAny(Box::new(vec![AnyValue::Int(7)])));
    record.add_attribute("count", 3);
    logger.emit(record);
    assert_eq!(guard.shutdown().expect("nothing lost").exported, 1);
    let log = received.logs().remove(0);
    assert_eq!((log.severity_number, log.event_name.as_str()), (Severity::Warn as i32, "asked"));
    let whole = format!("{log:?}");
    let text =
        |value: &Option<opentelemetry_proto::tonic::common::v1::AnyValue>| match value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(serde_json::Value::from(text.as_str())),
            Value::IntValue(number) => Some((*number).into()),
            other => Some(format!("{other:?}").into()),
        };
    let mut json = serde_json::Map::new();
    json.insert("body".to_owned(), text(&log.body).into());
    let wanted = ["enduser.id", "question", "list", "map", "bytes", "numbers", "count", "tachograph.capture"];
    for attribute in log.attributes.iter().filter(|attribute| wanted.contains(&attribute.key.as_str())) {
        json.insert(attribute.key.clone(), text(&attribute.value).into());
    }
    (json.into(), whole)
}

fn said(log: &serde_json::Value) -> serde_json::Value {
    serde_json::from_str(log["tachograph.capture"].as_str().expect("said")).expect("json")
}

#[test]
fn content_of_log_records_is_captured_as_the_process_says() {
    let _turn = turn();
    let (full, _) = received_log(|init| init);
    assert_eq!(full["body"], "anna asks");
    assert_eq!(full["question"], "who is anna");
    assert_eq!(full.get("tachograph.capture"), None);

    let (off, whole) = received_log(|init| init.capture(Capture::Off));
    assert!(!whole.contains("anna"), "{whole}");
    assert_eq!(off["body"], serde_json::Value::Null);
    assert_eq!((&off["enduser.id"], &off["count"]), (&"u-1".into(), &3.into()));
    assert!(off.get("numbers").is_some(), "there is no text in it");
    for key in ["body", "question", "list", "map", "bytes"] {
        assert_eq!(said(&off)[key], serde_json::json!({"state": "off"}), "{key}");
    }

    let (hashed, whole) = received_log(|init| init.capture(Capture::Hashed));
    assert!(!whole.contains("anna"), "{whole}");
    let hash = |text: &str| serde_json::json!({"state": "hashed", "sha256": sha256(text), "bytes": text.len()});
    assert_eq!(said(&hashed)["body"], hash("anna asks"));
    assert_eq!(said(&hashed)["question"], hash("who is anna"));
    assert_eq!(said(&hashed)["list"], hash("[7,\"anna\"]"));
    assert_eq!(said(&hashed)["map"], hash("{\"who\":\"anna\"}"));
    assert_eq!(said(&hashed)["bytes"], hash("anna"));

    let (cut, _) = received_log(|init| init.longest_content(4));
    assert_eq!(cut["body"], "anna");
    assert_eq!(said(&cut)["body"]["bytes"], 9);
}

#[test]
fn the_hook_sees_log_records_too() {
    let _turn = turn();
    let (log, whole) = received_log(|init| {
        init.redact(|content| {
            assert_eq!(content.kind(), "log_record");
            Redaction::Replace(content.text().replace("anna", "***"))
        })
    });
    assert!(!whole.contains("anna"), "{whole}");
    assert_eq!(log["body"], "*** asks");
    assert_eq!(said(&log)["map"], serde_json::json!({"state": "redacted"}));
    assert!(whole.contains("KvlistValue"), "a map stays a map: {whole}");
    assert_eq!(log["enduser.id"], "u-1");
}
