//! The control socket: how commands beside a running collector have it say something in its ledger.
//!
//! A Unix socket in the data directory, for the directory's owner alone. A client sends one line of JSON and gets one back:
//!
//! ```json
//! {"v":"1","action":"hold.add","details":{"query":{"session_id":"s-7"},"reason":"court order 7"}}
//! {"event_id":"01a203a7-715e-7fc1-a919-cdfba0e89593"}
//! ```
//!
//! or `{"error":"…"}`. The action `streams.close` has no details and is answered with `{"size":"…"}`, and so is `ledger.close`. What is answered with an event id is archived, not only in the journal. Who asked stands in the record as its
//! actor, by the user id that the kernel gives, not by what the client says.
//!
//! Bounds: one connection at a time, a request of at most [`MAX_REQUEST_BYTES`] within [`READ_TIMEOUT`].

mod client;
mod server;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub use client::{Client, ControlError};
pub use server::{Speaker, bind, serve};

use crate::holds::{Added, Released, check_reason};
use crate::inventory::{self, Destroy, DestroyedNow};
use crate::key_ring::Named;
use crate::statements::{BY_PEOPLE, HOLD_ADD, HOLD_RELEASE};
use std::time::Duration;
use tachograph_exporters::verify::{RETENTION_DESTROY, RETENTION_DESTROYED};
use tachograph_ledger::VerifyingKey;
use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE};
use tachograph_record::Time;

/// Name of the socket in the data directory.
pub const SOCKET: &str = "control.sock";
/// Longest request: a statement about 500 objects has some 200 KiB.
pub const MAX_REQUEST_BYTES: u64 = 1 << 20;
/// How long a client may take to send its request.
pub const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the archive may take to hold the statement.
pub const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(120);

const VERSION: &str = "1";

/// What is asked for to have the generation of streams that is open stated and archived. It is answered with `{"size":"…"}`.
const CLOSE_STREAMS: &str = "streams.close";
/// What is asked for to have the ledger closed, and its end archived. It is answered with `{"size":"…"}`.
const CLOSE_LEDGER: &str = "ledger.close";

/// What a client asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    v: String,
    action: String,
    details: Json,
}

/// What it gets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    /// Sealed and archived.
    EventId(String),
    /// What was sealed until then is archived: as many records.
    Size(String),
    /// Not done.
    Error(String),
}

impl Request {
    /// The statement that is asked for, checked as whoever reads the ledger later will read it.
    fn statement(&self, now: Time) -> Result<(&'static str, String), String> {
        if self.v != VERSION {
            return Err(format!("version {} of a request; this collector knows {VERSION}", self.v));
        }
        let action = BY_PEOPLE.into_iter().find(|action| *action == self.action);
        let action =
            action.ok_or_else(|| format!("no statement `{}`; there are {}", self.action, BY_PEOPLE.join(", ")))?;
        check(action, &self.details, now).map_err(|what| format!("{action}: {what}"))?;
        Ok((action, self.details.to_string()))
    }
}

fn check(action: &str, details: &Json, now: Time) -> Result<(), String> {
    let odd = |error: serde_json::Error| error.to_string();
    match action {
        HOLD_ADD => {
            let added = Added::deserialize(details).map_err(odd)?;
            check_reason(&added.reason)?;
            added.query.check()
        }
        HOLD_RELEASE => check_reason(&Released::deserialize(details).map_err(odd)?.reason),
        RETENTION_DESTROY => past(&Destroy::deserialize(details).map_err(odd)?.objects, now),
        RETENTION_DESTROYED => past(&DestroyedNow::deserialize(details).map_err(odd)?.objects, now),
        KEY_ANNOUNCE | KEY_RETIRE => {
            let named = Named::deserialize(details).map_err(odd)?;
            VerifyingKey::parse(&named.vkey).map(drop).map_err(|error| error.to_string())
        }
        _ => Err("unknown".to_owned()),
    }
}

/// Checks that the recorder's clock, which dates the statement, is past the objects' dates too.
fn past(objects: &[inventory::Named], now: Time) -> Result<(), String> {
    for object in objects {
        let until = Time::parse(&object.retain_until).map_err(|error| format!("{}: {error}", object.path))?;
        if until > now {
            return Err(format!(
                "{} is kept until {}, and the collector's clock says {now}: wait, or set that clock right",
                object.path, object.retain_until
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
