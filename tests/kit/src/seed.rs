//! The seed of a test's random choices.

/// A fresh seed, printed; or the one that `TEST_SEED` says.
///
/// # Panics
/// If `TEST_SEED` is not a number.
#[expect(clippy::print_stderr, reason = "a failed test shows its output: the seed is how it is repeated")]
pub fn seed() -> u64 {
    let seed = match std::env::var("TEST_SEED") {
        Ok(text) => text.parse().expect("TEST_SEED is a number"),
        Err(_) => rand::random(),
    };
    eprintln!("seed {seed} (repeat with TEST_SEED={seed})");
    seed
}
