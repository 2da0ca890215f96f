//! OTLP protobuf traces, from the request's bytes to the bodies that would be sealed.

use tachograph_collector::intake::Signal;

pub(crate) fn run(data: &[u8]) {
    crate::export::check(Signal::Traces, data);
}
