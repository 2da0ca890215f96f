use super::*;
use crate::statements::HOLD_ADD;
use std::time::Duration;
use tachograph_exporters::verify::RECORDER_PRODUCER;
use tachograph_ledger::Lock;
use tachograph_record::{Json as RecordJson, write_body};

fn body(change: impl FnOnce(&mut Record<'_>)) -> Vec<u8> {
    let mut record = Record::new(EventId([7; 16]), Time::default(), Kind::Generation);
    change(&mut record);
    let mut bytes = Vec::new();
    write_body(&record, &[1; 16], Time::default(), &mut bytes);
    bytes
}

fn class_of(classifier: &Classifier, bytes: &[u8]) -> String {
    classifier.class(&Body::parse_columns(bytes).unwrap(), bytes).to_owned()
}

fn classifier() -> Classifier {
    let classes = [
        ("high-risk", "risk == 'high'"),
        ("costly", "cost > 0.5 || tokens_in > 1000"),
        ("eu", "attributes['region'] == 'eu' && !(tenant == 'test')"),
        ("prompts", "kind == 'generation'"),
    ];
    of(&classes.map(|(name, when)| (name, when, 1)))
}

/// Classes with their expressions and days; the default is kept for 10.
fn of(classes: &[(&str, &str, u64)]) -> Classifier {
    let days = |days| Duration::from_secs(days * 86_400);
    let retention = Retention {
        lock: Lock::None,
        default: days(10),
        classes: classes.iter().map(|(name, _, keep)| ((*name).to_owned(), days(*keep))).collect(),
        proofs: days(10_000),
    };
    let classes = classes.iter().map(|(name, when, _)| Class::new(name, when).unwrap()).collect();
    Classifier::new(classes, Some(retention), Arc::default())
}

fn metadata(json: &str) -> Vec<u8> {
    let json = json.to_owned();
    body(|record| record.metadata = Some(RecordJson::trusted(json)))
}

/// A record with one attribute, as OTLP/JSON types it.
fn scored(value: &str) -> Vec<u8> {
    metadata(&format!(r#"{{"attributes":[{{"key":"score","value":{value}}}]}}"#))
}

#[test]
fn what_is_not_there_does_not_match() {
    let absent = body(|_| {});
    for when in [
        "cost > 0.5",
        "!(cost > 0.5)",
        "cost + 1.0 > 0.5",
        "1.0 + cost > 0.5",
        "-cost < 0.0",
        "tokens_in * 2 > 1",
        "output_path.startsWith('s3://')",
        "attributes['score'] > 7",
        "attributes.score > 7",
        "has(attributes.score) && attributes.score > 7",
        "risk > 7",
        "cost > 0.5 || tokens_in > 1000",
        "cost > 0.5 && tokens_in > 1000",
    ] {
        let classes = of(&[("longer", when, 100)]);
        assert_eq!(class_of(&classes, &absent), DEFAULT_CLASS, "{when}");
        assert_eq!(classes.metrics.class_errors.get(), 0, "{when}");
    }
}

/// By the type of an attribute nobody comes away with less.
#[test]
fn what_can_not_be_evaluated_is_kept_as_the_longest_that_may_take_it() {
    let sent = [
        r#"{"stringValue":"9"}"#,
        r#"{"boolValue":true}"#,
        r#"{"doubleValue":"NaN"}"#,
        r#"{"arrayValue":{"values":[{"intValue":"9"}]}}"#,
        r#"{"kvlistValue":{"values":[]}}"#,
        r#"{"bytesValue":"AAAA"}"#,
    ];
    for sent in sent {
        let record = scored(sent);
        for when in [
            "attributes['score'] > 7",
            "attributes.score > 7",
            "attributes['score'] + 1 > 7",
            // What is not there hides nothing, on either side.
            "attributes['score'] > 7 || cost > 0.5",
            "cost > 0.5 || attributes['score'] > 7",
            "kind == 'generation' && attributes['score'] > 7",
        ] {
            let classes = of(&[("longer", when, 100)]);
            assert_eq!(class_of(&classes, &record), "longer", "{when}, {sent}");
            assert_eq!(classes.metrics.class_errors.get(), 1, "{when}, {sent}");
            // Nor with more than it would have got anyway.
            assert_eq!(class_of(&of(&[("shorter", when, 1)]), &record), DEFAULT_CLASS, "{when}, {sent}");
            let between = of(&[("longer", when, 100), ("sure", "true", 50), ("never", when, 500)]);
            assert_eq!(class_of(&between, &record), "longer", "{when}, {sent}");
            let among = of(&[("a", when, 100), ("b", when, 300), ("c", when, 200), ("sure", "true", 50)]);
            assert_eq!(class_of(&among, &record), "b", "{when}, {sent}");
        }
        // Decided, whatever the other half is.
        for (when, class) in [
            ("kind == 'audit_event' && attributes['score'] > 7", DEFAULT_CLASS),
            ("attributes['score'] > 7 || kind == 'generation'", "longer"),
        ] {
            let classes = of(&[("longer", when, 100)]);
            assert_eq!(
                (class_of(&classes, &record).as_str(), classes.metrics.class_errors.get()),
                (class, 0),
                "{when}"
            );
        }
    }
    let classes = of(&[("longer", "attributes['score'] > 7", 100)]);
    for (sent, class) in [
        (r#"{"intValue":"9"}"#, "longer"),
        (r#"{"doubleValue":6.5}"#, DEFAULT_CLASS),
        (r#"{"doubleValue":"Infinity"}"#, "longer"),
    ] {
        assert_eq!(class_of(&classes, &scored(sent)), class, "{sent}");
    }
    assert_eq!(classes.metrics.class_errors.get(), 0);
}

#[test]
fn the_first_match_wins() {
    let classes = classifier();
    assert_eq!(class_of(&classes, &body(|_| {})), "prompts");
    assert_eq!(class_of(&classes, &body(|record| record.kind = Kind::ToolCall)), DEFAULT_CLASS);
    assert_eq!(class_of(&classes, &body(|record| record.cost = Some(tachograph_record::Number(0.75)))), "costly");
    let attribute = |key: &str, value: &str| {
        metadata(&format!(r#"{{"attributes":[{{"key":"{key}","value":{{"stringValue":"{value}"}}}}]}}"#))
    };
    assert_eq!(class_of(&classes, &attribute("tachograph.risk", "high")), "high-risk");
    assert_eq!(class_of(&classes, &attribute("risk", "high")), "high-risk");
    assert_eq!(class_of(&classes, &attribute("risk", "low")), "prompts");
    assert_eq!(class_of(&classes, &attribute("region", "eu")), "eu");
}

#[test]
fn statements_of_the_recorder_are_apart_and_cannot_be_imitated() {
    let statement = |producer: &'static str| {
        body(|record| {
            record.kind = Kind::Lifecycle;
            record.action_type = Some(HOLD_ADD.into());
            record.producer = Some(producer.into());
        })
    };
    assert_eq!(class_of(&classifier(), &statement(RECORDER_PRODUCER)), RECORDER_CLASS);
    assert_eq!(class_of(&classifier(), &statement("somebody")), DEFAULT_CLASS);
    let without = Classifier::new(Vec::new(), None, Arc::default());
    assert_eq!(class_of(&without, &statement(RECORDER_PRODUCER)), DEFAULT_CLASS);
}

#[test]
fn mistakes_are_named() {
    for (when, word) in
        [("kinde == 'x'", "`kinde`"), ("kind ==", "1:8"), ("(", "1:"), ("1 + 1", "type int"), ("kind", "type string")]
    {
        let error = Class::new("x", when).unwrap_err();
        assert!(error.contains(word), "{when}: {error}");
    }
    assert!(Class::new("x", &"a".repeat(5_000)).is_err());
}
