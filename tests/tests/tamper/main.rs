//! Every artifact of a ledger is tampered with, each time in a fresh copy, and `tachograph verify` must say so, with exit
//! code 1 and on the right axis.
//!
//! The ledger was written by the real collector. Three attackers: one without any key, one who signs with a key of his own,
//! and a thief of the ledger's key, against whom chain, MACs and remembered checkpoints are left.

mod scene;
mod table;

mod archive;
mod ends;
mod journal;
mod receipts;
mod sources;
mod whole;
