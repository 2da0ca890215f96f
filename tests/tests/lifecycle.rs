//! From start to stop and over it: draining, resending, conflicts, tracing, torn journals, metrics.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use tachograph_exporters::verify::Axis;
use tachograph_record::{EventId, Kind};
use tachograph_tests::collector::Collector;
use tachograph_tests::command::{self, expect_verified, trace, verify};
use tachograph_tests::home::{Home, SMALL};
use tachograph_tests::http::{Connection, PROTOBUF, export, get};
use tachograph_tests::load::{Load, Settings};
use tachograph_tests::otlp::{self, Events, request, with};
use tachograph_tests::seed::Random;
use tachograph_tests::stored::{self, Stored};

/// Nothing is archived while the collector runs.
const SLOW_ARCHIVE: &str = "archive: {max_age: 1h}";

#[track_caller]
fn send(collector: &Collector, spans: Vec<Span>) {
    let answer = export(collector.http, "/v1/traces", &request(spans));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn lifecycles(records: &[Stored]) -> Vec<String> {
    let own = records.iter().filter(|record| record.kind == Kind::Lifecycle);
    own.map(|record| record.body()["action_type"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn sigterm_drains_and_archives_everything() {
    let mut random = Random::of_test("sigterm");
    let home = Home::new(SLOW_ARCHIVE);
    let load = Load::start(Settings::default(), &mut random);
    let collector = home.start();
    load.aim(Some(collector.http));
    std::thread::sleep(Duration::from_millis(500));
    // In the middle of the load.
    collector.stop();
    load.aim(None);
    let archived = stored::archived(&home.archive());
    let acknowledged = load.acknowledged();
    assert!(acknowledged.len() > 100, "{} records are no load", acknowledged.len());
    stored::expect_once(&stored::counts(&archived), &acknowledged);
    assert_eq!(archived.len(), stored::read(&home.data()).len(), "records are left in the journal");
    assert_eq!(lifecycles(&archived), ["collector.start", "streams.closed", "collector.stop"]);
    expect_verified(&home.data());
}

#[test]
fn a_batch_sent_again_is_acknowledged_and_sealed_once() {
    let home = Home::new(SMALL);
    let events = Events::new(&mut Random::of_test("resend"));
    let (ids, spans) = events.generations(25);
    let first = home.start();
    send(&first, spans.clone());
    send(&first, spans.clone());
    first.wait_archived();
    send(&first, spans.clone());
    assert_eq!(first.metric("tachograph_duplicate_records_total"), 50.0);
    first.stop();

    let second = home.start();
    send(&second, spans.clone());
    assert_eq!(second.metric("tachograph_duplicate_records_total"), 25.0);
    second.kill();

    let third = home.start();
    send(&third, spans);
    third.stop();
    let counts = stored::counts(&stored::archived(&home.archive()));
    stored::expect_once(&counts, &ids);
    assert_eq!(counts.len(), 25);
    expect_verified(&home.data());
}

#[test]
fn the_same_id_with_other_content_is_a_second_record_that_points_at_the_first() {
    let home = Home::new(SMALL);
    let events = Events::new(&mut Random::of_test("conflict"));
    let (id, span) = events.generation();
    let other = with(span.clone(), &[("tachograph.outcome.reason", "changed afterwards")]);
    let collector = home.start();
    send(&collector, vec![span.clone()]);
    collector.wait_archived();
    send(&collector, vec![other.clone()]);
    assert_eq!(collector.metric("tachograph_conflicting_records_total"), 1.0);
    collector.stop();

    // Over a restart both are known.
    let collector = home.start();
    send(&collector, vec![span, other]);
    collector.stop();
    let records = stored::archived(&home.archive());
    let both: Vec<&Stored> = records.iter().filter(|record| record.event_id == id).collect();
    let [first, second] = both.as_slice() else { panic!("{} records with the id", both.len()) };
    assert_eq!(first.body().get("conflicts_with"), None);
    assert_eq!(second.body()["conflicts_with"], first.index.to_string());
    assert_eq!(second.body()["outcome_reason"], "changed afterwards");
    expect_verified(&home.data());
}

/// A span that can't be read does not cost its neighbours; it is recorded as rejected, with the reason and a hash.
#[test]
fn a_span_that_cannot_be_read_is_recorded_as_rejected() {
    let home = Home::new(SMALL);
    let events = Events::new(&mut Random::of_test("rejected"));
    let (ids, mut spans) = events.generations(3);
    spans[1].name = "BROKEN-NAME".to_owned();
    let mut bytes = request(spans);
    let at = bytes.windows(11).position(|window| window == b"BROKEN-NAME").expect("the name is in the request");
    bytes[at + 3] = 0xff;
    let collector = home.start();
    assert_eq!(export(collector.http, "/v1/traces", &bytes).status, 200);
    assert_eq!(collector.metric("tachograph_sealed_records_total"), 4.0);
    collector.stop();

    let records = stored::archived(&home.archive());
    stored::expect_once(&stored::counts(&records), &[ids[0], ids[2]]);
    let bodies = records.iter().map(Stored::body);
    let rejected: Vec<_> = bodies.filter(|body| body["action_type"] == "telemetry.rejected").collect();
    let [rejected] = rejected.as_slice() else { panic!("{} rejections", rejected.len()) };
    assert!(rejected["outcome_reason"].as_str().is_some_and(|reason| reason.contains("name")), "{rejected:#}");
    assert!(rejected["input_hash"].as_str().is_some_and(|hash| hash.starts_with("sha256:")), "{rejected:#}");
    assert_eq!(rejected["outcome"], "failure");
    expect_verified(&home.data());
}

/// Three events, each the cause of the next, sent in the wrong order and by three services.
fn chain(correlation: &str) -> ([EventId; 3], Vec<Span>) {
    let events = Events::new(&mut Random::of_test("chain"));
    let (ids, spans) = events.generations(3);
    let texts: Vec<String> = ids.iter().map(EventId::to_string).collect();
    let mut spans: Vec<Span> =
        spans.into_iter().map(|span| with(span, &[("tachograph.correlation.id", correlation)])).collect();
    for at in [1, 2] {
        spans[at] = with(spans[at].clone(), &[("tachograph.parent.id", &texts[at - 1])]);
    }
    spans[2] = with(spans[2].clone(), &[("tachograph.output.path", "s3://images/castle.png")]);
    spans.reverse();
    ([ids[0], ids[1], ids[2]], spans)
}

/// Every way to ask must give the three events, each with its cause.
#[track_caller]
fn expect_chain(data: &Path, ids: &[EventId; 3], spans: &[Span], correlation: &str) {
    let trace_id: String = spans[0].trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let last = ids[2].to_string();
    for id in [correlation, &ids[1].to_string(), &last, "s3://images/castle.png", &trace_id] {
        let events = trace(data, id).unwrap_or_else(|| panic!("nothing has {id}"));
        assert_eq!(events.len(), 3, "{id}: {events:#?}");
        let of = |id: &EventId| {
            let text = id.to_string();
            events
                .iter()
                .find(|event| event["body"]["event_id"] == *text)
                .unwrap_or_else(|| panic!("{text} is missing"))
        };
        assert!(of(&ids[0])["cause"].is_null());
        assert_eq!(of(&ids[1])["cause"], of(&ids[0])["index"]);
        assert_eq!(of(&ids[2])["cause"], of(&ids[1])["index"]);
    }
}

#[test]
fn a_chain_is_found_before_and_after_it_is_archived() {
    let home = Home::new(SLOW_ARCHIVE);
    let (ids, spans) = chain("order-4711");
    let collector = home.start();
    send(&collector, spans.clone());
    // Beside the running collector, from the journal.
    assert_eq!(stored::archived(&home.archive()).len(), 0);
    expect_chain(&home.data(), &ids, &spans, "order-4711");
    collector.stop();
    assert!(stored::archived(&home.archive()).len() >= 3);
    expect_chain(&home.data(), &ids, &spans, "order-4711");
    expect_chain(&home.archive(), &ids, &spans, "order-4711");
    assert_eq!(trace(&home.data(), "order-4712"), None);

    // Oldest cause first, each effect below its cause.
    let text = command::tachograph(&[&"trace", &"order-4711", &"--data", &home.data()]);
    let at =
        |id: &EventId| text.stdout.find(&id.to_string()).unwrap_or_else(|| panic!("{id} is not in {}", text.stdout));
    assert!(at(&ids[0]) < at(&ids[1]) && at(&ids[1]) < at(&ids[2]), "{}", text.stdout);
}

/// A ledger whose collector was killed right after an acknowledgement, and the ids in it.
fn killed(test: &str) -> (Home, Vec<EventId>) {
    let home = Home::new(SLOW_ARCHIVE);
    let events = Events::new(&mut Random::of_test(test));
    let collector = home.start();
    let mut all = Vec::new();
    for _ in 0..5 {
        let (ids, spans) = events.generations(20);
        send(&collector, spans);
        all.extend(ids);
    }
    collector.kill();
    (home, all)
}

#[test]
fn a_torn_tail_is_cut_and_said_so() {
    let (home, ids) = killed("torn tail");
    let newest = home.journal_files().pop().expect("there is a journal");
    // A write that was under way: garbage behind the last whole frame.
    OpenOptions::new().append(true).open(&newest).and_then(|mut file| file.write_all(&[0x5a; 777])).expect("appended");
    let collector = home.start();
    collector.stop();
    let log = home.log_text();
    assert!(log.contains("a torn tail was cut off the journal") && log.contains("bytes=777"), "{log}");
    let records = stored::archived(&home.archive());
    stored::expect_once(&stored::counts(&records), &ids);
    let starts = records.iter().map(Stored::body).filter(|body| body["action_type"] == "collector.start");
    let torn: Vec<_> = starts.map(|body| body["details"]["torn_tail_bytes"].clone()).collect();
    assert_eq!(torn, [0, 777], "the ledger itself says what was cut");
    expect_verified(&home.data());
}

/// The last frame is cut short, which by itself looks like a write that a crash interrupted. But its records were acknowledged,
/// and the index of duplicates knows them: that is a loss, not a torn tail.
#[test]
fn a_last_frame_that_was_acknowledged_and_is_cut_short_is_a_loss_that_is_named() {
    let (home, ids) = killed("short frame");
    let newest = home.journal_files().pop().expect("there is a journal");
    let length = fs::metadata(&newest).expect("it is there").len();
    OpenOptions::new().write(true).open(&newest).and_then(|file| file.set_len(length - 100)).expect("truncated");
    home.refused().expect(2, &["acknowledged records are missing", "Restore the journal"]);
    assert_eq!(stored::counts(&stored::read(&home.data())).len(), ids.len() - 20, "only the last frame is gone");
}

#[test]
fn a_corrupt_middle_refuses_to_start_and_names_file_and_offset() {
    let (home, _) = killed("corrupt middle");
    let newest = home.journal_files().pop().expect("there is a journal");
    let mut bytes = fs::read(&newest).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, &bytes).expect("it can be written");
    let name = newest.display().to_string();
    home.refused().expect(2, &[&name, "is corrupt at byte", "record index", "put it back from a copy"]);
    assert_eq!(fs::read(&newest).expect("it can be read"), bytes, "the evidence was left as it is");
}

#[test]
fn health_and_metrics_are_served_and_other_signals_are_turned_away() {
    let home = Home::new(SMALL);
    let events = Events::new(&mut Random::of_test("metrics"));
    let collector = home.start();
    assert_eq!(get(collector.admin, "/healthz").status, 200);
    assert_eq!(get(collector.admin, "/readyz").status, 200);
    assert_eq!(get(collector.admin, "/nothing").status, 404);
    send(&collector, events.generations(30).1);
    collector.wait_archived();
    // The collector's own record of its start is one of them.
    for (name, value) in [
        ("tachograph_sealed_records_total", 31.0),
        ("tachograph_archived_records", 31.0),
        ("tachograph_archive_lag_records", 0.0),
        ("tachograph_journal_full", 0.0),
        ("tachograph_verification_failures_total", 0.0),
        ("tachograph_ready", 1.0),
    ] {
        assert_eq!(collector.metric(name), value, "{name}");
    }
    assert!(collector.metric("tachograph_journal_bytes") > 0.0);
    assert!(collector.metric("tachograph_fsync_seconds_count") >= 1.0);

    let answer = export(collector.http, "/v1/metrics", b"");
    assert_eq!(answer.status, 501, "{}", answer.text());
    assert!(answer.text().contains("Tachograph records traces and logs"), "{}", answer.text());
    let mut connection = Connection::open(collector.http).expect("it listens");
    let malformed = connection.post("/v1/traces", PROTOBUF, b"\x0a\x03\x12\x7f\x00").expect("an answer");
    assert_eq!(malformed.status, 400, "{}", malformed.text());
    assert!(malformed.text().contains("resource_spans[0]"), "the field is named: {}", malformed.text());
    // The connection goes on.
    let (_, span) = events.generation();
    assert_eq!(connection.post("/v1/traces", PROTOBUF, &otlp::request(vec![span])).expect("an answer").status, 200);
    assert_eq!(collector.metric("tachograph_sealed_records_total"), 32.0);
    collector.stop();
}

#[test]
fn a_lost_journal_is_noticed_and_given_up_only_on_purpose() {
    let (home, _) = killed("lost journal");
    for dir in ["journal", "dedup"] {
        for entry in fs::read_dir(home.data().join(dir)).expect("a directory") {
            fs::remove_file(entry.expect("an entry").path()).expect("removed");
        }
    }
    let verified = verify(&home.data(), &[]);
    assert_eq!((verified.code, verified.verdict(Axis::Integrity)), (1, "fail"), "{:#}", verified.report);
    home.refused().expect(2, &["holds no journal", "--journal-lost"]);
    let collector = home.spawn_with(&["--journal-lost"]).ready();
    collector.stop();
    home.start().stop();
    expect_verified(&home.data());
}

#[test]
fn verify_beside_a_running_collector_sees_no_tampering() {
    let mut random = Random::of_test("verify beside");
    let home = Home::new("archive: { max_age: 50ms }\n");
    let collector = home.start();
    let load = Load::start(Settings::default(), &mut random);
    load.aim(Some(collector.http));
    collector.wait_until("something is archived", Duration::from_secs(20), |collector| {
        collector.metric("tachograph_archived_records") > 0.0
    });
    for _ in 0..12 {
        let verified = verify(&home.archive(), &[&"--key", &home.data().join("ledger.vkey")]);
        assert_ne!(verified.code, 1, "{:#}", verified.report);
        let verified = verify(&home.data(), &[]);
        assert_ne!(verified.code, 1, "{:#}", verified.report);
    }
    load.drain();
    collector.stop();
    expect_verified(&home.data());
}

#[test]
fn with_the_defaults_news_is_under_a_checkpoint_within_seconds() {
    let home = Home::new("{}");
    let collector = home.start();
    // What the collector says of its start is news too.
    collector.wait_until("the start is archived", Duration::from_secs(20), |collector| {
        collector.metric("tachograph_archived_records") >= 1.0
    });
    let began = Instant::now();
    send(&collector, vec![Events::new(&mut Random::of_test("news")).generation().1]);
    collector.wait_until("the news is archived", Duration::from_secs(20), |collector| {
        collector.metric("tachograph_archived_records") >= 2.0
    });
    let took = began.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(15)).contains(&took), "archived after {took:?}");
    collector.stop();
    // Last what it says of the session, and of its stop.
    assert_eq!(checkpoints(&home), [1, 2, 4]);
}

#[test]
fn a_checkpoint_every_so_many_records() {
    let home = Home::new("archive: {max_age: 1h, max_records: 100}");
    let events = Events::new(&mut Random::of_test("checkpoints"));
    let collector = home.start();
    for _ in 0..3 {
        send(&collector, events.generations(80).1);
    }
    collector.wait_until("two segments are full", Duration::from_secs(20), |collector| {
        collector.metric("tachograph_archived_records") >= 200.0
    });
    collector.stop();
    // And what was left, with the collector's own words at start and stop, and of the sessions.
    assert_eq!(checkpoints(&home), [100, 200, 243]);
    expect_verified(&home.data());
}

/// Sizes of all checkpoints.
fn checkpoints(home: &Home) -> Vec<u64> {
    let files = fs::read_dir(home.archive().join("checkpoint")).expect("checkpoints").flatten();
    let mut sizes: Vec<u64> = files.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    sizes.sort_unstable();
    sizes
}
