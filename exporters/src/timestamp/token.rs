//! A token and its checks, in the order of RFC 3161, section 2.2 and 2.4.2, and RFC 5816.

use std::time::Duration;

use der::asn1::OctetStringRef;
use der::{AnyRef, Decode, Encode, Reader, Tag};
use ring::digest;
use tachograph_ledger::{Hash, sha256};
use tachograph_record::Time;
use webpki::EndEntityCert;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;

use super::asn1::{self, Oid, SignedData, SignerId, SignerInfo, TstInfo};
use super::authorities::ChainError;
use super::{MAX_TOKEN_BYTES, Roots, Stamp, TimestampError};

const GRANTED: u8 = 0;

/// A token that was granted and can be read. Nothing in it is trusted yet.
pub(super) struct Token<'a> {
    data: SignedData<'a>,
    pub(super) info: TstInfo<'a>,
    time: Time,
}

/// The certificate that signed.
struct Signer<'a> {
    der: &'a [u8],
    certificate: Certificate,
}

fn damaged(what: impl std::fmt::Display) -> TimestampError {
    TimestampError::Damaged(what.to_string())
}

fn rejected(what: impl std::fmt::Display) -> TimestampError {
    TimestampError::Rejected(what.to_string())
}

impl<'a> Token<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, TimestampError> {
        if bytes.len() as u64 > MAX_TOKEN_BYTES {
            return Err(damaged(format!("{} bytes; a token has at most {MAX_TOKEN_BYTES}", bytes.len())));
        }
        let not_der = |error: der::Error| damaged(format!("not a time-stamp response of RFC 3161: {error}"));
        let response = asn1::response(bytes).map_err(not_der)?;
        if response.status != GRANTED {
            let text = if response.text.is_empty() { "no reason given".to_owned() } else { response.text.join("; ") };
            return Err(rejected(format!("the authority did not grant it (status {}): {text}", response.status)));
        }
        let data = response.token.ok_or_else(|| damaged("granted, but without a token"))?;
        let info = asn1::tst_info(data.content).map_err(not_der)?;
        let time = read_time(info.time).ok_or_else(|| damaged(format!("`{}` is no time", info.time)))?;
        Ok(Self { data, info, time })
    }

    pub(super) fn check_data(&self, data: &[u8]) -> Result<(), TimestampError> {
        self.check_imprint(&sha256(data))
    }

    pub(super) fn check_imprint(&self, expected: &Hash) -> Result<(), TimestampError> {
        if self.info.imprint_algorithm != asn1::SHA_256 {
            return Err(rejected(format!(
                "it is over a hash of kind {}; SHA-256 is needed",
                self.info.imprint_algorithm
            )));
        }
        if self.info.imprint == expected.as_bytes() {
            return Ok(());
        }
        let found = self.info.imprint.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
        Err(TimestampError::OtherData { found, expected: expected.to_hex() })
    }

    /// Checks that the certificate in the token signed just this, and may sign time stamps.
    pub(super) fn check_signature(&self) -> Result<Stamp, TimestampError> {
        let info = &self.data.signer;
        let signer = self.signer()?;
        self.check_attributes(info, &signer)?;
        check_purpose(&signer.certificate)?;
        // What is signed are the attributes as a SET of their own.
        let signed = AnyRef::new(Tag::Set, info.signed_attributes).and_then(|set| set.to_der()).map_err(damaged)?;
        let der = signer.der.into();
        let key =
            EndEntityCert::try_from(&der).map_err(|error| rejected(format!("the certificate that signed: {error}")))?;
        let algorithms = algorithms(info)?;
        if !algorithms.iter().any(|algorithm| key.verify_signature(*algorithm, &signed, info.signature).is_ok()) {
            return Err(damaged(
                "the signature is wrong, or of a key that is not supported (RSA of 2,048 to 8,192 bits, P-256 and P-384 are)",
            ));
        }
        let tbs = signer.certificate.tbs_certificate();
        let (since, until) = (of_x509(tbs.validity().not_before), of_x509(tbs.validity().not_after));
        let authority = tbs.subject().to_string();
        if self.time < since || self.time > until {
            let what = format!("it is from {since} to {until}");
            return Err(TimestampError::Expired { authority, time: self.time, what });
        }
        Ok(Stamp { time: self.time, accuracy: Duration::from_micros(self.info.accuracy), authority, expires: until })
    }

    /// Follows the signer's certificate to somebody who is trusted.
    pub(super) fn check_authority(&self, stamp: &Stamp, roots: &Roots) -> Result<(), TimestampError> {
        let signer = self.signer()?;
        let authority = stamp.authority.clone();
        roots.check(signer.der, &self.data.certificates, self.time).map_err(|error| match error {
            ChainError::Unknown => TimestampError::UnknownAuthority { authority },
            ChainError::NotValid(what) => TimestampError::Expired { authority, time: self.time, what },
            ChainError::Refused(what) => TimestampError::Rejected(what),
        })
    }

    /// The certificate that the signature names.
    fn signer(&self) -> Result<Signer<'a>, TimestampError> {
        let all = self.data.certificates.iter();
        let read = all.filter_map(|der| Some(Signer { der, certificate: Certificate::from_der(der).ok()? }));
        let mut named = read.filter(|signer| is_named(&signer.certificate, &self.data.signer.signer));
        named.next().ok_or_else(|| damaged("the certificate that signed is not in it"))
    }

    fn check_attributes(&self, info: &SignerInfo<'_>, signer: &Signer<'_>) -> Result<(), TimestampError> {
        let attribute = |name: Oid| info.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let content_type = attribute(asn1::CONTENT_TYPE).and_then(|value| Oid::from_der(value).ok());
        if content_type != Some(asn1::TST_INFO) {
            return Err(damaged("what is signed is no time stamp (content-type attribute)"));
        }
        let digest = attribute(asn1::MESSAGE_DIGEST).and_then(|value| <&OctetStringRef>::from_der(value).ok());
        let hash = hash_of(info.digest)?;
        if digest.is_none_or(|digest| digest.as_bytes() != digest::digest(hash, self.data.content).as_ref()) {
            return Err(damaged("the content is not what was signed (message-digest attribute)"));
        }
        let first = attribute(asn1::SIGNING_CERTIFICATE);
        let second = attribute(asn1::SIGNING_CERTIFICATE_V2);
        if first.is_none() && second.is_none() {
            return Err(rejected("it does not sign which certificate signed it (signing-certificate attribute)"));
        }
        for (value, version) in first.map(|value| (value, 1)).into_iter().chain(second.map(|value| (value, 2))) {
            let (hash, named) = certificate_hash(value, version)
                .map_err(|error| damaged(format!("the signing-certificate attribute: {error}")))?;
            if digest::digest(hash_of_certificate(hash)?, signer.der).as_ref() != named {
                return Err(damaged(
                    "another certificate signed than the one that it says (signing-certificate attribute)",
                ));
            }
        }
        Ok(())
    }
}

