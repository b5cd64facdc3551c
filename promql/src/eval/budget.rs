//! What an evaluation may hold, and what it has looked at (EVAL-3).

use std::sync::atomic::{AtomicU64, Ordering};

use super::{EvalError, Options};

/// Counts of one evaluation, for all its threads.
#[derive(Debug)]
pub(super) struct Budget {
    samples_max: u64,
    bytes_max: u64,
    held_samples: AtomicU64,
    held_bytes: AtomicU64,
    peak_samples: AtomicU64,
    looked_at: AtomicU64,
}

/// Samples that are held until this is dropped.
#[derive(Debug)]
pub(super) struct Held<'q> {
    budget: &'q Budget,
    samples: u64,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            samples_max: options.max_samples,
            bytes_max: options.memory_bytes,
            held_samples: AtomicU64::new(0),
            held_bytes: AtomicU64::new(0),
            peak_samples: AtomicU64::new(0),
            looked_at: AtomicU64::new(0),
        }
    }

    /// Whether so many samples may be held at all.
    pub(super) fn allows(&self, samples: usize) -> Result<(), EvalError> {
        let samples = u64::try_from(samples).unwrap_or(u64::MAX);
        if samples > self.samples_max { Err(EvalError::TooManySamples) } else { Ok(()) }
    }

    pub(super) fn look_at(&self, samples: usize) {
        self.looked_at.fetch_add(u64::try_from(samples).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Nothing held yet, to be added to.
    pub(super) fn hold_nothing(&self) -> Held<'_> {
        Held { budget: self, samples: 0, bytes: 0 }
    }

    pub(super) fn samples(&self) -> u64 {
        self.looked_at.load(Ordering::Relaxed)
    }

    pub(super) fn peak_samples(&self) -> u64 {
        self.peak_samples.load(Ordering::Relaxed)
    }
}

impl Held<'_> {
    /// Holds more; an error where that is too much.
    pub(super) fn add(&mut self, samples: usize, bytes: usize) -> Result<(), EvalError> {
        if samples == 0 && bytes == 0 {
            return Ok(());
        }
        let (samples, bytes) = (u64::try_from(samples).unwrap_or(u64::MAX), u64::try_from(bytes).unwrap_or(u64::MAX));
        self.samples += samples;
        self.bytes += bytes;
        let held = self.budget.held_samples.fetch_add(samples, Ordering::Relaxed) + samples;
        self.budget.peak_samples.fetch_max(held, Ordering::Relaxed);
        let held_bytes = self.budget.held_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if held > self.budget.samples_max {
            return Err(EvalError::TooManySamples);
        }
        if held_bytes > self.budget.bytes_max {
            return Err(EvalError::TooMuchMemory { limit: self.budget.bytes_max });
        }
        Ok(())
    }

    /// Lets go of a part.
    pub(super) fn release(&mut self, samples: usize, bytes: usize) {
        let part = |all: u64, wanted: usize| u64::try_from(wanted).unwrap_or(u64::MAX).min(all);
        drop(Self { budget: self.budget, samples: part(self.samples, samples), bytes: part(self.bytes, bytes) });
        self.samples -= part(self.samples, samples);
        self.bytes -= part(self.bytes, bytes);
    }

    /// Takes over what another holds.
    pub(super) fn join(&mut self, mut other: Self) {
        self.samples += std::mem::take(&mut other.samples);
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.budget.held_samples.fetch_sub(self.samples, Ordering::Relaxed);
        self.budget.held_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
