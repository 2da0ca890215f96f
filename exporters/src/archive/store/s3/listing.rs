//! What is in the bucket, by versions.

use std::sync::PoisonError;

use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;

use super::error::{Asked, failure};
use super::{PROBE, S3Store};
use crate::archive::store::{ErrorKind, Store, StoreError, Version};

/// Most versions that are listed: a bound on memory, about 100 years of segments every minute in three objects.
const MAX_VERSIONS: usize = 1 << 28;

const ASKED: &str = "s3:ListBucketVersions";

impl S3Store {
    /// Paths with at least one version that is no marker. Remembers which of them have more than that.
    pub(super) fn paths(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let mut versions = self.all_versions(prefix, after)?;
        versions.retain(|version| after.is_none_or(|after| version.path.as_str() > after));
        let mut paths: Vec<String> = Vec::new();
        let mut oldest = self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        for of_one in versions.chunk_by(|a, b| a.path == b.path) {
            let Some(first) = of_one.iter().find(|version| !version.is_delete_marker) else { continue };
            if of_one.len() > 1 {
                oldest.insert(first.path.clone(), first.id.clone());
            } else {
                oldest.remove(&first.path);
            }
            paths.push(first.path.clone());
        }
        Ok(paths)
    }

    /// Every version and marker, by path, the oldest first.
    pub(super) fn all_versions(&self, prefix: &str, after: Option<&str>) -> Result<Vec<Version>, StoreError> {
        let settings = self.settings().clone();
        let mut versions = Vec::new();
        let (mut key_marker, mut id_marker) = (after.map(|after| format!("{}{after}", settings.prefix)), None);
        loop {
            let page = self.page(prefix, None, key_marker.clone(), id_marker.clone())?;
            take(&settings.prefix, &page, &mut versions);
            if versions.len() > MAX_VERSIONS {
                let what = format!("more than {MAX_VERSIONS} versions; name a narrower prefix");
                return Err(StoreError::new(ErrorKind::TooLarge, self.place(), what));
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            let next = (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
            if next.0.is_none() || next == (key_marker.clone(), id_marker.clone()) {
                let what = "the store's list of versions does not go on where it says; it can't be listed";
                return Err(StoreError::new(ErrorKind::Read, self.place(), what));
            }
            (key_marker, id_marker) = next;
        }
        // The store gives the newest of a key first, and markers apart.
        versions.reverse();
        versions.sort_by(|a, b| a.version.path.cmp(&b.version.path).then(a.modified.cmp(&b.modified)));
        Ok(versions.into_iter().map(|dated| dated.version).collect())
    }

    pub(super) fn common_prefixes(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let own = self.settings().prefix.clone();
        let mut folders = Vec::new();
        let (mut key_marker, mut id_marker) = (None, None);
        loop {
            let page = self.page(prefix, Some("/"), key_marker.clone(), id_marker.clone())?;
            let found = page.common_prefixes().iter().filter_map(|common| common.prefix());
            folders.extend(found.filter_map(|key| key.strip_prefix(own.as_str())).map(str::to_owned));
            let next = (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
            if page.is_truncated() != Some(true) || next.0.is_none() || next == (key_marker, id_marker) {
                break;
            }
            (key_marker, id_marker) = next;
        }
        folders.retain(|folder| folder != PROBE);
        folders.sort_unstable();
        folders.dedup();
        Ok(folders)
    }

    fn page(
        &self,
        prefix: &str,
        delimiter: Option<&'static str>,
        key_marker: Option<String>,
        id_marker: Option<String>,
    ) -> Result<ListObjectVersionsOutput, StoreError> {
        let settings = self.settings().clone();
        let prefix = format!("{}{prefix}", settings.prefix);
        let page =
            self.requests.ask(move |client| {
                let request = client
                    .list_object_versions()
                    .bucket(&settings.bucket)
                    .prefix(&prefix)
                    .set_delimiter(delimiter.map(str::to_owned))
                    .set_key_marker(key_marker.clone())
                    .set_version_id_marker(id_marker.clone());
                let settings = settings.clone();
                async move {
                    request.send().await.map_err(|error| failure(&settings, Asked { action: ASKED, key: "" }, &error))
                }
            })?;
        Ok(page)
    }
}

/// A version and when it came to be, in nanoseconds since 1970.
struct Dated {
    version: Version,
    modified: i128,
}

fn take(prefix: &str, page: &ListObjectVersionsOutput, versions: &mut Vec<Dated>) {
    let nanos = |date: Option<&aws_smithy_types::DateTime>| date.map_or(0, aws_smithy_types::DateTime::as_nanos);
    let path = |key: Option<&str>| {
        let path = key?.strip_prefix(prefix)?;
        (!path.starts_with(PROBE)).then(|| path.to_owned())
    };
    for version in page.versions() {
        let Some(path) = path(version.key()) else { continue };
        versions.push(Dated {
            version: Version {
                path,
                id: version.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: false,
                is_latest: version.is_latest().unwrap_or(false),
                size: version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
            },
            modified: nanos(version.last_modified()),
        });
    }
    for marker in page.delete_markers() {
        let Some(path) = path(marker.key()) else { continue };
        versions.push(Dated {
            version: Version {
                path,
                id: marker.version_id().unwrap_or("null").to_owned(),
                is_delete_marker: true,
                is_latest: marker.is_latest().unwrap_or(false),
                size: 0,
            },
            modified: nanos(marker.last_modified()),
        });
    }
}
