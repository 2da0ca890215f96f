//! Key lines, public and private: what was accepted is written as it was read, but for white space around it.

use tachograph_ledger::{SigningKey, VerifyingKey, WitnessSigningKey, WitnessVerifyingKey};

pub(crate) fn run(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(key) = VerifyingKey::parse(line) {
        assert_eq!(key.to_line(), line.trim());
    }
    if let Ok(key) = SigningKey::parse(line) {
        assert_eq!(key.to_line().as_str(), line.trim());
    }
    if let Ok(key) = WitnessVerifyingKey::parse(line) {
        assert_eq!(key.to_line(), line.trim());
    }
    if let Ok(key) = WitnessSigningKey::parse(line) {
        assert_eq!(key.to_line().as_str(), line.trim());
    }
}
