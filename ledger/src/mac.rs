//! The MAC of each record, under a key that evolves.
//!
//! ```text
//! epoch(i) = i >> 16
//! C(e+1)   = HMAC-SHA256(C(e), "tachograph/mac/evolve/v1")
//! M(e)     = C(e) under scheme 1, HMAC-SHA256(C(e), "tachograph/mac/key/v2") under scheme 2
//! mac(i)   = HMAC-SHA256(M(epoch(i)), "tachograph/mac/v1" ‖ 0x00 ‖ ledger name ‖ 0x00 ‖ u64 big-endian i ‖ hash(i))
//! ```
//!
//! Under scheme 2 M(e) is published once its epoch is over and its records lie under a checkpoint that others have seen: then everybody
//! can check these MACs, and nobody can prove anything by making one. C(e) does not follow from it, nor does any later key. Under
//! scheme 1 M(e) would give all later keys away, so [`MacKey::publishable`] gives none.
//!
//! Invariants: a key makes and checks MACs of its own epoch alone, so history can't be sealed again under
//! today's key; a key goes forward, never back; its bytes and the state made of them are wiped on drop.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Hash, LedgerName};

/// An epoch is a run of 2^`EPOCH_BITS` indexes.
pub const EPOCH_BITS: u32 = 16;

/// Most epochs that [`MacKey::evolve_to`] goes in one step (about 10^12 records): a bound on hostile input.
pub const MAX_EVOLVE_STEPS: u64 = 1 << 24;

const EVOLVE_LABEL: &[u8] = b"tachograph/mac/evolve/v1";
const KEY_LABEL: &[u8] = b"tachograph/mac/key/v2";
const MAC_LABEL: &[u8] = b"tachograph/mac/v1\0";

/// First and last index of an epoch; of the epochs that a ledger reaches, below 2^46.
pub const fn indexes_of(epoch: u64) -> Option<(u64, u64)> {
    match epoch >> (62 - EPOCH_BITS) {
        0 => Some((epoch << EPOCH_BITS, (epoch << EPOCH_BITS) | ((1 << EPOCH_BITS) - 1))),
        _ => None,
    }
}

/// The epoch that the record at `index` belongs to.
pub const fn epoch_of(index: u64) -> u64 {
    index >> EPOCH_BITS
}

/// How the key that MACs are made with follows from the key that evolves. A ledger has one for ever: its key files say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MacScheme {
    /// They are one key, which can't be published.
    V1,
    /// The one that MACs are made with is derived, and is published when its epoch is over.
    V2,
}

/// What evolves: from the key of an epoch those of all later epochs follow.
///
/// Deliberately not `Clone`: each copy is one more place to wipe. Where a second one is needed, say so with
/// `MacKey::at(key.scheme(), key.epoch(), *key.expose())`.
pub struct MacKey {
    scheme: MacScheme,
    chain: Zeroizing<[u8; 32]>,
    epoch_key: EpochKey,
}

/// What the MACs of one epoch are made with. Nothing of other epochs follows from it.
pub struct EpochKey {
    epoch: u64,
    key: Zeroizing<[u8; 32]>,
    /// HMAC after the key's two blocks, so that each MAC saves them.
    state: Hmac<Sha256>,
}

/// Why a MAC can't be made or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    /// The index belongs to another epoch than the key.
    #[error("record {index} belongs to MAC epoch {needed}, but the key is of epoch {held}")]
    WrongEpoch {
        /// The record's index.
        index: u64,
        /// Its epoch.
        needed: u64,
        /// The key's epoch.
        held: u64,
    },
    /// Keys evolve forward only.
    #[error("the MAC key is of epoch {held} and can't go back to epoch {wanted}: use the escrowed initial key")]
    Backwards {
        /// The key's epoch.
        held: u64,
        /// The epoch asked for.
        wanted: u64,
    },
    /// More epochs ahead than any ledger gets.
    #[error(
        "MAC epoch {wanted} is more than {MAX_EVOLVE_STEPS} epochs after the key's epoch {held}: the index is not believable"
    )]
    TooFar {
        /// The key's epoch.
        held: u64,
        /// The epoch asked for.
        wanted: u64,
    },
    /// The MAC differs: the record was changed, or the key is not this ledger's.
    #[error("the MAC of record {index} does not match its hash")]
    Mismatch {
        /// The record's index.
        index: u64,
    },
}

impl MacKey {
    /// The key of epoch 0, from 32 random bytes.
    pub fn initial(scheme: MacScheme, key: [u8; 32]) -> Self {
        Self::at(scheme, 0, key)
    }

