//! Time-stamp tokens (RFC 3161): an authority outside says that data existed at a time.
//!
//! Offline and without a store: [`verify`] needs the token, the data and the certificates of the authorities that the auditor trusts.
//! What is trusted is theirs to say; there is no list of authorities in here. Whether a certificate was revoked is not asked, since
//! that would need a network.
//!
//! A token is the DER `TimeStampResp` as the authority sent it, and everything in it is checked or refused: version numbers, algorithms
//! and parameters too, so that no second spelling of a good token is good. The certificates are checked by `webpki`, which also checks
//! TLS in the collector; signatures by `ring`.

mod asn1;
mod authorities;
mod request;
mod token;

use std::time::Duration;

use tachograph_record::Time;

pub use authorities::{Roots, RootsError};
pub use request::Request;
use token::Token;

/// Largest token that is read.
pub const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When, by the authority's clock.
    pub time: Time,
    /// How far the authority says that its clock may be off; zero if it does not say.
    pub accuracy: Duration,
    /// Name in the certificate that signed (RFC 4514).
    pub authority: String,
    /// Until when that certificate is valid. It was valid at [`time`](Self::time). Later the token alone proves less: whoever got
    /// hold of an old key could date back. So it must be under another token by then.
    pub expires: Time,
}

/// Why a token is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// It is not what an authority sent: no DER, a wrong hash or a wrong signature.
    #[error("damaged: {0}")]
    Damaged(String),
    /// It is over other data.
    #[error("it is over other data, with SHA-256 {found}; this has {expected}")]
    OtherData {
        /// Hash in the token, hex.
        found: String,
        /// Hash of the data, hex.
        expected: String,
    },
    /// It is whole, but of nobody whom the auditor trusts. Whether the time is true is not known.
    #[error("signed by `{authority}`, whose certificate leads to no authority that is known here")]
    UnknownAuthority {
        /// Name in the certificate that signed.
        authority: String,
    },
    /// A certificate was not valid at the token's own time.
    #[error("signed by `{authority}` at {time}, when its certificate, or one above it, was not valid: {what}")]
    Expired {
        /// Name in the certificate that signed.
        authority: String,
        /// The token's time.
        time: Time,
        /// Which end of the validity.
        what: String,
    },
    /// The authority refused, or the token is one that must not be taken.
    #[error("refused: {0}")]
    Rejected(String),
}

/// Verifies a token over `data`: form, hash, signature, and certificates up to one of `roots`, at the token's own time.
///
/// # Errors
/// If it is not good, saying how.
pub fn verify(token: &[u8], data: &[u8], roots: &Roots) -> Result<Stamp, TimestampError> {
    let token = Token::parse(token)?;
    token.check_data(data)?;
    let stamp = token.check_signature()?;
    token.check_authority(&stamp, roots)?;
    Ok(stamp)
}

/// Everything of [`verify`] but who the authority is: of certificates only that of the signer is looked at.
///
/// # Errors
/// If it is not good, whoever signed it.
pub fn inspect(token: &[u8], data: &[u8]) -> Result<Stamp, TimestampError> {
    let token = Token::parse(token)?;
    token.check_data(data)?;
    token.check_signature()
}
