//! A machine that is not as it should be: no space, and everything that an operator can get wrong.

mod disk;
mod full;
mod refusals;
