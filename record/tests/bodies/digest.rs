//! The content digest: equal for one record however often it is sent, different for any other.

use proptest::prelude::*;
use sha2::{Digest, Sha256};
use tachograph_record::{Body, Decimal, Json, Record, Text, append_conflict, content_digest, content_of, write_body};

use crate::make::{SUFFIX, any_json_text, any_record, any_text, bare, time};

fn body_of(record: &Record<'_>, salt: u8) -> Vec<u8> {
    let mut body = Vec::new();
    write_body(record, &[salt; 16], time(salt.into()), &mut body);
    body
}

/// JSON as it comes from a sender.
fn sent(text: &str) -> Json<'static> {
    Json::trusted(Json::from_sender(text).as_str().to_owned())
}

/// What the digest must be for a body to which the collector added nothing.
fn digest_of_all(body: &[u8]) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(content_of(body))[..16]);
    digest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_pointer_to_an_earlier_record_changes_no_digest(record in any_record(0.3, &["conflicts_with"]), first in 0..=i64::MAX as u64) {
        let plain = body_of(&record, 1);
        prop_assert_eq!(content_digest(&plain), digest_of_all(&plain), "nothing a sender sends looks like the pointer");
        prop_assert_eq!(content_digest(&body_of(&record, 2)), content_digest(&plain), "salt and time of arrival do not count");

        let mut pointing = plain.clone();
        append_conflict(&mut pointing, first);
        prop_assert_eq!(content_digest(&pointing), content_digest(&plain));
        let read = Body::parse(&pointing).unwrap();
        prop_assert_eq!(read.record, Record { conflicts_with: Decimal::new(first), ..record.clone() });
        // The writer of bodies and the appender agree.
        prop_assert_eq!(body_of(&Record { conflicts_with: Decimal::new(first), ..record }, 1), pointing);
    }

    #[test]
    fn text_and_json_at_the_end_can_not_imitate_the_pointer(text in any_text(), json in any_json_text(), last in 0..6) {
        let mut record = bare();
        match last {
            0 => record.prompt = Some(Text::from(text + SUFFIX)),
            1 => record.details = Some(sent(&(json + SUFFIX))),
            2 => record.context = Some(Json::string(&(text + SUFFIX))),
            3 => record.metadata = Some(Json::trusted(format!("{{\"a\":{}{SUFFIX}", Json::string(&text).as_str()))),
            4 => record.details = Some(sent(&format!(" {{\"a\":\"b\"{SUFFIX} "))),
            _ => record.producer_epoch = Some(Text::from(format!("x\"{SUFFIX}"))),
        }
        let body = body_of(&record, 3);
        prop_assert_eq!(content_digest(&body), digest_of_all(&body));
        prop_assert_eq!(Body::parse(&body).unwrap().record.conflicts_with, None);
    }

    #[test]
    fn other_content_has_another_digest(a in any_record(0.2, &["conflicts_with"]), b in any_record(0.2, &["conflicts_with"])) {
        let same = body_of(&a, 0) == body_of(&b, 0);
        prop_assert_eq!(content_digest(&body_of(&a, 0)) == content_digest(&body_of(&b, 0)), same);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, tail in "[0-9]{0,25}\"\\}") {
        let mut bytes = bytes;
        content_digest(&bytes);
        bytes.extend_from_slice(tail.as_bytes());
        content_digest(&bytes);
        let mut suffix = vec![b'x'; 98];
        suffix.extend_from_slice(b",\"conflicts_with\":\"");
        suffix.extend_from_slice(tail.as_bytes());
        content_digest(&suffix);
    }
}
