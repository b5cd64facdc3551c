//! The same on a real S3 server (`tests/services/s3.sh`): required with `CI=true`, else skipped with a loud line where
//! the server cannot be had.

use cold::{Archive, ArchiveConfig};
use kit::S3;

use crate::support::*;

fn config(server: &S3, node: &str) -> ArchiveConfig {
    ArchiveConfig {
        url: "s3://test/some/prefix".to_owned(),
        options: server.options().into_iter().collect(),
        node: node.to_owned(),
        incarnation: format!("{node}-1"),
    }
}

async fn server() -> Option<S3> {
    let server = S3::start().await.expect("starts")?;
    server.bucket("test").await.expect("a bucket");
    Some(server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_on_s3_does_what_one_on_disk_does() {
    let Some(server) = server().await else { return };
    let (a, b) = (
        Archive::open(config(&server, "a")).await.expect("opens"),
        Archive::open(config(&server, "b")).await.expect("opens"),
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
    let reopened = Archive::open(config(&server, "a")).await.expect("opens");
    assert_eq!(read_points(&reopened, &everything()).await.0, read);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_a_clear_error() {
    let Some(server) = server().await else { return };
    let config = ArchiveConfig { url: "s3://absent/x".to_owned(), ..config(&server, "a") };
    let refused = Archive::open(config).await.expect_err("no such bucket");
    assert!(refused.to_string().contains("s3://absent/x"), "{refused}");
}
