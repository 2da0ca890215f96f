//! Legal holds: which records must not be destroyed, whatever their date, as the ledger itself says.
//!
//! A hold is a question, not a list: what is recorded after it was added and answers to it is held too. `tachograph expire` asks
//! every hold in force about every object before it destroys it. In a store that knows legal holds the objects that answer when the
//! hold is added get one there as well, so that nobody can destroy them past us.

use serde::{Deserialize, Serialize};
use tachograph_exporters::archive::reader::{ReadError, Reader, Search};
use tachograph_ledger::Object;
use tachograph_record::{Body, COLUMN_TEXT_LIMIT, EventId, Time, Value};

use crate::statements::{HOLD_ADD, HOLD_RELEASE, Statement};

/// Most event ids in one hold.
const MAX_EVENTS: usize = 1_000;
/// Longest reason.
const MAX_REASON_BYTES: usize = 4_096;

/// Which records a hold is about: all that is given must be true of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// It is one of these events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_ids: Vec<String>,
    /// It is of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// It is what this actor did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// It happened at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// It happened before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// What `hold.add` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Added {
    /// Which records.
    pub query: Query,
    /// Why.
    pub reason: String,
}

/// What `hold.release` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Released {
    /// Event id of the `hold.add`.
    pub hold: String,
    /// Why.
    pub reason: String,
}

/// A hold.
#[derive(Clone, Debug, Serialize)]
pub struct Hold {
    /// The event id of the record that added it.
    pub id: String,
    /// Which records.
    pub query: Query,
    /// Why.
    pub reason: String,
    /// Who added it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When.
    pub since: String,
    /// When it was lifted, and why; absent while it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<(String, String)>,
    #[serde(skip)]
    matcher: Matcher,
}

/// All holds of a ledger, in the order in which they were added, lifted ones too.
///
/// # Errors
/// Naming a statement that can't be understood: then nobody may say that something is not held.
pub fn of(statements: &[Statement]) -> Result<Vec<Hold>, String> {
    let mut holds: Vec<Hold> = Vec::new();
    for statement in statements {
        let odd =
            |what: String| format!("record {} ({}) can't be understood: {what}", statement.index, statement.action);
        if statement.action == HOLD_ADD {
            let Added { query, reason } = Added::deserialize(&statement.details).map_err(|e| odd(e.to_string()))?;
            holds.push(Hold {
                id: statement.event_id.to_string(),
                matcher: query.compile().map_err(odd)?,
                query,
                reason,
                by: statement.by.clone(),
                since: statement.said_at.to_string(),
                released: None,
            });
        } else if statement.action == HOLD_RELEASE {
            let Released { hold, reason } =
                Released::deserialize(&statement.details).map_err(|e| odd(e.to_string()))?;
            let lifted = holds.iter_mut().find(|known| known.id == hold && known.released.is_none());
            // A release that is only in the journal does not count yet.
            if let Some(lifted) = lifted.filter(|_| statement.archived) {
                lifted.released = Some((statement.said_at.to_string(), reason));
            }
        }
    }
    Ok(holds)
}

/// A query, read.
#[derive(Clone, Debug, Default)]
struct Matcher {
    events: Vec<EventId>,
    session: Option<String>,
    actor: Option<String>,
    from: Time,
    to: Option<Time>,
}

impl Query {
    /// Checks what a person or a record gave.
    ///
    /// # Errors
    /// Naming what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if *self == Self::default() {
            return Err("a hold needs at least one of --event, --session, --actor, --from, --to".to_owned());
        }
        self.compile().map(drop)
    }

    fn compile(&self) -> Result<Matcher, String> {
        if self.event_ids.len() > MAX_EVENTS {
            return Err(format!("{} events in one hold; at most {MAX_EVENTS}", self.event_ids.len()));
        }
        let event = |id: &String| EventId::parse(id).ok_or_else(|| format!("`{id}` is no event id (a UUID)"));
        let text = |text: &Option<String>| match text {
            Some(long) if long.len() > COLUMN_TEXT_LIMIT => {
                Err(format!("an id of {} bytes; at most {COLUMN_TEXT_LIMIT}", long.len()))
            }
            Some(empty) if empty.is_empty() => Err("an empty id".to_owned()),
            _ => Ok(text.clone()),
        };
        let time = |text: &Option<String>| {
            let parsed = text.as_ref().map(|text| Time::parse(text).map_err(|error| format!("`{text}`: {error}")));
            parsed.transpose()
        };
        let matcher = Matcher {
            events: self.event_ids.iter().map(event).collect::<Result<_, _>>()?,
            session: text(&self.session_id)?,
            actor: text(&self.actor_id)?,
            from: time(&self.from)?.unwrap_or_default(),
            to: time(&self.to)?,
        };
        if matcher.to.is_some_and(|to| to <= matcher.from) {
            return Err("--to must be later than --from".to_owned());
        }
        Ok(matcher)
    }
}

impl Matcher {
    fn matches(&self, bytes: &[u8]) -> bool {
        // What can't be read is held: it must not be destroyed for that.
        let Ok(Body { record, .. }) = Body::parse_columns(bytes) else { return true };
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        (self.events.is_empty() || self.events.contains(&record.event_id))
            && is(&self.session, record.session_id.as_deref())
            && is(&self.actor, record.actor_id.as_deref())
            && record.timestamp >= self.from
            && self.to.is_none_or(|to| record.timestamp < to)
    }

