//! Outbound: requests of the collector to services of other parties (witnesses, time-stamp authorities, key services).
//!
//! Blocking, for threads that may wait; never on the way of an acknowledgement. Each request has a time limit as a whole and its
//! answer a bound; redirects are not followed and no proxy of the environment is used, for who is asked was configured by name.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

/// Asks services over HTTP and HTTPS.
#[derive(Clone, Debug)]
pub struct Outbound {
    agent: Agent,
}

/// What a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type, empty if there is none.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer. Says nothing of what was sent, which may hold secrets.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The authorities' file can't be read.
    #[error("{path}: {what}; a file of PEM certificates is expected")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The service did not answer.
    #[error("{url}: {what}")]
    Failed {
        /// Who was asked.
        url: String,
        /// What went wrong.
        what: String,
    },
}

impl Outbound {
    /// For services whose certificates are of the authorities in `authorities`, a PEM file, or else of those that the machine trusts.
    /// `limit` is the time for a whole request.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn new(authorities: Option<&Path>, limit: Duration) -> Result<Self, OutboundError> {
        let roots = match authorities {
            Some(path) => read_authorities(path)?,
            None => rustls_native_certs::load_native_certs()
                .certs
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect(),
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("tachograph/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent() })
    }

    /// Posts `body`. At most `max_answer` bytes of the answer are taken; more is an error.
    ///
    /// # Errors
    /// If there is no whole answer. A status of any kind is an answer.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        max_answer: u64,
    ) -> Result<Answer, OutboundError> {
        let request = headers.iter().fold(self.agent.post(url), |request, (name, value)| request.header(*name, *value));
        whole(url, request.send(body), max_answer)
    }

    /// Asks for what is at `url`, with the same bounds.
    ///
    /// # Errors
    /// As [`post`](Self::post).
    pub fn get(&self, url: &str, headers: &[(&str, &str)], max_answer: u64) -> Result<Answer, OutboundError> {
        let request = headers.iter().fold(self.agent.get(url), |request, (name, value)| request.header(*name, *value));
        whole(url, request.call(), max_answer)
    }
}

/// Reads an answer to its end.
fn whole(
    url: &str,
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    max_answer: u64,
) -> Result<Answer, OutboundError> {
    let failed = |error: ureq::Error| OutboundError::Failed { url: shown(url), what: error.to_string() };
    let mut response = response.map_err(failed)?;
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: content_type.unwrap_or_default().to_owned(),
        body: response.body_mut().with_config().limit(max_answer).read_to_vec().map_err(failed)?,
    })
}

/// A URL without what may be a secret in it: user, password and query.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.to_owned(),
    }
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate<'static>>, OutboundError> {
    let wrong = |what: String| OutboundError::Authorities { path: path.display().to_string(), what };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_in_a_message_has_no_secret() {
        assert_eq!(shown("https://user:secret@tsa.example/tsr?key=secret#x"), "https://tsa.example/tsr");
        assert_eq!(shown("http://127.0.0.1:1"), "http://127.0.0.1:1");
    }

    #[test]
    fn nobody_there_is_an_error_that_names_who_was_asked() {
        let outbound = Outbound::new(None, Duration::from_secs(2)).expect("made");
        // Port 1 of loopback: nothing listens there.
        let error = outbound.post("http://127.0.0.1:1/add", &[], b"x", 10).expect_err("nobody there").to_string();
        assert!(error.starts_with("http://127.0.0.1:1/add: "), "{error}");
    }
}
