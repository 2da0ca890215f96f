//! `s3://bucket/prefix?endpoint=…&region=…`

use std::fmt;
use std::str::FromStr;

/// A place in a bucket, as a command line and the data directory name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Url {
    /// The bucket.
    pub bucket: String,
    /// Empty, or ending with `/`.
    pub prefix: String,
    /// A store other than Amazon's, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// Whether the bucket stands in the path and not in the host's name; without it only where there is an endpoint.
    pub path_style: Option<bool>,
}

/// Why a text names no place in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}: {what}; write s3://bucket/prefix, or s3://bucket/prefix?endpoint=https://host:port&region=name")]
pub struct UrlError {
    text: String,
    what: &'static str,
}

const SCHEME: &str = "s3://";

impl S3Url {
    /// Whether `text` means to be one.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(SCHEME)
    }
}

impl FromStr for S3Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let wrong = |what| UrlError { text: text.chars().take(200).collect(), what };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("no s3:// in front"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if !is_bucket(bucket) {
            return Err(wrong("no good bucket name (3 to 63 of a-z 0-9 . -)"));
        }
        let (bucket, prefix) = (bucket.to_owned(), complete(prefix));
        let mut url = Self { bucket, prefix, endpoint: None, region: None, path_style: None };
        if !is_prefix(&url.prefix) {
            return Err(wrong(
                "no good prefix (parts of A-Z a-z 0-9 . _ - = with / between, none beginning with a dot)",
            ));
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("endpoint", endpoint)) if is_endpoint(endpoint) => url.endpoint = Some(endpoint.to_owned()),
                Some(("region", region)) if is_region(region) => url.region = Some(region.to_owned()),
                Some(("path_style", yes @ ("true" | "false"))) => url.path_style = Some(yes == "true"),
                Some(("endpoint" | "region" | "path_style", _)) => {
                    return Err(wrong("no good endpoint, region or path_style (true, false) behind the question mark"));
                }
                _ => return Err(wrong("only endpoint, region and path_style may stand behind the question mark")),
            }
        }
        Ok(url)
    }
}

impl fmt::Display for S3Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.prefix)?;
        let mut mark = '?';
        let path_style = self.path_style.map(|yes| yes.to_string());
        for (name, value) in [("endpoint", &self.endpoint), ("region", &self.region), ("path_style", &path_style)] {
            if let Some(value) = value {
                write!(f, "{mark}{name}={value}")?;
                mark = '&';
            }
        }
        Ok(())
    }
}

/// A prefix with its slash.
pub(crate) fn complete(prefix: &str) -> String {
    match prefix.is_empty() || prefix.ends_with('/') {
        true => prefix.to_owned(),
        false => format!("{prefix}/"),
    }
}

/// Whether `name` may be a bucket's.
pub(crate) fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'.' || c == b'-')
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// Whether `prefix` is empty, or a path inside the bucket that ends with a slash.
pub(crate) fn is_prefix(prefix: &str) -> bool {
    prefix.strip_suffix('/').is_none_or(|folder| super::check_path(folder).is_ok())
        && prefix.len() <= 256
        && (prefix.is_empty() || prefix.ends_with('/'))
}

pub(crate) fn is_endpoint(endpoint: &str) -> bool {
    let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    host.is_some_and(|host| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b".-:[]/_".contains(&c);
        !host.is_empty() && host.len() <= 256 && host.bytes().all(plain)
    })
}

pub(crate) fn is_region(region: &str) -> bool {
    (1..=64).contains(&region.len()) && region.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_and_print() {
        for text in [
            "s3://acme-ai-audit/",
            "s3://acme-ai-audit/prod/",
            "s3://acme-ai-audit/a/b=c/?endpoint=http://127.0.0.1:9000&region=eu-central-1",
            "s3://acme-ai-audit/?endpoint=http://127.0.0.1:9000&path_style=false",
        ] {
            assert_eq!(text.parse::<S3Url>().unwrap().to_string(), text);
        }
        let short: S3Url = "s3://acme-ai-audit/prod".parse().unwrap();
        assert_eq!((short.bucket.as_str(), short.prefix.as_str()), ("acme-ai-audit", "prod/"));
        assert_eq!("s3://acme-ai-audit".parse::<S3Url>().unwrap().prefix, "");
        for bad in [
            "",
            "s3://",
            "s3://A",
            "http://acme",
            "s3://acme/../x",
            "s3://acme//",
            "s3://acme/ x",
            "s3://acme?x=1",
            "s3://acme?path_style=yes",
            "s3://acme?endpoint=ftp://x",
            "s3://acme?region=",
            "s3://-acme",
        ] {
            assert!(bad.parse::<S3Url>().is_err(), "{bad}");
        }
    }
}
