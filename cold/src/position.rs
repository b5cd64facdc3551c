//! Positions: from where each node would have to read Kafka again if it lost its disk.
//!
//! archive round ─[`Archive::record_position`]─▶ a new document, the oldest of ours go · a lost disk ─[`Archive::positions`]─▶ the
//! newest of each incarnation of a node
//!
//! A document is only ever created, so that a reader sees it whole or not at all. Documents of other incarnations are left
//! alone: whoever follows one says so in its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use runtime::Causes;
use schemas::Offsets;
use schemas::object_path::{Incarnation, NodeDir, PositionFile};
use schemas::position::Position;

use crate::archive::Archive;
use crate::error::{ColdError, Doing};

/// Documents of an incarnation that are kept.
const KEPT: usize = 3;
/// Tries to create one document: another number is taken where one exists.
const TRIES: u32 = 8;

/// The positions below one archive.
pub(crate) struct Positions {
    /// The archive as root.
    store: Arc<dyn ObjectStore>,
    /// The newest document of ours, once it is known. Held while one is written.
    newest: tokio::sync::Mutex<Option<Newest>>,
}

/// What there is of our incarnation.
#[derive(Debug, Clone, Default)]
struct Newest {
    position: Option<Position>,
    /// Numbers of the documents that exist.
    kept: BTreeSet<u64>,
}

impl Newest {
    fn next_seq(&self) -> u64 {
        self.kept.last().map_or(1, |last| last.saturating_add(1))
    }
}

impl Positions {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, newest: tokio::sync::Mutex::default() }
    }

    /// All documents of a node.
    async fn list(&self, node: &NodeDir) -> Result<BTreeMap<Incarnation, BTreeSet<u64>>, ColdError> {
        let below = Path::from(node.to_string());
        let mut found: BTreeMap<Incarnation, BTreeSet<u64>> = BTreeMap::new();
        let mut objects = self.store.list(Some(&below));
        while let Some(object) = objects.try_next().await.doing(|| format!("cannot list {below}"))? {
            // Half written documents and other programs' files have other names.
            if let Ok(file) = PositionFile::parse(object.location.as_ref())
                && file.node == *node
            {
                found.entry(file.incarnation).or_default().insert(file.seq);
            }
        }
        Ok(found)
    }

    /// Reads a document; `None` if it was pruned meanwhile.
    async fn read(&self, file: &PositionFile) -> Result<Option<Position>, ColdError> {
        let path = Path::from(file.to_string());
        let bytes = match self.store.get(&path).await {
            Ok(found) => found.bytes().await.doing(|| format!("cannot read {path}"))?,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(ColdError::Store { doing: format!("cannot read {path}"), source }),
        };
        let position =
            Position::decode(&bytes).map_err(|e| ColdError::damaged("position", path.as_ref(), Causes(&e)))?;
        let is_of = position.node == file.node.node()
            && position.incarnation == file.incarnation.as_str()
            && position.seq == file.seq;
        if is_of {
            return Ok(Some(position));
        }
        let problem = format!("is of {} {}, number {}", position.node, position.incarnation, position.seq);
        Err(ColdError::damaged("position", path.as_ref(), problem))
    }
}

impl Archive {
    /// Writes down from where this incarnation would have to be read again: in each partition the first message whose points
    /// may not be in the archive. Offsets only advance, so what was written before stays where `offsets` says less or
    /// nothing. Returns whether there was anything new to write.
    pub async fn record_position(&self, offsets: &Offsets) -> Result<bool, ColdError> {
        self.record(offsets, None).await
    }

    /// Writes down that this incarnation begins at `start` and reads again what others of its node took in: their positions
    /// are done with. To be done before the first message is read.
    pub async fn follow(&self, start: &Offsets, others: BTreeSet<String>) -> Result<(), ColdError> {
        self.record(start, Some(others)).await.map(drop)
    }

    /// The newest position of each incarnation of a node that wrote one, this one included.
    pub async fn positions(&self, node: &str) -> Result<Vec<Position>, ColdError> {
        let node = self.node_dir(node)?;
        let mut newest = Vec::new();
        for (incarnation, numbers) in self.position_store().list(&node).await? {
            for &seq in numbers.iter().rev() {
                let file = PositionFile { node: node.clone(), incarnation: incarnation.clone(), seq };
                if let Some(position) = self.position_store().read(&file).await? {
                    newest.push(position);
                    break;
                }
            }
        }
        Ok(newest)
    }

    async fn record(&self, offsets: &Offsets, follows: Option<BTreeSet<String>>) -> Result<bool, ColdError> {
        let node = self.node_dir(self.node())?;
        let positions = self.position_store();
        let mut newest = positions.newest.lock().await;
        let mut known = match newest.take() {
            Some(known) => known,
            None => self.find_newest(&node).await?,
        };
        let (mut after, known_follows) = match &known.position {
            Some(position) => (position.offsets.clone(), position.follows.clone()),
            None => (Offsets::new(), None),
        };
        after.advance_all(offsets);
        let follows = follows.or(known_follows);
        let says_nothing = after.is_empty() && follows.is_none();
        if says_nothing || known.position.as_ref().is_some_and(|p| p.offsets == after && p.follows == follows) {
            *newest = Some(known);
            return Ok(false);
        }
        for _ in 0..TRIES {
            let seq = known.next_seq();
            let file = PositionFile { node: node.clone(), incarnation: self.incarnation().clone(), seq };
            let incarnation = self.incarnation().as_str();
            let position = Position::new(self.node(), incarnation, seq, follows.clone(), after.clone());
            let path = Path::from(file.to_string());
            let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match positions.store.put_opts(&path, position.encode().into(), create).await {
                Ok(_) => {}
                // By a try of ours whose reply was lost, perhaps: the next number says the same.
                Err(StoreError::AlreadyExists { .. }) => {
                    known.kept.insert(seq);
                    continue;
                }
                Err(source) => return Err(ColdError::Store { doing: format!("cannot write {path}"), source }),
            }
            known.kept.insert(seq);
            known.position = Some(position);
            self.prune(&node, &mut known).await;
            *newest = Some(known);
            return Ok(true);
        }
        Err(ColdError::damaged("positions", node.to_string(), "another process writes for this incarnation"))
    }

    async fn find_newest(&self, node: &NodeDir) -> Result<Newest, ColdError> {
        let kept = self.position_store().list(node).await?.remove(self.incarnation()).unwrap_or_default();
        let mut known = Newest { position: None, kept };
        if let Some(&seq) = known.kept.last() {
            let file = PositionFile { node: node.clone(), incarnation: self.incarnation().clone(), seq };
            known.position = self.position_store().read(&file).await?;
        }
        Ok(known)
    }

    /// Deletes all but the last documents of ours. What cannot be deleted is tried again with the next.
    async fn prune(&self, node: &NodeDir, known: &mut Newest) {
        while known.kept.len() > KEPT {
            let Some(&seq) = known.kept.first() else { return };
            let file = PositionFile { node: node.clone(), incarnation: self.incarnation().clone(), seq };
            match self.position_store().store.delete(&Path::from(file.to_string())).await {
                Ok(()) | Err(StoreError::NotFound { .. }) => known.kept.remove(&seq),
                Err(error) => {
                    tracing::debug!(error = %Causes(&error), %file, "an old position stays for now");
                    return;
                }
            };
        }
    }

    fn node_dir(&self, node: &str) -> Result<NodeDir, ColdError> {
        NodeDir::new(node).map_err(|e| ColdError::Config { url: self.url().to_owned(), problem: e.to_string() })
    }
}
