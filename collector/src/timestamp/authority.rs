//! One time-stamp authority, and how it is asked.

use std::path::Path;
use std::time::Duration;

use tachograph_exporters::timestamp::{MAX_TOKEN_BYTES, Request, Roots, Stamp};

use crate::config::TimestampAuthority;
use crate::outbound::{Outbound, OutboundError};
use crate::receive::Secret;

/// For a whole request.
const LIMIT: Duration = Duration::from_secs(30);
/// Largest file of certificates.
const MAX_CA_BYTES: u64 = 1 << 20;

/// Why an authority of the configuration can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its certificates can't be read.
    #[error("timestamps.authorities, ca: {path}: {what}")]
    Ca {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The HTTP client.
    #[error("timestamps.authorities, tls_ca: {0}")]
    Outbound(#[from] OutboundError),
}

/// An authority.
pub(super) struct Authority {
    url: String,
    roots: Option<Roots>,
    authorization: Option<Secret>,
    outbound: Outbound,
}

impl Authority {
    pub(super) fn open(settings: &TimestampAuthority) -> Result<Self, AuthorityError> {
        let outbound = Outbound::new(settings.tls_ca.as_deref(), LIMIT)?;
        let roots = settings.ca.as_deref().map(read_roots).transpose()?;
        let authorization = settings.authorization.clone();
        Ok(Self { url: settings.url.clone(), roots, authorization, outbound })
    }

    /// The URL as it may be shown.
    pub(super) fn name(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// Asks for a token over `checkpoint`. What comes back is checked, up to the configured certificates if there are some.
    pub(super) fn ask(&self, checkpoint: &[u8], nonce: u64) -> Result<(Vec<u8>, Stamp), String> {
        let request = Request::new(checkpoint, nonce);
        let mut headers =
            vec![("content-type", "application/timestamp-query"), ("accept", "application/timestamp-reply")];
        headers.extend(self.authorization.as_ref().map(|secret| ("authorization", secret.expose())));
        let answer = self.outbound.post(&self.url, &headers, &request.to_der(), MAX_TOKEN_BYTES);
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{}: it answered HTTP status {}", self.name(), answer.status));
        }
        let stamp = request
            .check(&answer.body, self.roots.as_ref())
            .map_err(|error| format!("{}: the answer is no good time stamp, and is not kept: {error}", self.name()))?;
        Ok((answer.body, stamp))
    }
}

/// Certificates of authorities, from a PEM file.
fn read_roots(path: &Path) -> Result<Roots, AuthorityError> {
    use std::io::Read;
    let wrong = |what: String| AuthorityError::Ca { path: path.display().to_string(), what };
    let mut pem = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(MAX_CA_BYTES).read_to_end(&mut pem).map_err(|error| wrong(error.to_string()))?;
    Roots::from_pem(&pem).map_err(|error| wrong(error.to_string()))
}
