//! A map from numbers that are given out in ascending order and never reused to values: pages of slots, each freed
//! when its last value goes, so that numbers of the past cost nothing.

/// Slots of one page.
const PAGE: usize = 1_024;

#[derive(Debug)]
pub(super) struct Paged<T> {
    pages: Vec<Option<Page<T>>>,
    len: usize,
}

#[derive(Debug)]
struct Page<T> {
    slots: Vec<Option<T>>,
    live: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

fn place(number: u32) -> (usize, usize) {
    let number = number as usize;
    (number / PAGE, number % PAGE)
}

impl<T> Paged<T> {
    /// Values held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let (page, slot) = place(number);
        self.pages.get(page)?.as_ref()?.slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (page, slot) = place(number);
        self.pages.get_mut(page)?.as_mut()?.slots.get_mut(slot)?.as_mut()
    }

    /// Puts a value at a number that holds none.
    pub(super) fn insert(&mut self, number: u32, value: T) {
        let (page, slot) = place(number);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Page { slots: Vec::with_capacity(PAGE), live: 0 });
        if page.slots.len() <= slot {
            page.slots.resize_with(slot + 1, || None);
        }
        debug_assert!(page.slots[slot].is_none(), "numbers are never reused");
        page.slots[slot] = Some(value);
        page.live += 1;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let (page, slot) = place(number);
        let home = self.pages.get_mut(page)?;
        let held = home.as_mut()?;
        let value = held.slots.get_mut(slot)?.take()?;
        held.live -= 1;
        self.len -= 1;
        if held.live == 0 {
            *home = None;
        }
        Some(value)
    }

    /// Bytes of the pages, without what the values point to.
    pub(super) fn memory_bytes(&self) -> usize {
        let page = size_of::<Option<Page<T>>>();
        let slots = PAGE * size_of::<Option<T>>();
        self.pages.iter().map(|held| page + if held.is_some() { slots } else { 0 }).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_empty_pages_are_freed() {
        let mut paged = Paged::default();
        let numbers = [0, 1, 1_023, 1_024, 5_000];
        for number in numbers {
            paged.insert(number, u64::from(number) * 3);
        }
        assert_eq!((paged.len(), paged.get(5_000), paged.get(2), paged.get(9_999)), (5, Some(&15_000), None, None));
        let full = paged.memory_bytes();
        for number in numbers {
            assert_eq!(paged.remove(number), Some(u64::from(number) * 3));
            assert_eq!(paged.remove(number), None);
        }
        assert_eq!(paged.len(), 0);
        assert!(paged.memory_bytes() < full / 10);
    }
}
