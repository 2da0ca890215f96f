//! The archive in a bucket, from what a user sees: the real collector, a real S3 server with Object Lock, and between them a proxy
//! that makes planned requests fail.
//!
//! Each module is a promise: an administrator is refused or found out (`administrator`), a replica is complete or what it lacks is
//! named (`replica`), and what can't work is said before the first record is taken (`bad_input`).

mod administrator;
mod bad_input;
mod replica;
#[allow(dead_code)] // not every module needs all of it
mod scene;
