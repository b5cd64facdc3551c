//! From the configured URL to the store at its root, and the prefix of the archive in it.

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use schemas::object_path::SERVICE_DIR;
use schemas::tier_map::ColdTable;
use url::Url;

use super::DurableLocal;
use crate::error::ColdError;

/// A request that the store does not answer in this time is tried again.
const TIMEOUTS: [(ClientConfigKey, &str); 2] =
    [(ClientConfigKey::Timeout, "60s"), (ClientConfigKey::ConnectTimeout, "5s")];
/// A request is given up after this many tries or this long; the job that asked then tries again later.
const RETRIES: usize = 6;
const RETRY_TIMEOUT: Duration = Duration::from_secs(90);

/// Where an archive lies.
#[derive(Clone)]
pub(crate) struct Location {
    /// The URL of the archive, ending in `/`.
    pub(crate) url: Url,
    /// The store from its root: the bucket, or `/`.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The path of the archive in the store.
    pub(crate) prefix: Path,
}

impl std::fmt::Debug for Location {
    /// Without the store, which may show what it was configured with.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Location")
            .field("url", &self.url.as_str())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Location {
    /// Understands a path, `file:///abs`, `s3://bucket/prefix`, `gs://bucket/prefix` and `az://container/prefix`. A directory
    /// is made if there is none.
    pub(crate) fn open(text: &str, options: &BTreeMap<String, String>) -> Result<Self, ColdError> {
        let wrong = |problem: String| ColdError::Config { url: text.to_owned(), problem };
        let url = parse(text).map_err(wrong)?;
        let (store, prefix) = match Scheme::of(&url).map_err(wrong)? {
            Scheme::File => local(&url, options),
            Scheme::Remote(open) => open(&url, options),
        }
        .map_err(wrong)?;
        Ok(Self { url, store, prefix })
    }

    /// The URL of a table, ending in `/`, and its path in the store.
    pub(crate) fn table(&self, name: &str) -> Result<(Url, Path), ColdError> {
        let url = self.url.join(&format!("{name}/")).map_err(|e| ColdError::Config {
            url: self.url.to_string(),
            problem: format!("cannot hold a table: {e}"),
        })?;
        Ok((url, self.prefix.clone().join(name)))
    }

    /// The directories that this program writes below, if the store is a local directory.
    pub(crate) fn local_roots(&self) -> Vec<PathBuf> {
        if self.url.scheme() != "file" {
            return Vec::new();
        }
        let Ok(directory) = self.url.to_file_path() else { return Vec::new() };
        let names = ColdTable::ALL.map(ColdTable::as_str).into_iter().chain([SERVICE_DIR]);
        names.map(|name| directory.join(name)).collect()
    }
}

/// Whether an archive could be opened with this URL and these options, as far as can be told without asking anybody and
/// without making anything.
pub fn check_location(text: &str, options: &BTreeMap<String, String>) -> Result<(), ColdError> {
    let checked = parse(text).and_then(|url| match Scheme::of(&url)? {
        Scheme::File => directory_of(&url, options).map(drop),
        Scheme::Remote(open) => open(&url, options).map(drop),
    });
    checked.map_err(|problem| ColdError::Config { url: text.to_owned(), problem })
}

type Opened = Result<(Arc<dyn ObjectStore>, Path), String>;

/// How a store is opened. A client of a remote one asks nobody before its first request.
enum Scheme {
    File,
    Remote(fn(&Url, &BTreeMap<String, String>) -> Opened),
}

impl Scheme {
    fn of(url: &Url) -> Result<Self, String> {
        match url.scheme() {
            "file" => Ok(Self::File),
            "s3" | "s3a" => Ok(Self::Remote(s3)),
            "gs" => Ok(Self::Remote(gcs)),
            "az" | "azure" | "abfs" | "abfss" => Ok(Self::Remote(azure)),
            other => Err(format!("the scheme {other:?} is none of a path, file, s3, gs, az")),
        }
    }
}

/// The URL of an archive, ending in `/`.
fn parse(text: &str) -> Result<Url, String> {
    let url = if text.contains("://") { Url::parse(text).map_err(|e| e.to_string())? } else { url_of_directory(text)? };
    Ok(with_trailing_slash(url))
}

fn url_of_directory(text: &str) -> Result<Url, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    let path = std::path::absolute(FilePath::new(text)).map_err(|e| e.to_string())?;
    Url::from_directory_path(&path).map_err(|()| format!("{} has no URL", path.display()))
}

fn with_trailing_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}

fn directory_of(url: &Url, options: &BTreeMap<String, String>) -> Result<PathBuf, String> {
    if let Some(key) = options.keys().next() {
        return Err(format!("a local directory takes no options, but has {key:?}"));
    }
    url.to_file_path().map_err(|()| "is not an absolute local path".to_owned())
}

