//! The key of a source: Ed25519, as OpenSSL makes it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// What stands before the seed in PKCS #8 (RFC 8410), of version 1 and, behind which the public key follows, of version 2.
const VERSION_1: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const VERSION_2: [u8; 16] = *b"\x30\x51\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
const BEFORE_PUBLIC: [u8; 3] = *b"\x81\x21\x00";
const SEED_BYTES: usize = 32;
/// What stands before the public key in its SubjectPublicKeyInfo.
const PUBLIC: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
/// A key takes some 120 bytes.
const MAX_FILE_BYTES: u64 = 4096;

/// The private key that signs the records of a producer: Ed25519. Neither `Debug` nor an error shows it; its memory is wiped.
///
/// ```
/// # fn main() -> Result<(), tachograph::SourceKeyError> {
/// // openssl genpkey -algorithm ed25519
/// let key = tachograph::SourceKey::from_pem(
///     "-----BEGIN PRIVATE KEY-----\n\
///      MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n\
///      -----END PRIVATE KEY-----\n",
/// )?;
/// assert!(key.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA"));
/// # Ok(())
/// # }
/// ```
pub struct SourceKey(SigningKey);

/// Why there is no key. Says nothing of what is in the file, which may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceKeyError {
    /// The file can't be read.
    #[error("the source's key can't be read from {}: {source} (the file comes from TACHOGRAPH_SOURCE_KEY or `SourceKey::read`)", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is no private key of this kind.
    #[error(
        "{}no unencrypted Ed25519 private key in PEM (PKCS #8); make one with `openssl genpkey -algorithm ed25519 -out FILE`",
        path.as_ref().map_or_else(String::new, |path| format!("{}: ", path.display()))
    )]
    Form {
        /// The file, if it came from one.
        path: Option<PathBuf>,
    },
}

impl SourceKey {
    /// Reads the key from a file, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    ///
    /// If the file can't be read or holds no such key.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SourceKeyError> {
        let path = path.as_ref().to_owned();
        let mut pem = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize));
        let file = std::fs::File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut pem));
        if let Err(source) = file {
            return Err(SourceKeyError::File { path, source });
        }
        let seed = std::str::from_utf8(&pem).ok().and_then(seed_of);
        seed.map(|seed| Self(SigningKey::from_bytes(&seed))).ok_or(SourceKeyError::Form { path: Some(path) })
    }

    /// The same from the text.
    ///
    /// # Errors
    ///
    /// If it is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, SourceKeyError> {
        let seed = seed_of(pem).ok_or(SourceKeyError::Form { path: None })?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The public key, for whoever verifies: what `openssl pkey -pubout` writes.
    pub fn public_pem(&self) -> String {
        let der = [&PUBLIC[..], self.0.verifying_key().as_bytes()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// The key's thumbprint as a JSON Web Key (RFC 7638, RFC 8037).
    pub(super) fn id(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.verifying_key().as_bytes());
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!("{{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"{x}\"}}")))
    }

    pub(super) fn sign(&self, text: &[u8]) -> String {
        STANDARD.encode(self.0.sign(text).to_bytes())
    }
}

impl std::fmt::Debug for SourceKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SourceKey({})", self.id())
    }
}

fn seed_of(pem: &str) -> Option<Zeroizing<[u8; SEED_BYTES]>> {
    let base64 = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    // Wholly allocated at first: what grows leaves copies behind.
    let mut letters = Zeroizing::new(Vec::with_capacity(base64.len()));
    letters.extend(base64.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let der = Zeroizing::new(STANDARD.decode(&*letters).ok()?);
    let (head, rest) = der.split_at_checked(VERSION_1.len())?;
    let (seed, public) = rest.split_at_checked(SEED_BYTES)?;
    let mut seed: [u8; SEED_BYTES] = seed.try_into().ok()?;
    let fits = match head {
        head if head == VERSION_1 => public.is_empty(),
        // A public key that is not the private one's gives signatures away.
        head if head == VERSION_2 => public
            .strip_prefix(&BEFORE_PUBLIC)
            .is_some_and(|public| public == SigningKey::from_bytes(&seed).verifying_key().as_bytes()),
        _ => false,
    };
    let found = fits.then(|| Zeroizing::new(seed));
    seed.zeroize();
    found
}
