//! The configuration file: taken, or refused with a reason.

use tachograph_collector::config::{Config, ConfigError, Overrides};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The file may name another one to read tokens from; some of these devices never end.
    if text.contains("/dev") || text.contains("/proc") {
        return;
    }
    match Config::parse("fuzz", text, &Overrides::default()) {
        Ok(config) => {
            assert!(config.receive.grpc.is_some() || config.receive.http.is_some(), "nothing would be received")
        }
        Err(ConfigError::Problems { problems, .. }) => assert!(!problems.is_empty(), "refused without a reason"),
        Err(ConfigError::Read { .. }) => panic!("there is no file to read"),
    }
}
