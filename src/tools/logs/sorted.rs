//! Lines of several writers, put into the order of their times before anything is chosen among them.

use super::{reading::Entry, selection::Order};

/// The most bytes that wait to be sorted; beyond it the end that counts less is let go of.
const ROOM: usize = 8 << 20;
/// What an entry takes beside its text.
const FRAME: usize = 96;

/// Lines on their way into an order.
pub(super) struct Sorted {
    order: Order,
    entries: Vec<Entry>,
    used: usize,
    lost: usize,
}

impl Sorted {
    /// Nothing yet; of too many lines the end that `order` names stays.
    pub(super) fn new(order: Order) -> Self {
        Self { order, entries: Vec::new(), used: 0, lost: 0 }
    }

    /// Takes more lines.
    pub(super) fn extend(&mut self, entries: Vec<Entry>) {
        self.used += entries.iter().map(cost).sum::<usize>();
        self.entries.extend(entries);
        if self.used > ROOM {
            self.shrink();
        }
    }

    /// How many lines there was no room for.
    pub(super) fn lost(&self) -> usize {
        self.lost
    }

    /// All of them, the oldest first; words of the engine itself, which have no time, at the end.
    pub(super) fn entries(mut self) -> Vec<Entry> {
        self.sort();
        self.entries
    }

    fn sort(&mut self) {
        // Stable: lines of one moment stay as they came.
        self.entries.sort_by_key(|entry| (entry.time.is_none(), entry.time));
    }

    /// Down to half of the room.
    fn shrink(&mut self) {
        self.sort();
        if self.order == Order::Last {
            self.entries.reverse();
        }
        let mut room = ROOM / 2;
        let kept = self.entries.iter().take_while(|entry| {
            let fits = cost(entry) <= room;
            room = room.saturating_sub(cost(entry));
            fits
        });
        let kept = kept.count();
        self.lost += self.entries.len() - kept;
        self.entries.truncate(kept);
        if self.order == Order::Last {
            self.entries.reverse();
        }
        self.used = self.entries.iter().map(cost).sum();
    }
}

fn cost(entry: &Entry) -> usize {
    entry.text.len() + FRAME
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn entry(second: i64, text: &str) -> Entry {
        Entry { time: Timestamp::from_second(second).ok(), text: text.to_owned(), ..Entry::default() }
    }

    #[test]
    fn lines_of_several_are_sorted_and_those_of_one_moment_stay() {
        let mut sorted = Sorted::new(Order::Last);
        sorted.extend(vec![entry(3, "c"), entry(1, "a"), Entry { text: "engine".into(), ..Entry::default() }]);
        sorted.extend(vec![entry(3, "d"), entry(2, "b")]);
        let texts: Vec<String> = sorted.entries().into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["a", "b", "c", "d", "engine"]);
    }

    #[test]
    fn of_too_many_the_end_that_counts_stays() {
        for (order, first, last) in [(Order::Last, None, Some(9_999)), (Order::First, Some(0), None)] {
            let mut sorted = Sorted::new(order);
            for number in 0..10_000 {
                // Not in the order of their times.
                let second = if number % 2 == 0 { number } else { 10_000 - number };
                sorted.extend(vec![entry(second, &"x".repeat(2_000))]);
            }
            let lost = sorted.lost();
            let entries = sorted.entries();
            assert!(lost > 0 && entries.len() + lost == 10_000, "{lost}");
            assert!(entries.iter().map(cost).sum::<usize>() <= ROOM);
            assert!(entries.is_sorted_by_key(|entry| entry.time));
            let second = |entry: Option<&Entry>| entry.and_then(|entry| entry.time).map(Timestamp::as_second);
            assert!(first.is_none() || second(entries.first()) == first, "{order:?}");
            assert!(last.is_none() || second(entries.last()) == last, "{order:?}");
        }
    }
}
