//! A finished part becomes an object, and is read back before anything refers to it.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use schemas::file_tags::Holding;
use schemas::object_path::PartitionDir;

use super::rolling::Part;
use crate::error::{ColdError, Doing};
use crate::table::{NewFile, Table};

/// Up to this size an object is sent in one request.
const SINGLE_PUT_MAX: usize = if cfg!(test) { 64 << 10 } else { 16 << 20 };
/// Size of a part of a bigger upload.
const PUT_PART_BYTES: usize = if cfg!(test) { 32 << 10 } else { 8 << 20 };
/// Where the footer is looked for first.
const FOOTER_GUESS: u64 = 64 << 10;

/// Uploads a part to `path` below the table, and reads its size and footer back.
pub(crate) async fn upload(
    table: &Table,
    path: String,
    part: Part,
    partition: Option<PartitionDir>,
    holds: Vec<Holding>,
) -> Result<NewFile, ColdError> {
    let location = Path::from(path.as_str());
    let (bytes, stats) = (part.bytes, part.stats.clone());
    send(table.store().as_ref(), &location, part).await?;
    verify(table.store().as_ref(), &location, bytes, stats.rows.unwrap_or(0)).await?;
    Ok(NewFile { path, bytes, stats, partition, holds })
}

async fn send(store: &dyn ObjectStore, location: &Path, part: Part) -> Result<(), ColdError> {
    let sending = || format!("cannot upload {location}");
    let (part, first) = read(part, SINGLE_PUT_MAX).await?;
    if u64::try_from(first.len()).unwrap_or(u64::MAX) == part.bytes {
        store.put(location, first.into()).await.doing(sending)?;
        return Ok(());
    }
    let mut upload = store.put_multipart(location).await.doing(sending)?;
    match send_parts(upload.as_mut(), part, first).await {
        Ok(()) => upload.complete().await.doing(sending).map(drop),
        Err(error) => {
            // What it failed with matters more than whether the store could tidy up.
            drop(upload.abort().await);
            Err(error)
        }
    }
}

/// One part at a time: the upload is not what an archive round waits for, and memory stays at one part.
async fn send_parts(upload: &mut dyn MultipartUpload, part: Part, first: Bytes) -> Result<(), ColdError> {
    let sending = || "cannot upload a part".to_owned();
    upload.put_part(first.into()).await.doing(sending)?;
    let mut part = part;
    loop {
        let (rest, bytes) = read(part, PUT_PART_BYTES).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        upload.put_part(bytes.into()).await.doing(sending)?;
        part = rest;
    }
}

/// Reads the next bytes off the async workers: a big part lies in a file.
async fn read(part: Part, max: usize) -> Result<(Part, Bytes), ColdError> {
    let reading = move || {
        let mut part = part;
        part.read(max).map(|bytes| (part, Bytes::from(bytes)))
    };
    let read = tokio::task::spawn_blocking(reading).await.map_err(std::io::Error::other).and_then(|read| read);
    read.map_err(|source| ColdError::Io { doing: "cannot read a temporary file", source })
}

/// Proves that the store holds what was sent: its size, and a footer with the number of rows.
async fn verify(store: &dyn ObjectStore, location: &Path, bytes: u64, rows: u64) -> Result<(), ColdError> {
    let wrong = |problem: String| ColdError::Verify { path: location.to_string(), problem };
    let mut tail = FOOTER_GUESS.min(bytes);
    loop {
        let options = GetOptions { range: Some(GetRange::Bounded(bytes - tail..bytes)), ..GetOptions::default() };
        let found = store.get_opts(location, options).await.doing(|| format!("cannot read back {location}"))?;
        if found.meta.size != bytes {
            return Err(wrong(format!("{bytes} bytes were sent, and it has {}", found.meta.size)));
        }
        let end = found.bytes().await.doing(|| format!("cannot read back {location}"))?;
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
        match reader.try_parse_sized(&end, bytes) {
            Ok(()) => {
                let footer = reader.finish().map_err(|e| wrong(e.to_string()))?;
                let found = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0);
                if found == rows {
                    return Ok(());
                }
                return Err(wrong(format!("{rows} rows were written, and it has {found}")));
            }
            Err(ParquetError::NeedMoreData(more)) if tail < bytes => {
                tail = u64::try_from(more).unwrap_or(bytes).max(tail.saturating_add(1)).min(bytes);
            }
            Err(error) => return Err(wrong(error.to_string())),
        }
    }
}
