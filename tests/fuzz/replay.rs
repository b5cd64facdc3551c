//! Replays the corpus of a fuzzing target with the stable compiler. Included by the tests of the crates that decode.

use std::fs;
use std::path::Path;

/// Gives every input of a target to its check, and every truncation of it.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(corpus).expect("the corpus is in the repository") {
        let bytes = fs::read(entry.expect("readable").path()).expect("readable");
        check(&bytes);
        (0..bytes.len()).for_each(|len| check(&bytes[..len]));
        inputs += 1;
    }
    assert!(inputs > 0, "an empty corpus tests nothing");
}
