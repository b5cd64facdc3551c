//! An error in one line: what failed, and why, down to the first cause.

use std::error::Error;
use std::fmt;

/// Shows an error with all its sources, from the outermost to the first cause: `cannot write the log: IO error: …`.
/// Our errors do not repeat their source in their own text, so a log line without this would not say why.
#[derive(Debug, Clone, Copy)]
pub struct Causes<'a>(pub &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("cannot write the log")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_cause_is_said_once() {
        let error = Outer(std::io::Error::other("no space"));
        assert_eq!(Causes(&error).to_string(), "cannot write the log: no space");
    }
}
