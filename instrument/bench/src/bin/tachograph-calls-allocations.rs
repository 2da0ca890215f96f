//! Allocations of each case, a call: a program of its own, because counting costs time. Prints JSON.

#![forbid(unsafe_code)]

use serde_json::{Map, json};
use tachograph_calls::cases::{CASES, CHUNK, World};
use tachograph_calls::measure::rounded;

fn main() {
    let world = World::new();
    let mut counts = Map::new();
    // The first round fills what is filled once.
    for _ in 0..2 {
        world.round(CHUNK, |case, number, calls| {
            let info = allocation_counter::measure(calls);
            let a_call = |total: u64| rounded(total as f64 / number as f64, 2);
            let count = json!({ "allocations": a_call(info.count_total), "bytes": a_call(info.bytes_total) });
            counts.insert(CASES[case].name.to_owned(), count);
        });
    }
    println!("{}", serde_json::Value::Object(counts));
}