    fn search(&self) -> Search<'_> {
        let mut any: Vec<(&'static str, Value<'_>)> =
            self.events.iter().map(|id| ("event_id", Value::Bytes(&id.0))).collect();
        if any.is_empty() {
            let texts = [("session_id", &self.session), ("actor_id", &self.actor)];
            let given = texts.into_iter().find_map(|(column, text)| Some((column, text.as_deref()?)));
            any.extend(given.map(|(column, text)| (column, Value::Text(text))));
        }
        Search { any, times: (self.from.unix_nanos(), self.to.map_or(u64::MAX, Time::unix_nanos)) }
    }
}

impl Hold {
    /// Whether it is in force.
    pub fn is_active(&self) -> bool {
        self.released.is_none()
    }

    /// Whether any record of an object answers to it; `None` if the object is gone.
    ///
    /// # Errors
    /// If the object can't be read.
    pub fn holds(&self, archive: &Reader, object: &Object) -> Result<Option<bool>, ReadError> {
        archive.any_in(object, &self.matcher.search(), |body| self.matcher.matches(body))
    }
}

/// Checks why a hold is added or lifted.
///
/// # Errors
/// If it says nothing, or too much.
pub fn check_reason(reason: &str) -> Result<(), String> {
    match reason.trim().len() {
        0 => Err("--reason is empty: say why, for who asks later".to_owned()),
        1..=MAX_REASON_BYTES => Ok(()),
        long => Err(format!("--reason has {long} bytes; at most {MAX_REASON_BYTES}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tachograph_record::{Kind, Record, write_body};

    const EARLY: &str = "2026-01-01T00:00:00.000000000Z";
    const LATE: &str = "2026-02-01T00:00:00.000000000Z";

    fn body(event: u8, session: &'static str, actor: &'static str, at: &str) -> Vec<u8> {
        let mut record = Record::new(EventId([event; 16]), Time::parse(at).unwrap(), Kind::Generation);
        record.session_id = Some(session.into());
        record.actor_id = Some(actor.into());
        let mut bytes = Vec::new();
        write_body(&record, &[1; 16], Time::default(), &mut bytes);
        bytes
    }

    fn statement(action: &str, id: u8, details: Json) -> Statement {
        let (action, event_id) = (action.to_owned(), EventId([id; 16]));
        Statement { index: id.into(), event_id, said_at: Time::default(), action, by: None, details, archived: true }
    }

    use serde_json::{Value as Json, json};

    #[test]
    fn all_that_is_given_must_be_true() {
        let query = Query {
            session_id: Some("s".to_owned()),
            actor_id: Some("a".to_owned()),
            from: Some(EARLY.to_owned()),
            to: Some(LATE.to_owned()),
            ..Query::default()
        };
        let matcher = query.compile().unwrap();
        assert!(matcher.matches(&body(1, "s", "a", EARLY)));
        assert!(!matcher.matches(&body(1, "t", "a", EARLY)));
        assert!(!matcher.matches(&body(1, "s", "b", EARLY)));
        assert!(!matcher.matches(&body(1, "s", "a", LATE)), "the end is not in it");
        assert!(matcher.matches(b"not a body"), "what can't be read is not destroyed");
        let events = Query { event_ids: vec![EventId([2; 16]).to_string()], ..Query::default() }.compile().unwrap();
        assert!(events.matches(&body(2, "x", "y", LATE)) && !events.matches(&body(3, "x", "y", LATE)));
    }

    #[test]
    fn holds_follow_from_statements_in_order() {
        let id = EventId([1; 16]).to_string();
        let add = |n| statement(HOLD_ADD, n, json!({ "query": { "session_id": "s" }, "reason": "court" }));
        let release = |n| statement(HOLD_RELEASE, n, json!({ "hold": id, "reason": "settled" }));
        let holds = of(&[add(1), add(2), release(3), release(4)]).unwrap();
        assert_eq!(holds.iter().map(Hold::is_active).collect::<Vec<_>>(), [false, true]);
        assert_eq!(holds[0].released.as_ref().unwrap().1, "settled");
        assert!(of(&[release(1)]).unwrap().is_empty(), "what was never held can't be released");
        let in_the_journal = |statement| Statement { archived: false, ..statement };
        let holds = of(&[add(1), in_the_journal(add(2)), in_the_journal(release(3))]).unwrap();
        assert!(holds.iter().all(Hold::is_active), "a hold counts at once, its end only when it is archived");
    }

    #[test]
    fn a_statement_that_nobody_understands_is_an_error() {
        for details in [
            json!({}),
            json!({ "query": { "sesion": "s" }, "reason": "x" }),
            json!({ "query": { "from": "x" }, "reason": "x" }),
        ] {
            let error = of(&[statement(HOLD_ADD, 7, details)]).unwrap_err();
            assert!(error.contains("record 7"), "{error}");
        }
    }

    #[test]
    fn queries_are_checked() {
        let of = |change: fn(&mut Query)| {
            let mut query = Query::default();
            change(&mut query);
            query.check().unwrap_err()
        };
        assert!(of(|_| {}).contains("at least one"));
        assert!(of(|query| query.event_ids = vec!["x".to_owned()]).contains("`x`"));
        assert!(of(|query| query.from = Some("yesterday".to_owned())).contains("`yesterday`"));
        assert!(of(|query| query.session_id = Some(String::new())).contains("empty"));
        assert!(of(|query| (query.from, query.to) = (Some(LATE.to_owned()), Some(EARLY.to_owned()))).contains("later"));
        assert!(check_reason(" ").is_err() && check_reason("court order 7").is_ok());
    }
}
