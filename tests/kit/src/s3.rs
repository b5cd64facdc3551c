//! A real S3 server, as a process (`tests/services/s3.sh`): conditional writes are right under races, and a killed
//! server loses nothing that it acknowledged.
//!
//! Needs Go once, to install the server. Where Go is missing, tests that want S3 say so and pass; with `CI=true`
//! they fail.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::Command;

/// A running S3 server over a directory of its own. It ends with this value.
#[derive(Debug)]
pub struct S3 {
    dir: TempDir,
    endpoint: String,
}

impl S3 {
    pub const ACCESS_KEY: &str = "test";
    pub const SECRET_KEY: &str = "testtest";
    pub const REGION: &str = "us-east-1";

    /// Starts a server; `None`, and a loud line, where there is neither the server nor Go to install it, except with
    /// `CI=true`.
    #[expect(clippy::print_stderr, reason = "a skipped test must be seen")]
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        let missing = script("installable", &[]).await.err();
        if let (Some(error), false) = (&missing, required) {
            eprintln!("SKIPPED: no S3 server for this test: {error:#} (with CI=true this fails)");
            return Ok(None);
        }
        let dir = tempfile::tempdir().context("making a directory for the S3 server")?;
        let endpoint = script("start", &[dir.path()]).await?;
        Ok(Some(Self { dir, endpoint }))
    }

    /// `http://127.0.0.1:port`. A restart keeps it.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Makes a bucket.
    pub async fn bucket(&self, name: &str) -> anyhow::Result<()> {
        script("bucket", &[self.dir.path(), Path::new(name)]).await.map(|_| ())
    }

    /// The folder with a bucket's objects as plain files.
    pub fn objects(&self, bucket: &str) -> PathBuf {
        self.dir.path().join("objects").join(bucket)
    }

    /// What an object store needs to know to reach a bucket, as option names and values.
    pub fn options(&self) -> Vec<(String, String)> {
        let options = [
            ("endpoint", self.endpoint.as_str()),
            ("region", Self::REGION),
            ("access_key_id", Self::ACCESS_KEY),
            ("secret_access_key", Self::SECRET_KEY),
            ("allow_http", "true"),
        ];
        options.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    /// The `object_store` section of a server's config.
    pub fn config(&self, bucket: &str, prefix: &str) -> String {
        let options: Vec<String> =
            self.options().iter().map(|(name, value)| format!("    {name}: \"{value}\"\n")).collect();
        format!("object_store:\n  url: s3://{bucket}/{prefix}\n  options:\n{}", options.concat())
    }

    /// `kill -9`.
    pub async fn kill(&self) -> anyhow::Result<()> {
        script("kill", &[self.dir.path()]).await.map(|_| ())
    }

    /// Starts it again, at the same address, with what it had acknowledged.
    pub async fn restart(&self) -> anyhow::Result<()> {
        let endpoint = script("start", &[self.dir.path()]).await?;
        ensure!(endpoint == self.endpoint, "the S3 server came back at {endpoint}");
        Ok(())
    }
}

impl Drop for S3 {
    /// The script kills by the process id that it wrote down at the start.
    fn drop(&mut self) {
        let ended = std::process::Command::new(script_path()).arg("kill").arg(self.dir.path()).output();
        if let Ok(output) = ended {
            debug_assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/s3.sh")
}

/// Runs one command of the script and returns what it printed.
async fn script(command: &str, args: &[&Path]) -> anyhow::Result<String> {
    let output = Command::new(script_path()).arg(command).args(args).output().await.context("running s3.sh")?;
    ensure!(output.status.success(), "s3.sh {command}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    use object_store::path::Path as ObjectPath;
    use object_store::{Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

    use super::*;

    #[tokio::test]
    async fn a_killed_server_keeps_what_it_acknowledged_and_creates_an_object_once() {
        let Some(s3) = S3::start().await.expect("starts") else { return };
        s3.bucket("metrics").await.expect("a bucket");
        let mut builder = AmazonS3Builder::new().with_bucket_name("metrics");
        for (name, value) in s3.options() {
            builder = builder.with_config(name.parse::<AmazonS3ConfigKey>().expect("a known option"), value);
        }
        let store = builder.build().expect("an S3 store");
        let path = ObjectPath::from("a/b");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, PutPayload::from_static(b"one"), create()).await.expect("is new");
        let again = store.put_opts(&path, PutPayload::from_static(b"two"), create()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        s3.kill().await.expect("is killed");
        s3.restart().await.expect("comes back");
        assert_eq!(store.get(&path).await.expect("is there").bytes().await.expect("whole"), "one");
        assert!(s3.objects("metrics").join("a/b").exists());
    }
}
