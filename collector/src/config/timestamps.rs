//! What may stand below `timestamps` in the file.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::quantity::Span;
use super::{TimestampAuthority, Timestamps};
use crate::receive::Secret;

const DEFAULT_EVERY: Duration = Duration::from_secs(3_600);
const DEFAULT_RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3_600);
const MAX_AUTHORITIES: usize = 8;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimestampsFile {
    authorities: Vec<AuthorityFile>,
    every: Option<Span>,
    renew_before: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorityFile {
    url: String,
    ca: Option<PathBuf>,
    tls_ca: Option<PathBuf>,
    authorization: Option<String>,
}

impl TimestampsFile {
    pub(super) fn check(self, problems: &mut Vec<String>) -> Timestamps {
        let every = self.every.map_or(DEFAULT_EVERY, |span| span.0);
        let renew_before = self.renew_before.map_or(DEFAULT_RENEW_BEFORE, |span| span.0);
        if every < Duration::from_secs(1) {
            problems.push("timestamps.every is below 1s, the least".to_owned());
        }
        if self.authorities.len() > MAX_AUTHORITIES {
            problems.push(format!("timestamps.authorities has {}; at most {MAX_AUTHORITIES}", self.authorities.len()));
        }
        let authorities = self.authorities.into_iter().enumerate();
        let authorities = authorities.map(|(at, authority)| authority.check(at, problems)).collect();
        Timestamps { authorities, every, renew_before }
    }
}

impl AuthorityFile {
    fn check(self, at: usize, problems: &mut Vec<String>) -> TimestampAuthority {
        let mut wrong = |key: &str, what: &str| problems.push(format!("timestamps.authorities[{at}].{key}: {what}"));
        match self.url.parse::<http::Uri>() {
            Ok(url)
                if matches!(url.scheme_str(), Some("http" | "https"))
                    && url.host().is_some_and(|host| !host.is_empty()) =>
            {
                if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
                    wrong("url", "it has a user or a password in it; `authorization` is the place for that");
                }
            }
            _ => wrong("url", "not a URL that begins with http:// or https://"),
        }
        if let Some(value) = &self.authorization
            && (value.is_empty() || !value.bytes().all(|c| c == b' ' || c.is_ascii_graphic()))
        {
            wrong("authorization", "not what a header can carry, for example `Bearer …` or `Basic …`");
        }
        TimestampAuthority {
            url: self.url,
            ca: self.ca,
            tls_ca: self.tls_ca,
            authorization: self.authorization.map(Secret::new),
        }
    }
}
