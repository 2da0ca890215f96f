//! A token that is good is good over its own data alone, and whoever knows its authority finds it whole too.

use std::sync::LazyLock;

use tachograph_exporters::timestamp::{Roots, inspect, verify};

/// What the seeds are over.
const DATA: &[u8] = include_bytes!("../../../tests/golden/timestamps/data");

static ROOTS: LazyLock<Roots> = LazyLock::new(|| {
    Roots::from_pem(include_bytes!("../../../tests/golden/timestamps/root.pem")).expect("a good certificate")
});

pub(crate) fn run(data: &[u8]) {
    let whole = inspect(data, DATA);
    if let Ok(stamp) = verify(data, DATA, &ROOTS) {
        assert_eq!(whole, Ok(stamp), "a good token is not whole");
        assert!(verify(data, b"other", &ROOTS).is_err(), "it is good over other data too");
        assert!(verify(data, DATA, &Roots::default()).is_err(), "it is good for whoever trusts nobody");
    }
}
