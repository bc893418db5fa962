//! A slow beat while calls come in, which spares each of them the runtime's waking of itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Shorter than any deadline of a call.
const EVERY: Duration = Duration::from_secs(1);
/// So many beats without a call end it: a server that nobody calls sleeps.
const REST: u64 = 10;

/// Beats from a call on, and stops by itself when none has come for a while.
///
/// The runtime sleeps until the next timer. A deadline that is nearer than that wakes it, through the kernel and on
/// every call again: a call sets three or four, each nearer than the last. Where a timer is always near, none does.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// Beats that are left; 0 when it has stopped.
    left: Arc<AtomicU64>,
}

impl Beat {
    /// Says that a call has come.
    pub(super) fn call(&self) {
        if self.left.swap(REST, Ordering::AcqRel) > 0 {
            return;
        }
        let left = self.left.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    return;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_beats_while_calls_come_and_then_no_more() {
        let beat = Beat::default();
        beat.call();
        tokio::time::sleep(EVERY * 5 + EVERY / 2).await;
        assert_eq!(beat.left.load(Ordering::Acquire), REST - 5);
        beat.call();
        tokio::time::sleep(EVERY * 20).await;
        assert_eq!(beat.left.load(Ordering::Acquire), 0);
        // One task at a time, and a new one after it has ended.
        beat.call();
        beat.call();
        tokio::time::sleep(EVERY + EVERY / 2).await;
        assert_eq!(beat.left.load(Ordering::Acquire), REST - 1);
    }
}
