//! The key that the targets of signed formats use. It protects nothing.

use std::sync::LazyLock;

use tachograph_ledger::{LedgerName, SigningKey};

/// Seeds of signed formats are of this ledger.
pub const LEDGER: &str = "acme.example/ai-audit";

static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| SigningKey::from_seed(LedgerName::parse(LEDGER).expect("a good name"), [7; 32]));

/// The one key of all targets.
pub fn key() -> &'static SigningKey {
    &KEY
}

/// The bytes as a text that can be signed: lines of plain text.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(data).ok()?;
    (text.ends_with('\n') && !text.bytes().any(|byte| byte < 0x20 && byte != b'\n')).then_some(text)
}
