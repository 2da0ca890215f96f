//! Bearer tokens.
//!
//! A token is compared by its SHA-256 in constant time, with all configured tokens each time, so that the time an
//! answer takes tells nothing about how much of a guess was right or which token matched.

use std::fmt;

use http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Text that is never printed, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for sending it to whom it is for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who may send.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// Tokens, any of which a request must carry. None: no token is asked for.
    pub tokens: Vec<Secret>,
}

impl Auth {
    /// Every token that could never be sent, in words; empty if all can.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (i, token) in self.tokens.iter().enumerate() {
            if token.0.is_empty() {
                problems.push(format!("token {} is empty", i + 1));
            } else if !token.0.bytes().all(|b| b.is_ascii_graphic()) {
                problems.push(format!(
                    "token {} has a character that a header cannot carry (white space at its end, perhaps): use letters, digits and punctuation",
                    i + 1
                ));
            }
        }
        problems
    }
}

/// The check itself.
#[derive(Clone)]
pub(super) struct Gate {
    token_hashes: Vec<[u8; 32]>,
}

impl Gate {
    pub(super) fn new(auth: &Auth) -> Self {
        Self { token_hashes: auth.tokens.iter().map(|t| hash(t.0.as_bytes())).collect() }
    }

    pub(super) fn permits(&self, headers: &HeaderMap) -> bool {
        if self.token_hashes.is_empty() {
            return true;
        }
        let Some(token) = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes())) else {
            return false;
        };
        let found = hash(token);
        self.token_hashes.iter().fold(Choice::from(0), |any, known| any | known.ct_eq(&found)).into()
    }
}

/// The token of `Bearer <token>`. The scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let token = rest.strip_prefix(b" ")?.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, http::HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn only_a_configured_token_passes() {
        let auth = Auth { tokens: vec![Secret::new("first"), Secret::new("second")] };
        let gate = Gate::new(&auth);
        for good in ["Bearer first", "bearer second", "BEARER  second "] {
            assert!(gate.permits(&headers(good)), "{good}");
        }
        for bad in ["Bearer", "Bearer ", "Bearer firs", "Bearer first2", "Basic first", "first", "Bearerfirst", ""] {
            assert!(!gate.permits(&headers(bad)), "{bad}");
        }
        assert!(!gate.permits(&HeaderMap::new()));
        assert!(Gate::new(&Auth::default()).permits(&HeaderMap::new()));
    }

    #[test]
    fn secrets_do_not_print() {
        let auth = Auth { tokens: vec![Secret::new("hunter2")] };
        assert_eq!(format!("{auth:?}"), "Auth { tokens: [***] }");
    }

    #[test]
    fn tokens_that_cannot_be_sent_are_named() {
        let auth = Auth { tokens: vec![Secret::new(""), Secret::new("fine"), Secret::new("line\n")] };
        let problems = auth.problems();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("token 1 is empty"));
        assert!(problems[1].contains("token 3") && !problems[1].contains("line\n"));
    }
}
