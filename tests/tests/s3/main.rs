//! The archive in a bucket, from what a user sees: the real collector, a real S3 server with Object Lock, and between them a proxy
//! that makes planned requests fail.
//!
//! Each module is a promise: no step that fails forks, loses or doubles ([`steps`], [`replies`], [`race`]), the store may be gone for a
//! while ([`outage`]) or the collector ([`failover`]), a wrong time shifts no lock ([`clock`]), an administrator is refused or found out
//! ([`administrator`]), and what can't work is said before the first record is taken ([`bad_input`]).

mod administrator;
mod bad_input;
mod clock;
mod durability;
mod encryption;
mod failover;
mod outage;
mod probe;
mod race;
mod replica;
mod replies;
mod scene;
mod steps;