    /// The key of `epoch`, as [`expose`](Self::expose) gave it.
    pub fn at(scheme: MacScheme, epoch: u64, key: [u8; 32]) -> Self {
        let chain = Zeroizing::new(key);
        let key = match scheme {
            MacScheme::V1 => chain.clone(),
            MacScheme::V2 => derive(&chain, KEY_LABEL),
        };
        Self { scheme, chain, epoch_key: EpochKey::at(epoch, *key) }
    }

    /// How keys follow from each other.
    pub const fn scheme(&self) -> MacScheme {
        self.scheme
    }

    /// The epoch whose records this key seals.
    pub const fn epoch(&self) -> u64 {
        self.epoch_key.epoch
    }

    /// The key of the next epoch; this one is wiped.
    pub fn evolve(self) -> Self {
        self.successor()
    }

    /// The key of `epoch`; this one and those between are wiped. Never backwards.
    pub fn evolve_to(self, epoch: u64) -> Result<Self, MacError> {
        let held = self.epoch();
        let steps = epoch.checked_sub(held).ok_or(MacError::Backwards { held, wanted: epoch })?;
        if steps > MAX_EVOLVE_STEPS {
            return Err(MacError::TooFar { held, wanted: epoch });
        }
        if steps == 0 {
            return Ok(self);
        }
        let chain = (0..steps).fold(self.chain.clone(), |chain, _| derive(&chain, EVOLVE_LABEL));
        Ok(Self::at(self.scheme, epoch, *chain))
    }

    /// The key of the next epoch, while this one stays.
    ///
    /// # Panics
    /// At epoch 2^64 - 1, which no index reaches.
    pub(crate) fn successor(&self) -> Self {
        let epoch = self.epoch().checked_add(1).expect("MAC epochs are below 2^48");
        Self::at(self.scheme, epoch, *derive(&self.chain, EVOLVE_LABEL))
    }

    /// What is published of this epoch once it is over; nothing where later keys would follow from it.
    pub fn publishable(&self) -> Option<&EpochKey> {
        match self.scheme {
            MacScheme::V1 => None,
            MacScheme::V2 => Some(&self.epoch_key),
        }
    }

    /// MAC over ledger name, index and hash. Refuses an index of another epoch.
    pub fn mac(&self, ledger: &LedgerName, index: u64, hash: &Hash) -> Result<[u8; 32], MacError> {
        self.epoch_key.mac(ledger, index, hash)
    }

    /// Checks a stored MAC in constant time.
    pub fn verify(&self, ledger: &LedgerName, index: u64, hash: &Hash, mac: &[u8; 32]) -> Result<(), MacError> {
        self.epoch_key.verify(ledger, index, hash, mac)
    }

    /// The key's bytes: for the key file and the escrow file, nowhere else.
    pub fn expose(&self) -> &[u8; 32] {
        &self.chain
    }
}

impl EpochKey {
    /// The key of `epoch`, as [`expose`](Self::expose) gave it, or as a ledger publishes it.
    pub fn at(epoch: u64, key: [u8; 32]) -> Self {
        let key = Zeroizing::new(key);
        Self { epoch, state: keyed(&key), key }
    }

    /// The epoch.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// MAC over ledger name, index and hash. Refuses an index of another epoch.
    pub fn mac(&self, ledger: &LedgerName, index: u64, hash: &Hash) -> Result<[u8; 32], MacError> {
        let needed = epoch_of(index);
        if needed != self.epoch {
            return Err(MacError::WrongEpoch { index, needed, held: self.epoch });
        }
        let mut hmac = self.state.clone();
        hmac.update(MAC_LABEL);
        hmac.update(ledger.as_str().as_bytes());
        hmac.update(&[0]);
        hmac.update(&index.to_be_bytes());
        hmac.update(hash.as_bytes());
        Ok(hmac.finalize().into_bytes().into())
    }

    /// Checks a stored MAC in constant time.
    pub fn verify(&self, ledger: &LedgerName, index: u64, hash: &Hash, mac: &[u8; 32]) -> Result<(), MacError> {
        let expected = self.mac(ledger, index, hash)?;
        if bool::from(expected.ct_eq(mac)) { Ok(()) } else { Err(MacError::Mismatch { index }) }
    }

    /// The key's bytes: for the file that keeps it until it is published, and for its publication.
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }
}

/// The key that follows from `key` under `label`.
fn derive(key: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut hmac = keyed(key);
    hmac.update(label);
    let mut output = hmac.finalize().into_bytes();
    let key = Zeroizing::new(output.into());
    zeroize::Zeroize::zeroize(output.as_mut_slice());
    key
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MacKey {{ epoch: {}, key: *** }}", self.epoch())
    }
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochKey {{ epoch: {}, key: *** }}", self.epoch)
    }
}

#[cfg(test)]
mod tests;
