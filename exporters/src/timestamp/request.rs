//! What is asked of an authority, and whether its answer answers that.

use der::asn1::OctetStringRef;
use der::{Encode, Sequence};
use tachograph_ledger::{Hash, sha256};

use super::token::Token;
use super::{Roots, Stamp, TimestampError, asn1};

/// A `TimeStampReq` over the SHA-256 of some data, whose answer must bring the certificate.
#[derive(Clone, Debug)]
pub struct Request {
    imprint: Hash,
    nonce: u64,
}

#[derive(Sequence)]
struct TimeStampReq<'a> {
    version: u8,
    imprint: MessageImprint<'a>,
    nonce: u64,
    certificates: bool,
}

#[derive(Sequence)]
struct MessageImprint<'a> {
    algorithm: Algorithm,
    hash: &'a OctetStringRef,
}

#[derive(Sequence)]
struct Algorithm {
    oid: asn1::Oid,
    parameters: der::asn1::Null,
}

impl Request {
    /// Asks about `data`. `nonce` is 64 random bits, which the answer must repeat: so it is no older than the request.
    pub fn new(data: &[u8], nonce: u64) -> Self {
        Self { imprint: sha256(data), nonce }
    }

    /// The bytes to send, of type `application/timestamp-query`.
    pub fn to_der(&self) -> Vec<u8> {
        let algorithm = Algorithm { oid: asn1::SHA_256, parameters: der::asn1::Null };
        let hash = OctetStringRef::new(self.imprint.as_bytes()).expect("32 bytes are not too long");
        let imprint = MessageImprint { algorithm, hash };
        let request = TimeStampReq { version: 1, imprint, nonce: self.nonce, certificates: true };
        request.to_der().expect("a few fixed fields can be encoded")
    }

    /// Checks the answer, up to `roots` if some are given.
    ///
    /// # Errors
    /// If it is no good token, or the token of another request.
    pub fn check(&self, answer: &[u8], roots: Option<&Roots>) -> Result<Stamp, TimestampError> {
        let token = Token::parse(answer)?;
        token.check_imprint(&self.imprint)?;
        if token.info.nonce != Some(asn1::unsigned(&self.nonce.to_be_bytes())) {
            let what = "the nonce is not the one that was sent: it is the answer to another request";
            return Err(TimestampError::Rejected(what.to_owned()));
        }
        let stamp = token.check_signature()?;
        if let Some(roots) = roots {
            token.check_authority(&stamp, roots)?;
        }
        Ok(stamp)
    }
}
