//! Where a partition starts. Pure.
//!
//! own offset, the group's, what the broker still has ─▶ [`decide`] ─▶ [`Start`]

use super::config::Reset;

/// Where reading begins, and what is to be said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Nobody has read it: at its beginning, or at its end if `auto.offset.reset` says so.
    New,
    At(i64),
    /// The broker has dropped messages that nobody has read.
    Missing {
        from: i64,
        to: i64,
    },
    /// The broker's newest offset lies before ours: the topic is another one of the same name. Read from its beginning.
    Recreated {
        was: i64,
        low: i64,
    },
}

impl Start {
    /// The offset, if it is not the broker's choice.
    pub(super) fn offset(self) -> Option<i64> {
        match self {
            Self::New => None,
            Self::At(offset) | Self::Missing { to: offset, .. } | Self::Recreated { low: offset, .. } => Some(offset),
        }
    }
}

/// `own`: stored with the points. `group`: committed. `low`, `high`: the broker's first offset and the one after its last.
pub(super) fn decide(own: Option<i64>, group: Option<i64>, reset: Reset, (low, high): (i64, i64)) -> Start {
    let wanted = match reset {
        Reset::Never => own.max(group),
        Reset::Group => group.or(own),
    };
    match wanted {
        None => Start::New,
        Some(offset) if offset > high => Start::Recreated { was: offset, low },
        Some(offset) if offset < low => Start::Missing { from: offset, to: low },
        Some(offset) => Start::At(offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_larger_of_own_and_group_is_the_start() {
        let start = |own, group| decide(own, group, Reset::Never, (0, 100));
        assert_eq!(start(None, None), Start::New);
        assert_eq!([start(Some(7), None), start(None, Some(7)), start(Some(3), Some(7))], [Start::At(7); 3]);
        assert_eq!(start(Some(9), Some(7)), Start::At(9));
    }

    #[test]
    fn an_operator_may_rewind_the_group() {
        assert_eq!(decide(Some(9), Some(2), Reset::Group, (0, 100)), Start::At(2));
        assert_eq!(decide(Some(9), None, Reset::Group, (0, 100)), Start::At(9));
    }

    #[test]
    fn what_the_broker_no_longer_has_is_told() {
        assert_eq!(decide(Some(5), None, Reset::Never, (8, 100)), Start::Missing { from: 5, to: 8 });
        assert_eq!(decide(Some(500), Some(3), Reset::Never, (0, 100)), Start::Recreated { was: 500, low: 0 });
        assert_eq!(decide(Some(100), None, Reset::Never, (0, 100)), Start::At(100));
    }
}
