//! The ASN.1 of RFC 3161 (requests, responses) and of RFC 5652 (signed data), as far as a token needs it.
//!
//! Read piece by piece with `der`'s reader and not into types of their own: what is hashed and signed must be the bytes as they came.

use der::asn1::{ObjectIdentifier, OctetStringRef, Utf8StringRef};
use der::{Decode, ErrorKind, Header, Length, Reader, Result, SliceReader, Tag, TagNumber};
use x509_cert::spki::AlgorithmIdentifierRef;

/// Of the usual size.
pub(super) type Oid = ObjectIdentifier;

const fn oid(text: &str) -> Oid {
    ObjectIdentifier::new_unwrap(text)
}

pub(super) const SHA_1: Oid = oid("1.3.14.3.2.26");
pub(super) const SHA_256: Oid = oid("2.16.840.1.101.3.4.2.1");
pub(super) const SHA_384: Oid = oid("2.16.840.1.101.3.4.2.2");
pub(super) const SHA_512: Oid = oid("2.16.840.1.101.3.4.2.3");
pub(super) const RSA: Oid = oid("1.2.840.113549.1.1.1");
pub(super) const RSA_SHA_256: Oid = oid("1.2.840.113549.1.1.11");
pub(super) const RSA_SHA_384: Oid = oid("1.2.840.113549.1.1.12");
pub(super) const RSA_SHA_512: Oid = oid("1.2.840.113549.1.1.13");
pub(super) const ECDSA_SHA_256: Oid = oid("1.2.840.10045.4.3.2");
pub(super) const ECDSA_SHA_384: Oid = oid("1.2.840.10045.4.3.3");
pub(super) const CONTENT_TYPE: Oid = oid("1.2.840.113549.1.9.3");
pub(super) const MESSAGE_DIGEST: Oid = oid("1.2.840.113549.1.9.4");
pub(super) const SIGNING_CERTIFICATE: Oid = oid("1.2.840.113549.1.9.16.2.12");
pub(super) const SIGNING_CERTIFICATE_V2: Oid = oid("1.2.840.113549.1.9.16.2.47");
pub(super) const TIME_STAMPING: Oid = oid("1.3.6.1.5.5.7.3.8");
const SIGNED_DATA: Oid = oid("1.2.840.113549.1.7.2");
pub(super) const TST_INFO: Oid = oid("1.2.840.113549.1.9.16.1.4");

/// Most certificates in a token, and most attributes of its signature.
const MAX_ITEMS: usize = 32;

/// `TimeStampResp`.
pub(super) struct Response<'a> {
    pub(super) status: u8,
    /// What the authority says to it, for people.
    pub(super) text: Vec<String>,
    pub(super) token: Option<SignedData<'a>>,
}

/// `SignedData` with one signer.
pub(super) struct SignedData<'a> {
    /// The `TSTInfo`, DER.
    pub(super) content: &'a [u8],
    /// DER.
    pub(super) certificates: Vec<&'a [u8]>,
    pub(super) signer: SignerInfo<'a>,
}

/// `SignerInfo`.
pub(super) struct SignerInfo<'a> {
    pub(super) signer: SignerId<'a>,
    pub(super) digest: Oid,
    /// The attributes without tag and length, as they came.
    pub(super) signed_attributes: &'a [u8],
    pub(super) attributes: Vec<(Oid, &'a [u8])>,
    pub(super) algorithm: Oid,
    pub(super) signature: &'a [u8],
}

/// Which certificate signed.
pub(super) enum SignerId<'a> {
    /// `IssuerAndSerialNumber`, DER.
    IssuerAndSerial(&'a [u8]),
    /// The key identifier in the certificate.
    KeyIdentifier(&'a [u8]),
}

/// `TSTInfo`.
pub(super) struct TstInfo<'a> {
    pub(super) imprint_algorithm: Oid,
    pub(super) imprint: &'a [u8],
    /// `GeneralizedTime` as text; RFC 3161 allows fractions of a second.
    pub(super) time: &'a str,
    /// Microseconds.
    pub(super) accuracy: u64,
    /// Without leading zeros.
    pub(super) nonce: Option<&'a [u8]>,
}