/// A time in a certificate; the last that there is if it is later.
fn of_x509(time: x509_cert::time::Time) -> Time {
    let nanos = time.to_unix_duration().as_nanos().min(i64::MAX as u128);
    u64::try_from(nanos).ok().and_then(|nanos| Time::from_unix_nanos(nanos).ok()).unwrap_or_default()
}

/// Whether a signature names this certificate.
fn is_named(certificate: &Certificate, by: &SignerId<'_>) -> bool {
    let tbs = certificate.tbs_certificate();
    match by {
        SignerId::IssuerAndSerial(der) => {
            let read = |reader: &mut der::SliceReader<'_>| {
                reader.sequence(|reader| Ok::<_, der::Error>((Name::decode(reader)?, SerialNumber::decode(reader)?)))
            };
            let named: der::Result<(Name, SerialNumber)> = asn1::whole(der, read);
            named.is_ok_and(|(issuer, serial)| issuer == *tbs.issuer() && serial == *tbs.serial_number())
        }
        SignerId::KeyIdentifier(id) => {
            let own = tbs.get_extension::<SubjectKeyIdentifier>().ok().flatten();
            own.is_some_and(|(_, own)| own.0.as_bytes() == *id)
        }
    }
}

/// RFC 3161, section 2.3: one purpose, time stamping, and critical.
fn check_purpose(certificate: &Certificate) -> Result<(), TimestampError> {
    let purposes = certificate.tbs_certificate().get_extension::<ExtendedKeyUsage>();
    let purposes = purposes.map_err(|error| damaged(format!("the purposes of the certificate: {error}")))?;
    match purposes {
        Some((true, purposes)) if purposes.0 == [asn1::TIME_STAMPING] => Ok(()),
        _ => Err(rejected(
            "the certificate that signed is not for time stamping alone (extended key usage timeStamping, critical)",
        )),
    }
}

