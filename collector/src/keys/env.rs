//! A key in a variable of the environment.

use tachograph_ledger::SigningKey;
use zeroize::Zeroizing;

use super::{KeysError, MAX_KEY_FILE_BYTES, parse};

pub(super) fn read(variable: &str) -> Result<Zeroizing<String>, KeysError> {
    let wrong = |what: &str| KeysError::Wrong(format!("${variable}: {what}"));
    // The environment of a process does not change by itself: what is not there now will not come.
    let value = std::env::var_os(variable)
        .ok_or_else(|| wrong("the environment has no such variable, and the configuration takes a key from it"))?;
    let value = Zeroizing::new(value.into_string().map_err(|_| wrong("not plain text"))?);
    if value.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(wrong("too long for a key"));
    }
    Ok(value)
}

pub(super) fn signing_key(variable: &str) -> Result<SigningKey, KeysError> {
    parse(&read(variable)?, &format!("${variable}"))
}