/// Reads all of `bytes`.
pub(super) fn whole<'a, T>(bytes: &'a [u8], read: impl FnOnce(&mut SliceReader<'a>) -> Result<T>) -> Result<T> {
    let mut reader = SliceReader::new(bytes)?;
    let value = read(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// `TimeStampResp`.
pub(super) fn response(bytes: &[u8]) -> Result<Response<'_>> {
    whole(bytes, |reader| {
        reader.sequence(|reader| {
            let (status, text) = reader.sequence(status_info)?;
            let token = if reader.is_finished() { None } else { Some(content_info(reader)?) };
            Ok(Response { status, text, token })
        })
    })
}

fn status_info(reader: &mut SliceReader<'_>) -> Result<(u8, Vec<String>)> {
    let status = u8::decode(reader)?;
    let mut text = Vec::new();
    if next_is(reader, Tag::Sequence) {
        reader.sequence(|reader| {
            while !reader.is_finished() {
                text.push(Utf8StringRef::decode(reader)?.as_str().to_owned());
            }
            Ok::<_, der::Error>(())
        })?;
    }
    if !reader.is_finished() {
        reader.decode::<der::asn1::BitStringRef<'_>>()?;
    }
    Ok((status, text))
}

fn content_info<'a>(reader: &mut SliceReader<'a>) -> Result<SignedData<'a>> {
    reader.sequence(|reader| {
        expect_oid(reader, SIGNED_DATA)?;
        inside(reader, context(0), |reader| reader.sequence(signed_data))
    })
}

fn signed_data<'a>(reader: &mut SliceReader<'a>) -> Result<SignedData<'a>> {
    // RFC 5652: 3, since the content is not plain data.
    expect_integer(reader, 3)?;
    let digest = inside(reader, Tag::Set, algorithm)?;
    let content = reader.sequence(|reader| {
        expect_oid(reader, TST_INFO)?;
        inside(reader, context(0), |reader| Ok(reader.decode::<&'a OctetStringRef>()?.as_bytes()))
    })?;
    let mut certificates = Vec::new();
    if next_is(reader, context(0)) {
        inside(reader, context(0), |reader| {
            while !reader.is_finished() {
                bounded(certificates.len())?;
                certificates.push(reader.tlv_bytes()?);
            }
            Ok(())
        })?;
    }
    if next_is(reader, context(1)) {
        // Revocation lists. Nobody signed that these belong here.
        reader.tlv_bytes()?;
    }
    let signer = inside(reader, Tag::Set, |reader| reader.sequence(signer_info))?;
    if signer.digest != digest {
        return Err(ErrorKind::Failed.into());
    }
    Ok(SignedData { content, certificates, signer })
}

fn signer_info<'a>(reader: &mut SliceReader<'a>) -> Result<SignerInfo<'a>> {
    let version = u8::decode(reader)?;
    let by_key = Tag::ContextSpecific { constructed: false, number: TagNumber(0) };
    let signer = match version {
        1 if next_is(reader, Tag::Sequence) => SignerId::IssuerAndSerial(reader.tlv_bytes()?),
        3 if next_is(reader, by_key) => SignerId::KeyIdentifier(value(reader)?),
        _ => return Err(ErrorKind::Failed.into()),
    };
    let digest = algorithm(reader)?;
    if !next_is(reader, context(0)) {
        return Err(ErrorKind::Failed.into());
    }
    let signed_attributes = value(reader)?;
    let attributes = whole(signed_attributes, attributes)?;
    let algorithm = algorithm(reader)?;
    let signature = reader.decode::<&'a OctetStringRef>()?.as_bytes();
    if next_is(reader, context(1)) {
        reader.tlv_bytes()?;
    }
    Ok(SignerInfo { signer, digest, signed_attributes, attributes, algorithm, signature })
}

/// Each attribute with its one value.
fn attributes<'a>(reader: &mut SliceReader<'a>) -> Result<Vec<(Oid, &'a [u8])>> {
    let mut found: Vec<(Oid, &'a [u8])> = Vec::new();
    while !reader.is_finished() {
        bounded(found.len())?;
        let attribute = reader.sequence(|reader| {
            let name = Oid::decode(reader)?;
            Ok::<_, der::Error>((name, inside(reader, Tag::Set, |reader| reader.tlv_bytes())?))
        })?;
        if found.iter().any(|(name, _)| *name == attribute.0) {
            return Err(ErrorKind::Failed.into());
        }
        found.push(attribute);
    }
    Ok(found)
}

/// `TSTInfo`.
pub(super) fn tst_info(bytes: &[u8]) -> Result<TstInfo<'_>> {
    whole(bytes, |reader| reader.sequence(read_tst_info))
}

