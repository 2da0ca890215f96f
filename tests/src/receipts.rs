//! Receipts as a sender would keep them, read as `docs/format.md` has them and with nothing of the product.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tachograph_record::EventId;

use crate::http::{Connection, PROTOBUF, Response};

/// Exports over HTTP and asks for a receipt.
///
/// # Panics
/// If there is no answer.
pub fn export(address: SocketAddr, path: &str, protobuf: &[u8]) -> Response {
    let headers = [("content-type", PROTOBUF), ("tachograph-receipts", "1")];
    let answer = Connection::open(address).and_then(|mut connection| connection.post_with(path, &headers, protobuf));
    answer.unwrap_or_else(|e| panic!("http://{address}{path}: {e}"))
}

/// Index and leaf hash (in hex) of each record, in the request's order.
///
/// # Panics
/// If the answer is no receipt.
pub fn places(answer: &str) -> (String, Vec<(u64, Option<String>)>) {
    let mut words = answer.split(' ');
    assert_eq!(words.next(), Some("v1"), "{answer}");
    let ledger = words.next().expect("a ledger").to_owned();
    let mut places = Vec::new();
    for run in words {
        let (indexes, hashes) = run.split_once(':').unwrap_or((run, ""));
        let (first, last) = indexes.split_once('-').unwrap_or((indexes, indexes));
        let (first, last): (u64, u64) = (first.parse().expect("an index"), last.parse().expect("an index"));
        let hashes = URL_SAFE_NO_PAD.decode(hashes).expect("base64");
        let hashes: Vec<String> =
            hashes.chunks(32).map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
        let count = (last - first + 1) as usize;
        for at in 0..count {
            let hash = match hashes.len() {
                all if all == count => Some(hashes[at].clone()),
                1 if at + 1 == count => Some(hashes[0].clone()),
                0 | 1 => None,
                other => panic!("{other} hashes for {count} records: {answer}"),
            };
            places.push((first + at as u64, hash));
        }
    }
    (ledger, places)
}

/// The lines of a receipts file.
///
/// # Panics
/// If the answer is no receipt of so many records.
pub fn lines(answer: &str, event_ids: &[EventId]) -> String {
    let (ledger, places) = places(answer);
    assert_eq!(places.len(), event_ids.len(), "{answer}");
    let line = |((index, hash), id): (&(u64, Option<String>), &EventId)| {
        format!("tachograph-receipt/v1 {ledger} {index} {} {id}\n", hash.as_deref().unwrap_or("-"))
    };
    places.iter().zip(event_ids).map(line).collect()
}
