//! Does this store refuse to create an object that exists? Commits rest on it.

use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use schemas::object_path::SERVICE_DIR;

use crate::error::{ColdError, Doing};

/// Creates one key twice below `prefix`. `nonce` makes the key this process' own.
pub(crate) async fn probe(store: &dyn ObjectStore, url: &str, prefix: &Path, nonce: u64) -> Result<(), ColdError> {
    let key = prefix.clone().join(SERVICE_DIR).join("probe").join(format!("{nonce:016x}"));
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let refused = |found: String| ColdError::NoConditionalPut { url: url.to_owned(), found };
    match store.put_opts(&key, PutPayload::from_static(b"1"), create.clone()).await {
        Ok(_) => {}
        // A retry inside the client may meet its own first try: the object is there, which is all we wanted.
        Err(Error::AlreadyExists { .. }) => {}
        Err(Error::NotImplemented { operation, .. }) => return Err(refused(format!("{operation} is not implemented"))),
        Err(source) => return Err(ColdError::Store { doing: format!("cannot write to {url}"), source }),
    }
    let second = store.put_opts(&key, PutPayload::from_static(b"2"), create).await;
    store.delete(&key).await.doing(|| format!("cannot delete from {url}"))?;
    match second {
        Err(Error::AlreadyExists { .. }) => Ok(()),
        Ok(_) => Err(refused("the second creation of one key succeeded".to_owned())),
        Err(source) => Err(refused(format!("the second creation of one key failed in another way: {source}"))),
    }
}
