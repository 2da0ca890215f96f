//! Keys in a PKCS#11 token: an HSM, or its network client.
//!
//! Each call opens a session, logs in, finds the key, uses it and closes the session: nothing is kept that could go stale. If any
//! of that fails, the module is initialised anew and the call made once more, for many modules know of a token that came back only
//! then. A PIN that a token refused is not shown to it again, since some tries later it would be locked for good; and since each start
//! would be one more try, none is shown to a token that says that the last one was wrong.

use std::path::PathBuf;

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::pkcs11_module::{Failure, Module};
use super::service::{KeyService, PublicKey, ServiceError};
use super::source::SecretSource;

/// CKA_EC_PARAMS of P-256: its object identifier.
const P256_PARAMS: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// CKA_EC_PARAMS of Ed25519, as its object identifier (RFC 8410), and as the name that PKCS#11 3.0 began with.
const ED25519_PARAMS: [&[u8]; 2] = [b"\x06\x03\x2b\x65\x70", b"\x13\x0cedwards25519"];

/// Which key, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Settings {
    /// The shared library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label, CKA_LABEL.
    pub key: String,
    /// Its CKA_ID, where the label alone is not enough.
    pub id: Option<Vec<u8>>,
    /// Where the user's PIN is.
    pub pin: SecretSource,
}

/// A key in a token.
pub struct Pkcs11Key {
    settings: Pkcs11Settings,
    module: Module,
}

impl Pkcs11Key {
    /// Asks nothing of the token yet.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn open(settings: Pkcs11Settings) -> Result<Self, ServiceError> {
        let module = Module::of(&settings.module).map_err(ServiceError::new)?;
        Ok(Self { settings, module })
    }

    /// Runs `job` in a session of its own, in the module's thread.
    fn run<T: Send + 'static>(
        &self,
        job: impl Fn(&Session, &Pkcs11Settings) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let pin = self.settings.pin.read().map_err(|error| self.wrong(format!("PIN: {error}")))?;
        let settings = self.settings.clone();
        let done = self.module.run(&self.settings.token, pin, move |context, pin| {
            let session = open_session(context, &settings, pin)?;
            job(&session, &settings)
        });
        done.map_err(|what| self.wrong(what))
    }

    fn wrong(&self, what: impl std::fmt::Display) -> ServiceError {
        ServiceError::new(format!("{}: {what}", self.place()))
    }
}

impl KeyService for Pkcs11Key {
    fn place(&self) -> String {
        let Pkcs11Settings { module, token, key, .. } = &self.settings;
        format!("PKCS#11 key {key:?} in token {token:?} ({})", module.display())
    }

    fn public_key(&self) -> Result<PublicKey, ServiceError> {
        self.run(|session, settings| {
            let key = find(session, settings, ObjectClass::PUBLIC_KEY)?;
            let (mut params, mut point) = (Vec::new(), Vec::new());
            for attribute in session.get_attributes(key, &[AttributeType::EcParams, AttributeType::EcPoint])? {
                match attribute {
                    Attribute::EcParams(bytes) => params = bytes,
                    Attribute::EcPoint(bytes) => point = bytes,
                    _ => {}
                }
            }
            public_key(&params, &point).ok_or_else(|| {
                Failure::Other("it is neither a P-256 nor an Ed25519 key, or its public half shows no point".to_owned())
            })
        })
    }

    fn sign(&self, key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let (mechanism, message) = match key {
            // The mechanism that every token has; hashed here.
            PublicKey::P256(_) => (Kind::Ecdsa, Sha256::digest(message).to_vec()),
            PublicKey::Ed25519(_) => (Kind::Eddsa, message.to_vec()),
        };
        let signature = self.run(move |session, settings| {
            let key = find(session, settings, ObjectClass::PRIVATE_KEY)?;
            Ok(session.sign(&mechanism.mechanism(), key, &message)?)
        })?;
        match key {
            PublicKey::Ed25519(_) => Ok(signature),
            PublicKey::P256(_) => der(&signature)
                .ok_or_else(|| self.wrong(format!("an ECDSA signature of {} bytes; 64 are P-256's", signature.len()))),
        }
    }

    fn mac(&self, message: &[u8]) -> Result<Zeroizing<[u8; 32]>, ServiceError> {
        let message = message.to_vec();
        self.run(move |session, settings| {
            let key = find(session, settings, ObjectClass::SECRET_KEY)?;
            let mac = Zeroizing::new(session.sign(&Mechanism::Sha256Hmac, key, &message)?);
            let mac = mac.as_slice().try_into().map(Zeroizing::new);
            mac.map_err(|_| Failure::Other("its MAC is not SHA-256's".to_owned()))
        })
    }
}

/// A mechanism that may go to another thread.
#[derive(Clone, Copy)]
enum Kind {
    Ecdsa,
    Eddsa,
}

impl Kind {
    fn mechanism(self) -> Mechanism<'static> {
        match self {
            Self::Ecdsa => Mechanism::Ecdsa,
            Self::Eddsa => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
        }
    }
}

