//! Who may still be using a series number that was looked up a moment ago.
//!
//! batch pins the current era ─▶ resolves, stamping each series with it ─▶ commits, applies ─▶ drops the pin
//! forget begins a new era ─▶ a series goes only if its stamp is older than every era that is still pinned
//!
//! So a batch on its way to the head never holds the number of a series that is gone, and nobody waits for anybody.

use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

/// A span of time between two passes of forgetting.
#[derive(Debug)]
struct Era {
    number: u32,
}

/// Keeps the series that a batch resolved from being forgotten. Held until the batch is in the head or given up.
#[derive(Debug, Clone)]
pub(crate) struct EraPin(Arc<Era>);

impl EraPin {
    pub(super) fn number(&self) -> u32 {
        self.0.number
    }
}

#[derive(Debug)]
pub(super) struct Eras {
    current: RwLock<Arc<Era>>,
    /// Eras that ended and may still be pinned, oldest first.
    ended: Mutex<Vec<(u32, Weak<Era>)>>,
}

impl Default for Eras {
    fn default() -> Self {
        Self { current: RwLock::new(Arc::new(Era { number: 1 })), ended: Mutex::default() }
    }
}

impl Eras {
    pub(super) fn pin(&self) -> EraPin {
        EraPin(Arc::clone(&self.current.read()))
    }

    /// Begins a new era and returns the oldest that is pinned, or the new one.
    pub(super) fn advance(&self) -> u32 {
        let mut ended = self.ended.lock();
        let mut current = self.current.write();
        let number = current.number.saturating_add(1);
        let previous = std::mem::replace(&mut *current, Arc::new(Era { number }));
        drop(current);
        ended.push((previous.number, Arc::downgrade(&previous)));
        drop(previous);
        ended.retain(|(_, era)| era.strong_count() > 0);
        ended.first().map_or(number, |(oldest, _)| *oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pinned_era_holds_until_its_last_pin_goes() {
        let eras = Eras::default();
        let first = eras.pin();
        let again = eras.pin();
        assert_eq!(eras.advance(), first.number());
        let second = eras.pin();
        assert!(second.number() > first.number());
        drop(first);
        assert_eq!(eras.advance(), again.number());
        drop(again);
        assert_eq!(eras.advance(), second.number());
        drop(second);
        let newest = eras.advance();
        assert_eq!(eras.pin().number(), newest);
    }
}
