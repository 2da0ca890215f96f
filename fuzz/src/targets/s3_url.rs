//! A place in a bucket that was accepted prints as a text that is read as the same place, and its prefix stays inside the bucket.

use tachograph_exporters::archive::store::s3::S3Url;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(url) = text.parse::<S3Url>() else {
        return;
    };
    assert_eq!(url.to_string().parse::<S3Url>().as_ref(), Ok(&url), "what it prints is another place");
    assert!(url.prefix.is_empty() || url.prefix.ends_with('/'), "{:?}", url.prefix);
    let folder = url.prefix.trim_end_matches('/');
    assert!(folder.is_empty() || folder.split('/').all(|part| !matches!(part, "" | "." | "..")), "{:?}", url.prefix);
}
