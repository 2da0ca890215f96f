//! OTLP/JSON traces: what is transcoded must be protobuf that the next stage reads.

use tachograph_collector::intake::Signal;
use tachograph_collector::receive::transcode_json;

pub(crate) fn run(data: &[u8]) {
    if let Some(protobuf) = transcode_json(Signal::Traces, data) {
        crate::export::check(Signal::Traces, &protobuf);
    }
}