fn local(url: &Url, options: &BTreeMap<String, String>) -> Opened {
    let directory = directory_of(url, options)?;
    std::fs::create_dir_all(&directory).map_err(|e| format!("cannot create {}: {e}", directory.display()))?;
    // Links are followed once, here, so that a path in the log and the path on disk stay the same.
    let prefix = Path::from_absolute_path(&directory).map_err(|e| e.to_string())?;
    Ok((Arc::new(DurableLocal::new()), prefix))
}

fn s3(url: &Url, options: &BTreeMap<String, String>) -> Opened {
    check_endpoint(options)?;
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(host(url)?).with_retry(retry());
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    for (key, value) in options {
        let key = AmazonS3ConfigKey::from_str(key).map_err(|_| unknown(key))?;
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(|e| e.to_string())?;
    Ok((Arc::new(store), prefix(url)?))
}

fn gcs(url: &Url, options: &BTreeMap<String, String>) -> Opened {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(host(url)?).with_retry(retry());
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(GoogleConfigKey::Client(key), value);
    }
    for (key, value) in options {
        let key = GoogleConfigKey::from_str(key).map_err(|_| unknown(key))?;
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(|e| e.to_string())?;
    Ok((Arc::new(store), prefix(url)?))
}

fn azure(url: &Url, options: &BTreeMap<String, String>) -> Opened {
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(host(url)?).with_retry(retry());
    for (key, value) in TIMEOUTS {
        builder = builder.with_config(AzureConfigKey::Client(key), value);
    }
    for (key, value) in options {
        let key = AzureConfigKey::from_str(key).map_err(|_| unknown(key))?;
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(|e| e.to_string())?;
    Ok((Arc::new(store), prefix(url)?))
}

fn host(url: &Url) -> Result<&str, String> {
    url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| "names no bucket".to_owned())
}

fn prefix(url: &Url) -> Result<Path, String> {
    Path::from_url_path(url.path()).map_err(|e| e.to_string())
}

fn unknown(key: &str) -> String {
    format!(
        "unknown option {key:?}; known are endpoint, region, access_key_id, secret_access_key, allow_http and the other keys of the object_store client"
    )
}

/// The client itself would only say so at its first request, and not how to go on.
fn check_endpoint(options: &BTreeMap<String, String>) -> Result<(), String> {
    let plain_http = options.get("endpoint").is_some_and(|endpoint| endpoint.starts_with("http://"));
    if plain_http && options.get("allow_http").is_none_or(|allowed| allowed != "true") {
        return Err("the endpoint is plain http: set allow_http to \"true\"".to_owned());
    }
    Ok(())
}

fn retry() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str, options: &[(&str, &str)]) -> String {
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Location::open(url, &options).expect_err("cannot be used").to_string()
    }

    #[test]
    fn a_configuration_that_cannot_work_says_what_to_change() {
        assert!(problem("ftp://x", &[]).contains("none of a path, file, s3, gs, az"));
        assert!(problem("", &[]).contains("is empty"));
        assert!(problem("s3://bucket", &[("endpiont", "x")]).contains("unknown option \"endpiont\""));
        let http = problem("s3://bucket/p", &[("endpoint", "http://127.0.0.1:1"), ("region", "x")]);
        assert!(http.contains("allow_http"), "{http}");
    }

    #[test]
    fn a_check_finds_what_opening_would_and_makes_nothing() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let archive = dir.path().join("archive").display().to_string();
        let wrong: [(&str, &[(&str, &str)]); 6] = [
            ("ftp://x/y", &[]),
            ("", &[]),
            ("s3://", &[]),
            ("s3://bucket", &[("endpiont", "x")]),
            ("s3://bucket", &[("endpoint", "http://127.0.0.1:1")]),
            (&archive, &[("region", "x")]),
        ];
        for (url, options) in wrong {
            let map = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let checked = check_location(url, &map).expect_err("cannot be used").to_string();
            assert_eq!(checked, problem(url, options), "{url}");
        }
        check_location(&archive, &BTreeMap::new()).expect("valid");
        assert!(!dir.path().join("archive").exists());
    }

    #[test]
    fn tables_lie_below_the_prefix() {
        let options = [("region", "us-east-1"), ("access_key_id", "a"), ("secret_access_key", "b")];
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let location = Location::open("s3://bucket/some/prefix", &options).expect("valid");
        let (url, path) = location.table("raw").expect("valid");
        assert_eq!((url.as_str(), path.as_ref()), ("s3://bucket/some/prefix/raw/", "some/prefix/raw"));
        assert!(location.local_roots().is_empty());
    }

    #[test]
    fn below_a_local_directory_only_what_this_program_makes_is_its_own() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let location = Location::open(&dir.path().display().to_string(), &BTreeMap::new()).expect("valid");
        let names = ["series", "raw", "rollup_1m", "rollup_1h", "_thermocline"];
        assert_eq!(location.local_roots(), names.map(|name| dir.path().join(name)));
    }
}
