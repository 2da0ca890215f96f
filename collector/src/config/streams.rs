//! What may stand below `streams` in the file.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use tachograph_ledger::{StreamBy, StreamKind};

use super::Streams;
use super::quantity::Span;

const DEFAULT_CLOSE_AFTER: Duration = Duration::from_secs(3_600);

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StreamsFile {
    by: Option<ByFile>,
    close_after: Option<Span>,
}

impl StreamsFile {
    pub(super) fn check(self, problems: &mut Vec<String>) -> Streams {
        let close_after = self.close_after.map_or(DEFAULT_CLOSE_AFTER, |span| span.0);
        if close_after < Duration::from_secs(1) {
            problems.push("streams.close_after is below 1s, the least".to_owned());
        }
        let default = || StreamBy::new(&[StreamKind::Session, StreamKind::Agent]);
        Streams { by: self.by.map_or_else(default, |by| by.0), close_after }
    }
}

/// A list of kinds, or `off`.
struct ByFile(Option<StreamBy>);

impl<'de> Deserialize<'de> for ByFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByVisitor;
        impl<'de> Visitor<'de> for ByVisitor {
            type Value = ByFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of `session` and `agent` in order of preference, each once at most, or `off`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByFile, E> {
                match text {
                    "off" => Ok(ByFile(None)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            // To some readers of YAML `off` is false.
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<ByFile, E> {
                if on { Err(E::invalid_value(de::Unexpected::Bool(on), &self)) } else { Ok(ByFile(None)) }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ByFile, A::Error> {
                let mut kinds = Vec::new();
                while let Some(word) = list.next_element::<String>()? {
                    match StreamKind::parse(&word) {
                        Some(kind) if kinds.len() < 2 => kinds.push(kind),
                        _ => return Err(de::Error::invalid_value(de::Unexpected::Str(&word), &self)),
                    }
                }
                let by = StreamBy::new(&kinds);
                by.map(|by| ByFile(Some(by))).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Seq, &self))
            }
        }
        deserializer.deserialize_any(ByVisitor)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Overrides};

    fn by(text: &str) -> Result<Option<String>, String> {
        let config = Config::parse("test", &format!("streams: {{ by: {text} }}\n"), &Overrides::default());
        config.map(|config| config.streams.by.map(|by| by.to_string())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_order_is_the_one_that_is_written() {
        assert_eq!(by("[session, agent]"), Ok(Some("session,agent".to_owned())));
        assert_eq!(by("[agent, session]"), Ok(Some("agent,session".to_owned())));
        assert_eq!(by("[agent]"), Ok(Some("agent".to_owned())));
        assert_eq!(by("off"), Ok(None));
        let config = Config::parse("test", "", &Overrides::default()).unwrap();
        assert_eq!(config.streams.by.map(|by| by.to_string()), Some("session,agent".to_owned()));
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["[]", "[user]", "[session, session]", "[session, agent, agent]", "on", "session", "7"] {
            assert!(by(wrong).unwrap_err().contains("`session` and `agent`"), "{wrong}: {:?}", by(wrong));
        }
        let short = Config::parse("test", "streams: { close_after: 10ms }\n", &Overrides::default());
        assert!(short.unwrap_err().to_string().contains("streams.close_after"));
    }
}
