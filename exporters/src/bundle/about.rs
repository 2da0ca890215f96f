//! `bundle.json`, and the lines of `records.jsonl`.

use serde::{Deserialize, Serialize};
use tachograph_ledger::{Hash, LedgerName};
use tachograph_record::Time;

/// What a bundle is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// When it was made, by the clock of whoever made it.
    pub created_at: Time,
    /// The ledger's name.
    pub ledger: LedgerName,
    /// The ledger's verifier key line. Not to be believed: whoever checks has it from elsewhere.
    pub vkey: String,
    /// Leaves under the checkpoint.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// What was asked for.
    pub selection: Selection,
    /// The records that answer, rising.
    pub records: Vec<u64>,
    /// The record that bounds their time from below.
    pub anchor: Option<u64>,
    /// It is of version 2, whose bundles may have a `streams.json` and be about agents.
    pub is_second: bool,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Selection {
    /// The records that carry an id.
    Event {
        /// Event id, correlation id, trace id, output path or output hash.
        id: String,
    },
    /// Those, with all that caused them and all that they caused.
    Chain {
        /// As above.
        id: String,
    },
    /// The records of a session.
    Session {
        /// Its id.
        session_id: String,
    },
    /// The records of an agent.
    Agent {
        /// Its id.
        agent_id: String,
    },
    /// The records whose `timestamp` lies in a span of time.
    Time {
        /// From here.
        #[serde(with = "as_text")]
        from: Time,
        /// Up to but not including this.
        #[serde(with = "as_text")]
        to: Time,
    },
    /// A run of records, none left out.
    Indexes {
        /// The first.
        #[serde(with = "as_text")]
        first: u64,
        /// The last.
        #[serde(with = "as_text")]
        last: u64,
    },
}

/// Why a file of a bundle is not what the format says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AboutError {
    /// A version that this release does not know.
    #[error("the bundle is of version {0:?}, this release reads versions \"1\" and \"2\": use a newer release")]
    Version(String),
    /// Not the JSON that belongs there.
    #[error("{0}")]
    Json(String),
    /// The members of a line in another spelling.
    #[error(
        "the line is not `{{\"body\":…,\"index\":…,\"leaf\":…}}`, in this order, without white space, with its line feed"
    )]
    Spelling,
    /// A member's value is wrong.
    #[error("`{member}` is wrong: {expected} expected")]
    Value {
        /// Which member.
        member: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
}