/// The first of the certificates that `SigningCertificate` (version 1) or `SigningCertificateV2` names: kind of hash, and hash.
fn certificate_hash(value: &[u8], version: u8) -> der::Result<(Oid, &[u8])> {
    asn1::whole(value, |reader| {
        reader.sequence(|reader| {
            let first = reader.sequence(|reader| {
                let first = reader.sequence(|reader| {
                    let mut algorithm = if version == 1 { asn1::SHA_1 } else { asn1::SHA_256 };
                    if version == 2 && asn1::next_is(reader, Tag::Sequence) {
                        algorithm = asn1::algorithm(reader)?;
                    }
                    let hash = reader.decode::<&OctetStringRef>()?.as_bytes();
                    rest(reader)?;
                    Ok::<_, der::Error>((algorithm, hash))
                })?;
                rest(reader)?;
                Ok::<_, der::Error>(first)
            })?;
            rest(reader)?;
            Ok(first)
        })
    })
}

/// What follows is of no interest.
fn rest(reader: &mut der::SliceReader<'_>) -> der::Result<()> {
    while !reader.is_finished() {
        reader.tlv_bytes()?;
    }
    Ok(())
}

fn hash_of(algorithm: Oid) -> Result<&'static digest::Algorithm, TimestampError> {
    match algorithm {
        asn1::SHA_256 => Ok(&digest::SHA256),
        asn1::SHA_384 => Ok(&digest::SHA384),
        asn1::SHA_512 => Ok(&digest::SHA512),
        other => Err(rejected(format!("hash {other}; SHA-256, SHA-384 and SHA-512 are supported"))),
    }
}

/// The first version of the attribute has SHA-1 and no other. It is signed itself, and only says which of some known certificates it was.
fn hash_of_certificate(algorithm: Oid) -> Result<&'static digest::Algorithm, TimestampError> {
    match algorithm {
        asn1::SHA_1 => Ok(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        other => hash_of(other),
    }
}

type Algorithms = &'static [&'static dyn rustls_pki_types::SignatureVerificationAlgorithm];

/// How the signature may have been made. The curve is the key's to say.
fn algorithms(info: &SignerInfo<'_>) -> Result<Algorithms, TimestampError> {
    use webpki::ring;
    const RSA_SHA_256: Algorithms = &[ring::RSA_PKCS1_2048_8192_SHA256];
    const RSA_SHA_384: Algorithms = &[ring::RSA_PKCS1_2048_8192_SHA384];
    const RSA_SHA_512: Algorithms = &[ring::RSA_PKCS1_2048_8192_SHA512];
    const ECDSA_SHA_256: Algorithms = &[ring::ECDSA_P256_SHA256, ring::ECDSA_P384_SHA256];
    const ECDSA_SHA_384: Algorithms = &[ring::ECDSA_P256_SHA384, ring::ECDSA_P384_SHA384];
    match (info.algorithm, info.digest) {
        (asn1::RSA, asn1::SHA_256) | (asn1::RSA_SHA_256, _) => Ok(RSA_SHA_256),
        (asn1::RSA, asn1::SHA_384) | (asn1::RSA_SHA_384, _) => Ok(RSA_SHA_384),
        (asn1::RSA, asn1::SHA_512) | (asn1::RSA_SHA_512, _) => Ok(RSA_SHA_512),
        (asn1::ECDSA_SHA_256, _) => Ok(ECDSA_SHA_256),
        (asn1::ECDSA_SHA_384, _) => Ok(ECDSA_SHA_384),
        (other, _) => Err(rejected(format!(
            "a signature of kind {other}; RSA (PKCS #1) and ECDSA with SHA-256 or SHA-384, and RSA with SHA-512 are supported"
        ))),
    }
}

/// `YYYYMMDDhhmmss[.f…]Z`, UTC. RFC 3161 forbids all other forms of GeneralizedTime. What is finer than nanoseconds is cut.
fn read_time(text: &str) -> Option<Time> {
    let digits = text.strip_suffix('Z')?;
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, fraction)) if fraction.is_empty() || fraction.ends_with('0') => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (digits, ""),
    };
    let plain = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if whole.len() != 14 || !plain(whole) || !plain(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(9)];
    let [year, month, day, hour, minute, second] = [0..4, 4..6, 6..8, 8..10, 10..12, 12..14].map(|part| &whole[part]);
    Time::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}.{fraction:0<9}Z")).ok()
}
