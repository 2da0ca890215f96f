//! Whom the auditor trusts, and whether a certificate leads to them.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use tachograph_record::Time;
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter};

/// That the signer's own certificate is for time stamping alone was checked before. Of those above it RFC 5280 asks no purpose, and
/// authorities are at work whose certificates name others.
struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        purposes.try_for_each(|purpose| purpose.map(drop))
    }
}

/// Authorities that are trusted: name and key of each certificate. How long they themselves are valid is not asked.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
}

/// Why a file gives no authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}; a file of PEM certificates (-----BEGIN CERTIFICATE-----) is expected")]
pub struct RootsError(String);

/// Why a certificate leads nowhere.
pub(super) enum ChainError {
    /// To nobody who is trusted.
    Unknown,
    /// It, or one above it, was not valid then.
    NotValid(String),
    /// It leads there, but must not be used so.
    Refused(String),
}

impl Roots {
    /// Adds every certificate in a PEM text.
    ///
    /// # Errors
    /// If there is none in it, or one that can't be read.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), RootsError> {
        let before = self.anchors.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| RootsError(format!("not PEM: {error}")))?;
            let anchor = webpki::anchor_from_trusted_cert(&certificate);
            let anchor = anchor.map_err(|error| RootsError(format!("a certificate in it can't be read: {error}")))?;
            self.anchors.push(anchor.to_owned());
        }
        if self.anchors.len() == before {
            return Err(RootsError("no certificate in it".to_owned()));
        }
        Ok(())
    }

    /// Those in a PEM text.
    ///
    /// # Errors
    /// As [`add_pem`](Self::add_pem).
    pub fn from_pem(pem: &[u8]) -> Result<Self, RootsError> {
        let mut roots = Self::default();
        roots.add_pem(pem)?;
        Ok(roots)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Follows the certificate up to a root, over those that came along, all valid at `time`. `webpki` bounds depth (8) and work.
    pub(super) fn check(&self, signer: &[u8], along: &[&[u8]], time: Time) -> Result<(), ChainError> {
        let signer = CertificateDer::from(signer);
        let signer = EndEntityCert::try_from(&signer).map_err(of_webpki)?;
        let along: Vec<CertificateDer<'_>> = along.iter().map(|bytes| CertificateDer::from(*bytes)).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_nanos(time.unix_nanos()));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let found = signer.verify_for_usage(algorithms, &self.anchors, &along, time, AnyPurpose, None, None);
        found.map(|_| ()).map_err(of_webpki)
    }
}

fn of_webpki(error: Error) -> ChainError {
    match error {
        Error::UnknownIssuer => ChainError::Unknown,
        Error::CertExpired { .. } | Error::CertNotValidYet { .. } | Error::InvalidCertValidity => {
            ChainError::NotValid(error.to_string())
        }
        other => ChainError::Refused(format!("the certificate that signed can't be followed to an authority: {other}")),
    }
}
