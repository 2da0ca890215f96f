//! Legal holds: which records must not be destroyed, whatever their date, as the ledger itself says.

/// Action of the record that puts a hold on records.
pub const HOLD_ADD: &str = "hold.add";
/// Action of the record that lifts a hold.
pub const HOLD_RELEASE: &str = "hold.release";