/// A session of the user's.
fn open_session(context: &Pkcs11, settings: &Pkcs11Settings, pin: &AuthPin) -> Result<Session, Failure> {
    let mut found = Vec::new();
    for slot in context.get_slots_with_token()? {
        // A slot whose token has just gone is none of ours.
        if context.get_token_info(slot).is_ok_and(|token| token.label() == settings.token) {
            found.push(slot);
        }
    }
    let slot = match found[..] {
        [slot] => slot,
        [] => return Err(Failure::Other("there is no token of this label; is it connected?".to_owned())),
        _ => return Err(Failure::Other("several tokens have this label; give them labels of their own".to_owned())),
    };
    // Said by the token itself, so that it outlasts this process.
    let token = context.get_token_info(slot)?;
    if token.user_pin_locked() {
        return Err(Failure::Other(
            "the token has locked the user's PIN: its security officer sets a new one".to_owned(),
        ));
    }
    if token.user_pin_count_low() || token.user_pin_final_try() {
        let left = if token.user_pin_final_try() { "one more wrong try locks it" } else { "some more lock it" };
        return Err(Failure::Other(format!(
            "the token was shown a wrong PIN since the last right one, and {left}: no PIN is shown to it from here. Correct the PIN's \
             file, then log in once by hand with the right PIN (pkcs11-tool --module {} --token-label {} --login --list-objects)",
            settings.module.display(),
            settings.token
        )));
    }
    let session = context.open_ro_session(slot)?;
    match session.login(UserType::User, Some(pin)) {
        // Who logs in does so for all sessions of a process.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => Err(Failure::of_login(error)),
    }
}

/// The one object of a kind that the settings name.
fn find(session: &Session, settings: &Pkcs11Settings, class: ObjectClass) -> Result<ObjectHandle, Failure> {
    let kind = match class {
        ObjectClass::PRIVATE_KEY => "private key",
        ObjectClass::PUBLIC_KEY => "public key",
        _ => "secret key",
    };
    let mut template = vec![Attribute::Class(class), Attribute::Label(settings.key.clone().into_bytes())];
    template.extend(settings.id.clone().map(Attribute::Id));
    match session.find_objects(&template)?[..] {
        [key] => Ok(key),
        [] => Err(Failure::Other(format!(
            "there is no {kind} of this label{}",
            if settings.id.is_some() { " and id" } else { "" }
        ))),
        _ => Err(Failure::Other(format!("several {kind}s have this label; name one by its `id` too"))),
    }
}

/// A public key out of CKA_EC_PARAMS and CKA_EC_POINT.
///
/// The point is the DER of an OCTET STRING; some tokens give the bytes bare, or for Ed25519 a BIT STRING.
fn public_key(params: &[u8], point: &[u8]) -> Option<PublicKey> {
    let bare = |wrapper: &[u8]| point.strip_prefix(wrapper);
    if params == P256_PARAMS {
        return PublicKey::from_point(bare(&[0x04, 65]).filter(|point| point.len() == 65).unwrap_or(point));
    }
    if ED25519_PARAMS.contains(&params) {
        let point = match point.len() {
            34 => bare(&[0x04, 32])?,
            35 => bare(&[0x03, 33, 0])?,
            _ => point,
        };
        return point.try_into().ok().map(PublicKey::Ed25519);
    }
    None
}

/// `r ‖ s`, of 32 bytes each, as DER: `SEQUENCE { INTEGER r, INTEGER s }`.
fn der(signature: &[u8]) -> Option<Vec<u8>> {
    let signature: &[u8; 64] = signature.try_into().ok()?;
    let mut integers = Vec::with_capacity(70);
    for half in signature.chunks(32) {
        let leading = half.iter().take(31).take_while(|byte| **byte == 0).count();
        let number = &half[leading..];
        // Were its first bit set, it would read as negative.
        let sign = (number[0] & 0x80 != 0).then_some(0);
        integers.extend([0x02, number.len() as u8 + u8::from(sign.is_some())]);
        integers.extend(sign);
        integers.extend(number);
    }
    Some([&[0x30, integers.len() as u8], &integers[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_becomes_the_shortest_der() {
        let half = |bytes: &[u8]| [&vec![0; 32 - bytes.len()][..], bytes].concat();
        let both = |r: &[u8], s: &[u8]| der(&[half(r), half(s)].concat()).expect("64 bytes");
        assert_eq!(both(&[1], &[0x7f]), [0x30, 6, 2, 1, 1, 2, 1, 0x7f]);
        assert_eq!(both(&[0x80], &[0x01, 0x00]), [0x30, 8, 2, 2, 0, 0x80, 2, 2, 1, 0]);
        assert_eq!(both(&[], &[1])[2..5], [2, 1, 0]);
        let longest = both(&[0xff; 32], &[0x80; 32]);
        assert_eq!((longest.len(), &longest[..5]), (72, &[0x30, 70, 2, 33, 0][..]));
        assert_eq!(der(&[1; 63]), None);
        assert_eq!(der(&[1; 96]), None);
    }

    #[test]
    fn points_are_read_in_each_spelling_of_tokens() {
        let point = [&[0x04][..], &[7; 64]].concat();
        let expected = PublicKey::from_point(&point);
        assert!(expected.is_some());
        assert_eq!(public_key(&P256_PARAMS, &[&[0x04, 65][..], &point].concat()), expected);
        assert_eq!(public_key(&P256_PARAMS, &point), expected);
        assert_eq!(public_key(&P256_PARAMS, &point[..64]), None);
        let key = [0x04; 32];
        for params in ED25519_PARAMS {
            for point in [&[0x04, 32][..], &[0x03, 33, 0], &[]] {
                let point = [point, &key].concat();
                assert_eq!(public_key(params, &point), Some(PublicKey::Ed25519(key)), "{point:?}");
            }
            assert_eq!(public_key(params, &[1; 34]), None);
        }
        assert_eq!(public_key(b"\x06\x05\x2b\x81\x04\x00\x22", &point), None, "P-384");
    }
}
