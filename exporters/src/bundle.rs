//! The evidence bundle: what an archive can prove to a stranger, in one folder (`docs/format.md`, section 9).
//!
//! [`story`] is what a bundle tells a person, and [`page`] the `index.html` that tells it. [`ASSETS`] are the files that every
//! bundle carries along, so that it can be checked without us.

pub mod page;
pub mod story;

/// How to check a bundle, and the programs that do: file name and content, the same in every bundle.
pub const ASSETS: [(&str, &str); 4] = [
    ("VERIFY.md", include_str!("bundle/assets/VERIFY.md")),
    ("verify.py", include_str!("bundle/assets/verify.py")),
    ("verify.sh", include_str!("bundle/assets/verify.sh")),
    ("verify.sql", include_str!("bundle/assets/verify.sql")),
];
