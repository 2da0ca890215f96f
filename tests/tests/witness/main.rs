//! Witnesses end to end: a collector and three witnesses, each a process of its own.

mod scene;

mod commands;
mod forks;
mod post_quantum;
mod publication;
mod quorum;
