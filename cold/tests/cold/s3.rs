//! The same on a real S3 server (`tests/services/s3.sh`): required with `CI=true`, else skipped with a loud line where
//! Go is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use cold::{Archive, ArchiveConfig};
use tempfile::TempDir;

use crate::support::*;

/// A server that goes with the test.
struct Server {
    dir: TempDir,
    url: String,
}

impl Server {
    /// `None` where it cannot be had and need not be.
    fn start() -> Option<Self> {
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true");
        let go = Command::new("go").arg("version").output().is_ok_and(|output| output.status.success());
        if !go && !required {
            eprintln!("SKIPPED: no Go on this machine, so no S3 server: the archive was not tested on S3");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let url = run(dir.path(), &["start"]);
        run(dir.path(), &["bucket", "test"]);
        Some(Self { dir, url })
    }

    fn config(&self, node: &str) -> ArchiveConfig {
        let options = [
            ("endpoint", self.url.as_str()),
            ("region", "us-east-1"),
            ("allow_http", "true"),
            ("access_key_id", "test"),
            ("secret_access_key", "testtest"),
        ];
        ArchiveConfig {
            url: "s3://test/some/prefix".to_owned(),
            options: options.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect::<BTreeMap<_, _>>(),
            node: node.to_owned(),
            incarnation: format!("{node}-1"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(self.dir.path(), &["stop"]);
    }
}

fn run(dir: &Path, words: &[&str]) -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/services/s3.sh");
    let (verb, rest) = words.split_first().expect("a verb");
    let output = Command::new("bash").arg(script).arg(verb).arg(dir).args(rest).output().expect("bash runs");
    assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_on_s3_does_what_one_on_disk_does() {
    let Some(server) = Server::start() else { return };
    let (a, b) = (
        Archive::open(server.config("a")).await.expect("opens"),
        Archive::open(server.config("b")).await.expect("opens"),
    );
    let (first, second) = (fleet(HOUR, 3), fleet(HOUR.next(), 3));
    archive_hour(&a, HOUR, 1, &first[..2]).await.expect("archived");
    archive_hour(&b, HOUR.next(), 1, &second).await.expect("archived, after a conflict");
    archive_hour(&a, HOUR, 2, &first).await.expect("replaced, after a conflict");
    assert!(archive_hour(&a, HOUR, 2, &first).await.expect("archived").unchanged);
    b.refresh().await.expect("readable");
    let (read, counters) = read_points(&b, &everything()).await;
    assert_eq!(read, told_points(first.iter().chain(&second)));
    assert!(counters.gets() >= 2 && counters.bytes() > 0);
    assert_eq!(a.sweep().await.expect("swept").files, 0);
    let reopened = Archive::open(server.config("a")).await.expect("opens");
    assert_eq!(read_points(&reopened, &everything()).await.0, read);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_a_clear_error() {
    let Some(server) = Server::start() else { return };
    let config = ArchiveConfig { url: "s3://absent/x".to_owned(), ..server.config("a") };
    let refused = Archive::open(config).await.expect_err("no such bucket");
    assert!(refused.to_string().contains("s3://absent/x"), "{refused}");
}
