use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn span(start: u32, end: u32) -> HourRange {
    HourRange { start: Hour(start), end: Hour(end) }
}

fn spans() -> impl Strategy<Value = HourRange> {
    (0_u32..60, 0_u32..8).prop_map(|(start, length)| span(start, start + length))
}

proptest! {
    #[test]
    fn hours_are_a_set(some in proptest::collection::vec(spans(), 0..12), cut in spans(), asked in spans()) {
        let model: BTreeSet<Hour> =
            some.iter().flat_map(|hours| hours.iter()).filter(|&hour| cut.contains(hour)).collect();
        let hours = Hours::of(some, cut);
        prop_assert!(hours.within(span(0, 100)).eq(model.iter().copied()), "every hour once, ascending");
        let asked_of_model = || model.iter().copied().filter(|&hour| asked.contains(hour));
        prop_assert!(hours.within(asked).eq(asked_of_model()));
        prop_assert_eq!(hours.last_within(asked), asked_of_model().next_back());
        let ends = model.first().zip(model.last()).map(|(&first, &last)| HourRange { start: first, end: last.next() });
        prop_assert_eq!(hours.extent(), ends);
    }
}

#[test]
fn hours_at_the_end_of_all_time_are_found_without_a_walk() {
    let all = span(0, Hour::MAX.0);
    let hours = Hours::of([span(0, 1), span(Hour::MAX.0 - 1, Hour::MAX.0 + 7)], all);
    assert_eq!(hours.within(all).collect::<Vec<_>>(), [Hour(0), Hour(Hour::MAX.0 - 1)]);
    assert_eq!(hours.last_within(span(1, Hour::MAX.0 - 1)), None);
    assert_eq!(hours.last_within(all), Some(Hour(Hour::MAX.0 - 1)));
}
