//! Log records go the way of spans: numbered in one sequence, through the same queue and spool.

use crate::otlp::{Received, Server, attribute, free_address};
use crate::sink::{Sink, turn};
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use std::collections::BTreeSet;
use std::time::Duration;
use tachograph::{Guard, Init, Spool};

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