fn read_tst_info<'a>(reader: &mut SliceReader<'a>) -> Result<TstInfo<'a>> {
    expect_integer(reader, 1)?;
    // The policy: which one there is, is between the authority and the operator.
    Oid::decode(reader)?;
    let (imprint_algorithm, imprint) = reader.sequence(|reader| {
        let algorithm = algorithm(reader)?;
        Ok::<_, der::Error>((algorithm, reader.decode::<&'a OctetStringRef>()?.as_bytes()))
    })?;
    // The authority's number of this token.
    skip(reader, Tag::Integer)?;
    if !next_is(reader, Tag::GeneralizedTime) {
        return Err(ErrorKind::Failed.into());
    }
    let time = std::str::from_utf8(value(reader)?).map_err(|_| ErrorKind::DateTime)?;
    let mut accuracy = 0;
    if next_is(reader, Tag::Sequence) {
        accuracy = reader.sequence(read_accuracy)?;
    }
    if next_is(reader, Tag::Boolean) {
        // Ordering: whether tokens of one authority can be put in order by their times. Nothing here rests on it.
        bool::decode(reader)?;
    }
    let mut nonce = None;
    if next_is(reader, Tag::Integer) {
        nonce = Some(unsigned(value(reader)?));
    }
    if next_is(reader, context(0)) {
        // The authority's name, as it says; that in its certificate counts.
        reader.tlv_bytes()?;
    }
    if next_is(reader, context(1)) {
        inside(reader, context(1), |reader| {
            while !reader.is_finished() {
                reader.sequence(extension)?;
            }
            Ok(())
        })?;
    }
    Ok(TstInfo { imprint_algorithm, imprint, time, accuracy, nonce })
}

fn read_accuracy(reader: &mut SliceReader<'_>) -> Result<u64> {
    let part = |number| Tag::ContextSpecific { constructed: false, number: TagNumber(number) };
    let mut micros = 0;
    if next_is(reader, Tag::Integer) {
        micros = u64::from(u32::decode(reader)?) * 1_000_000;
    }
    for (number, scale) in [(0, 1_000), (1, 1)] {
        if next_is(reader, part(number)) {
            let amount = match value(reader)? {
                [low] => u64::from(*low),
                [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
                _ => return Err(ErrorKind::Failed.into()),
            };
            if !(1..=999).contains(&amount) {
                return Err(ErrorKind::Failed.into());
            }
            micros += amount * scale;
        }
    }
    Ok(micros)
}

/// None is known, so one that must be known refuses the token.
fn extension(reader: &mut SliceReader<'_>) -> Result<()> {
    Oid::decode(reader)?;
    if next_is(reader, Tag::Boolean) && bool::decode(reader)? {
        return Err(ErrorKind::Failed.into());
    }
    reader.decode::<&OctetStringRef>()?;
    Ok(())
}

/// An algorithm of which nothing is to be said but its name.
pub(super) fn algorithm(reader: &mut SliceReader<'_>) -> Result<Oid> {
    let algorithm = AlgorithmIdentifierRef::decode(reader)?;
    match algorithm.parameters {
        Some(parameters) if !parameters.is_null() => Err(ErrorKind::Failed.into()),
        _ => Ok(algorithm.oid),
    }
}

/// The tag of a constructed `[number]`.
pub(super) const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

pub(super) fn next_is(reader: &SliceReader<'_>, tag: Tag) -> bool {
    !reader.is_finished() && Tag::peek(reader).is_ok_and(|next| next == tag)
}

/// Reads what is inside the next element, which must have this tag, to its end.
pub(super) fn inside<'a, T>(
    reader: &mut SliceReader<'a>,
    tag: Tag,
    read: impl FnOnce(&mut SliceReader<'a>) -> Result<T>,
) -> Result<T> {
    let header = Header::decode(reader)?;
    header.tag().assert_eq(tag)?;
    reader.read_nested(header.length(), read)
}

/// What is inside the next element, as bytes.
fn value<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8]> {
    let length: Length = Header::decode(reader)?.length();
    reader.read_slice(length)
}

fn skip(reader: &mut SliceReader<'_>, tag: Tag) -> Result<()> {
    Header::peek(reader)?.tag().assert_eq(tag)?;
    reader.tlv_bytes()?;
    Ok(())
}

fn expect_oid(reader: &mut SliceReader<'_>, expected: Oid) -> Result<()> {
    let oid = Oid::decode(reader)?;
    if oid == expected { Ok(()) } else { Err(ErrorKind::OidUnknown { oid }.into()) }
}

fn expect_integer(reader: &mut SliceReader<'_>, expected: u8) -> Result<()> {
    if u8::decode(reader)? == expected { Ok(()) } else { Err(ErrorKind::Failed.into()) }
}

fn bounded(items: usize) -> Result<()> {
    if items < MAX_ITEMS { Ok(()) } else { Err(ErrorKind::Overlength.into()) }
}

/// A number's bytes without leading zeros.
pub(super) fn unsigned(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}
