//! JSON text from a sender is kept as JSON or as a string, but always as one well-formed value.

use serde::de::IgnoredAny;
use tachograph_record::Json;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let json = Json::from_sender(text);
    serde_json::from_str::<IgnoredAny>(json.as_str()).expect("what is kept is JSON");
    assert!(!json.as_str().contains('\n'), "a line break would survive in a body");
}
