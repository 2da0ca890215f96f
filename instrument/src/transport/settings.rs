//! Where records go and how: OpenTelemetry's variables of the environment, and what code sets over them.

use crate::init::InitError;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const SIGNAL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const LOGS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const TIMEOUT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const COMPRESSION: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
#[cfg(feature = "tls")]
const CERTIFICATE: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
const HTTP_PATH: &str = "/v1/traces";
const LOGS_PATH: &str = "/v1/logs";

/// How records are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over gRPC, to port 4317 as a rule.
    Grpc,
    /// OTLP over HTTP, as protobuf, to port 4318 as a rule. Needs the feature `http`.
    Http,
}

/// What a transport needs to know.
pub(crate) struct Settings {
    pub(crate) protocol: Protocol,
    /// Of gRPC the server, of HTTP the whole address.
    pub(super) endpoint: String,
    /// Where log records go over HTTP.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "gRPC has one address"))]
    pub(super) logs_endpoint: String,
    pub(super) headers: HeaderMap,
    pub(super) timeout: Duration,
    pub(super) gzip: bool,
    #[cfg(feature = "tls")]
    certificate: Option<String>,
}

impl Settings {
    pub(crate) fn new(protocol: Option<Protocol>, endpoint: Option<String>) -> Result<Self, InitError> {
        Self::from(protocol, endpoint, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    pub(super) fn from(
        protocol: Option<Protocol>,
        endpoint: Option<String>,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, InitError> {
        let first = |names: [&'static str; 2]| names.into_iter().find_map(|name| Some((name, variable(name)?)));
        let protocol = match (protocol, first(PROTOCOL)) {
            (Some(protocol), _) => protocol,
            (None, None) => Protocol::Grpc,
            (None, Some((variable, value))) => match value.as_str() {
                "grpc" => Protocol::Grpc,
                "http/protobuf" => Protocol::Http,
                _ => return Err(InitError::Protocol { variable, value }),
            },
        };
        let gzip = match first(COMPRESSION) {
            None => false,
            Some((_, value)) if value == "none" => false,
            Some((_, value)) if value == "gzip" => true,
            Some((variable, value)) => return Err(InitError::Compression { variable, value }),
        };
        let logs_endpoint = logs_endpoint_of(endpoint.clone(), variable);
        let settings = Self {
            protocol,
            endpoint: endpoint_of(protocol, endpoint, variable),
            logs_endpoint,
            headers: headers(&first(HEADERS).map(|(_, value)| value).unwrap_or_default()),
            timeout: first(TIMEOUT)
                .and_then(|(_, value)| value.parse().ok())
                .map_or(USUAL_TIMEOUT, Duration::from_millis),
            gzip,
            #[cfg(feature = "tls")]
            certificate: first(CERTIFICATE).map(|(_, value)| value),
        };
        settings.check_features()?;
        Ok(settings)
    }

    fn check_features(&self) -> Result<(), InitError> {
        let lacks = |wanted: String, feature| Err(InitError::Feature { wanted, feature });
        if self.protocol == Protocol::Http && !cfg!(feature = "http") {
            return lacks("OTLP over HTTP".to_owned(), "http");
        }
        if self.is_https() && !cfg!(feature = "tls") {
            return lacks(format!("the endpoint {:?}", self.endpoint), "tls");
        }
        if self.gzip && !cfg!(feature = "gzip") {
            return lacks("compression with gzip".to_owned(), "gzip");
        }
        if !self.is_https() && !starts_with(&self.endpoint, "http://") {
            return Err(self.wrong_endpoint("it begins with neither http:// nor https://".to_owned()));
        }
        Ok(())
    }

    pub(super) fn is_https(&self) -> bool {
        starts_with(&self.endpoint, "https://")
    }

    /// The certificates to trust in place of the system's, as PEM.
    #[cfg(feature = "tls")]
    pub(super) fn certificate(&self) -> Result<Option<Vec<u8>>, InitError> {
        let Some(path) = &self.certificate else { return Ok(None) };
        std::fs::read(path).map(Some).map_err(|error| {
            self.wrong_endpoint(format!("{path}, which {} names, can't be read: {error}", CERTIFICATE[1]))
        })
    }

    pub(super) fn wrong_endpoint(&self, reason: String) -> InitError {
        InitError::Endpoint { endpoint: self.endpoint.clone(), reason }
    }
}

fn starts_with(endpoint: &str, scheme: &str) -> bool {
    endpoint.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
}

fn endpoint_of(protocol: Protocol, given: Option<String>, variable: &dyn Fn(&str) -> Option<String>) -> String {
    // Only this variable has the whole address for HTTP, as the specification has it.
    let whole = if given.is_none() { variable(SIGNAL_ENDPOINT) } else { None };
    if let Some(endpoint) = whole {
        return with_scheme(endpoint);
    }
    let usual = || match protocol {
        Protocol::Grpc => "http://127.0.0.1:4317".to_owned(),
        Protocol::Http => "http://127.0.0.1:4318".to_owned(),
    };
    let base = with_scheme(given.or_else(|| variable(ENDPOINT)).unwrap_or_else(usual));
    match protocol {
        Protocol::Http if !base.ends_with(HTTP_PATH) => format!("{}{HTTP_PATH}", base.trim_end_matches('/')),
        _ => base,
    }
}

/// Beside where spans go, unless the environment says otherwise.
fn logs_endpoint_of(given: Option<String>, variable: &dyn Fn(&str) -> Option<String>) -> String {
    if given.is_none()
        && let Some(endpoint) = variable(LOGS_ENDPOINT)
    {
        return with_scheme(endpoint);
    }
    let spans = endpoint_of(Protocol::Http, given, variable);
    format!("{}{LOGS_PATH}", spans.strip_suffix(HTTP_PATH).unwrap_or(&spans).trim_end_matches('/'))
}

fn with_scheme(endpoint: String) -> String {
    if endpoint.contains("://") { endpoint } else { format!("http://{endpoint}") }
}

/// `key=value,…`, the values percent-encoded.
fn headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for pair in text.split(',') {
        let Some((key, value)) = pair.split_once('=') else { continue };
        let key: Option<HeaderName> = key.trim().to_ascii_lowercase().parse().ok();
        let value = percent_decoded(value.trim()).and_then(|value| HeaderValue::try_from(value).ok());
        if let (Some(key), Some(mut value)) = (key, value) {
            value.set_sensitive(true);
            headers.insert(key, value);
        }
    }
    headers
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = behind;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(protocol: Protocol, given: Option<&str>, environment: &[(&str, &str)]) -> String {
        let variable =
            |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        endpoint_of(protocol, given.map(ToOwned::to_owned), &variable)
    }

    #[test]
    fn headers_are_read_as_the_specification_has_them() {
        let headers = headers("Authorization=Bearer%20a%3Db, x-team = risk ,broken, =1,z=%zz");
        assert_eq!(headers.get("authorization").and_then(|value| value.to_str().ok()), Some("Bearer a=b"));
        assert_eq!(headers.get("x-team").and_then(|value| value.to_str().ok()), Some("risk"));
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn the_address_is_found_as_the_specification_has_it() {
        assert_eq!(endpoint(Protocol::Grpc, None, &[]), "http://127.0.0.1:4317");
        assert_eq!(endpoint(Protocol::Http, None, &[]), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(endpoint(Protocol::Http, None, &[(ENDPOINT, "https://c/base/")]), "https://c/base/v1/traces");
        assert_eq!(endpoint(Protocol::Http, None, &[(SIGNAL_ENDPOINT, "https://c/t"), (ENDPOINT, "x")]), "https://c/t");
        assert_eq!(endpoint(Protocol::Grpc, None, &[(ENDPOINT, "collector:4317")]), "http://collector:4317");
        assert_eq!(
            endpoint(Protocol::Http, Some("http://c/v1/traces"), &[(SIGNAL_ENDPOINT, "y")]),
            "http://c/v1/traces"
        );
    }

    #[test]
    fn logs_go_beside_the_spans() {
        let logs = |given: Option<&str>, environment: &[(&str, &str)]| {
            let variable =
                |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            logs_endpoint_of(given.map(ToOwned::to_owned), &variable)
        };
        assert_eq!(logs(None, &[]), "http://127.0.0.1:4318/v1/logs");
        assert_eq!(logs(Some("https://c/base/"), &[(LOGS_ENDPOINT, "x")]), "https://c/base/v1/logs");
        assert_eq!(logs(None, &[(SIGNAL_ENDPOINT, "https://c/v1/traces")]), "https://c/v1/logs");
        assert_eq!(logs(None, &[(LOGS_ENDPOINT, "https://c/l")]), "https://c/l");
    }

    #[test]
    fn what_this_build_lacks_or_does_not_know_is_named() {
        let wrong = |name: &'static str, value: &'static str| {
            let variable = move |asked: &str| (asked == name).then(|| value.to_owned());
            Settings::from(None, None, &variable).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(wrong(PROTOCOL[1], "http/json").contains("OTEL_EXPORTER_OTLP_PROTOCOL is \"http/json\""));
        assert!(wrong(COMPRESSION[1], "zstd").contains("OTEL_EXPORTER_OTLP_COMPRESSION is \"zstd\""));
        assert!(wrong(ENDPOINT, "ftp://x").contains("ftp://x"));
        for (name, value, feature, has) in [
            (PROTOCOL[1], "http/protobuf", "http", cfg!(feature = "http")),
            (ENDPOINT, "https://c:4317", "tls", cfg!(feature = "tls")),
            (COMPRESSION[1], "gzip", "gzip", cfg!(feature = "gzip")),
        ] {
            let error = wrong(name, value);
            assert_eq!(error.contains(&format!("feature `{feature}`")), !has, "{error}");
        }
    }
}