impl Selection {
    /// In words, for a person.
    pub fn describe(&self) -> String {
        match self {
            Self::Event { id } => format!("the event {id}"),
            Self::Chain { id } => format!("the event {id}, all that caused it, and all that it caused"),
            Self::Session { session_id } => format!("the session {session_id}"),
            Self::Agent { agent_id } => format!("the agent {agent_id}"),
            Self::Time { from, to } => format!("all that happened from {from} until before {to}"),
            Self::Indexes { first, last } => format!("the records {first} to {last}, all of them"),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AboutJson {
    bundle: String,
    created_at: String,
    ledger: String,
    vkey: String,
    size: String,
    root: String,
    selection: Selection,
    records: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<String>,
}

#[derive(Deserialize)]
struct VersionOnly {
    bundle: String,
}

impl About {
    /// The file's bytes.
    pub fn encode(&self) -> String {
        let json = AboutJson {
            bundle: if self.is_second { "2" } else { "1" }.to_owned(),
            created_at: self.created_at.to_string(),
            ledger: self.ledger.to_string(),
            vkey: self.vkey.clone(),
            size: self.size.to_string(),
            root: self.root.to_hex(),
            selection: self.selection.clone(),
            records: self.records.iter().map(u64::to_string).collect(),
            anchor: self.anchor.map(|index| index.to_string()),
        };
        // Strings and lists of them: nothing that JSON lacks.
        serde_json::to_string_pretty(&json).unwrap_or_default() + "\n"
    }

    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, AboutError> {
        let of_json = |error: serde_json::Error| AboutError::Json(error.to_string());
        let version: VersionOnly = serde_json::from_slice(bytes).map_err(of_json)?;
        if !["1", "2"].contains(&version.bundle.as_str()) {
            return Err(AboutError::Version(version.bundle.chars().take(20).collect()));
        }
        let json: AboutJson = serde_json::from_slice(bytes).map_err(of_json)?;
        let value = |member, expected| AboutError::Value { member, expected };
        let number = |text: &str, member| decimal(text).ok_or(value(member, "a decimal number below 2^63"));
        let records = json.records.iter().map(|index| number(index, "records")).collect::<Result<Vec<_>, _>>()?;
        if records.is_empty() || records.len() > super::MAX_RECORDS || !records.is_sorted_by(|one, next| one < next) {
            return Err(value("records", "1 to 100,000 rising indexes"));
        }
        let is_second = version.bundle == "2";
        if !is_second && matches!(json.selection, Selection::Agent { .. }) {
            return Err(value("bundle", "\"2\" for an agent"));
        }
        Ok(Self {
            is_second,
            created_at: Time::parse(&json.created_at).map_err(|_| value("created_at", "a time of 30 characters"))?,
            ledger: LedgerName::parse(&json.ledger).map_err(|_| value("ledger", "a ledger's name"))?,
            vkey: json.vkey,
            size: number(&json.size, "size")?,
            root: Hash::from_hex(&json.root).ok_or(value("root", "64 hex digits"))?,
            selection: json.selection,
            records,
            anchor: json.anchor.map(|index| number(&index, "anchor")).transpose()?,
        })
    }
}

/// One line of `records.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLine {
    /// The body's bytes; `None` if it was destroyed.
    pub body: Option<String>,
    /// Index of the record.
    pub index: u64,
    /// The leaf's bytes.
    pub leaf: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineJson {
    body: Option<String>,
    index: String,
    leaf: String,
}

impl RecordLine {
    /// The line, with its line feed.
    pub fn encode(&self) -> String {
        let json = LineJson { body: self.body.clone(), index: self.index.to_string(), leaf: self.leaf.clone() };
        serde_json::to_string(&json).unwrap_or_default() + "\n"
    }

    /// Reads a line, with its line feed.
    pub fn parse(line: &[u8]) -> Result<Self, AboutError> {
        let line = line.strip_suffix(b"\n").ok_or(AboutError::Spelling)?;
        let json: LineJson = serde_json::from_slice(line).map_err(|error| AboutError::Json(error.to_string()))?;
        if !is_spelt(line, json.body.is_some()) {
            return Err(AboutError::Spelling);
        }
        let index = decimal(&json.index).ok_or(AboutError::Value { member: "index", expected: "a decimal number" })?;
        Ok(Self { body: json.body, index, leaf: json.leaf })
    }
}

/// Whether a line that is good JSON has its three members in their order and no white space between. How strings are escaped is free.
fn is_spelt(line: &[u8], has_body: bool) -> bool {
    // What stands outside of strings, and the keys, which need no escapes.
    let (mut outside, mut keys, mut inside, mut begin) = (Vec::new(), Vec::new(), false, 0);
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match (inside, byte) {
            (true, b'\\') => at += 1,
            (true, b'"') => {
                inside = false;
                if line.get(at + 1) == Some(&b':') {
                    keys.push(&line[begin..at]);
                }
            }
            (false, b'"') => (inside, begin) = (true, at + 1),
            (false, byte) => outside.push(*byte),
            (true, _) => {}
        }
        at += 1;
    }
    keys == [b"body".as_slice(), b"index", b"leaf"]
        && outside == if has_body { &b"{:,:,:}"[..] } else { b"{:null,:,:}" }
}

/// A number as it is written here: without sign and leading zeros.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number < 1 << 63 && number.to_string() == text).then_some(number)
}

/// Times and numbers as strings.
mod as_text {
    use std::fmt::Display;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Time, decimal};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, T: FromText>(deserializer: D) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        T::from_text(&text).ok_or_else(|| D::Error::custom(format!("{} expected", T::EXPECTED)))
    }

    pub(super) trait FromText: Sized {
        const EXPECTED: &str;
        fn from_text(text: &str) -> Option<Self>;
    }

    impl FromText for Time {
        const EXPECTED: &str = "a time of 30 characters";
        fn from_text(text: &str) -> Option<Self> {
            Self::parse(text).ok()
        }
    }

    impl FromText for u64 {
        const EXPECTED: &str = "a decimal number";
        fn from_text(text: &str) -> Option<Self> {
            decimal(text)
        }
    }
}
