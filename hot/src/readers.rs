//! Who still reads what: the last reader of an old view decides when its data may go (GC-1).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The views that are alive, by their number.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    alive: Mutex<BTreeSet<u64>>,
    gone: Condvar,
}

impl Readers {
    /// Counts a view as alive while the ticket lives.
    pub(crate) fn enter(self: &Arc<Self>, view: u64) -> Ticket {
        self.alive.lock().insert(view);
        Ticket { readers: Arc::clone(self), view }
    }

    /// Waits until every view older than `view` is gone; `false` when patience ends first.
    pub(crate) fn wait_for_older(&self, view: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut alive = self.alive.lock();
        while alive.first().is_some_and(|&oldest| oldest < view) {
            if self.gone.wait_until(&mut alive, deadline).timed_out() {
                return alive.first().is_none_or(|&oldest| oldest >= view);
            }
        }
        true
    }
}

/// Proof that a view is alive; part of the view.
#[derive(Debug)]
pub(crate) struct Ticket {
    readers: Arc<Readers>,
    view: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.readers.alive.lock().remove(&self.view);
        self.readers.gone.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reader_of_an_old_view_is_waited_for() {
        let readers = Arc::new(Readers::default());
        let (old, _new) = (readers.enter(1), readers.enter(2));
        assert!(readers.wait_for_older(1, Duration::ZERO));
        assert!(!readers.wait_for_older(2, Duration::ZERO));
        let waiting = std::thread::spawn({
            let readers = Arc::clone(&readers);
            move || readers.wait_for_older(2, Duration::from_secs(60))
        });
        drop(old);
        assert!(waiting.join().expect("no panic"));
    }
}
