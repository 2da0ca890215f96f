//! What the bytes of a body promise, seen from outside the crate.

mod columns;
mod digest;
mod document;
mod golden;
mod hostile;
mod make;
mod round_trip;
