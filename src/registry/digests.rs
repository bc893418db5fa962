//! The digests that tags stand for, kept for a few minutes: a whole fleet asks a registry once for each image.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Image;
use crate::error::Result;

/// How long a digest is good for.
const FRESH: Duration = Duration::from_secs(180);
/// How long a failure is.
const FAILED: Duration = Duration::from_secs(30);
/// How many are kept.
const MOST: usize = 2_000;

type Place = Arc<tokio::sync::Mutex<Option<(Instant, Result<String>)>>>;

/// What is known, and who is asking.
#[derive(Debug, Default)]
pub(super) struct Digests(Mutex<HashMap<String, Place>>);

impl Digests {
    /// What is known of an image, else what asking for it comes to; only one asks at a time.
    pub(super) async fn of<F>(&self, image: &Image, ask: impl FnOnce() -> F) -> Result<String>
    where
        F: Future<Output = Result<String>>,
    {
        let key = format!("{}/{}:{}", image.registry(), image.repository(), image.reference());
        let place = {
            let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if places.len() >= MOST {
                places.clear();
            }
            places.entry(key).or_default().clone()
        };
        let mut known = place.lock().await;
        if let Some((at, answer)) = known.as_ref() {
            let good = if answer.is_ok() { FRESH } else { FAILED };
            if at.elapsed() < good {
                return answer.clone();
            }
        }
        let answer = ask().await;
        *known = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    #[tokio::test]
    async fn many_who_ask_for_one_image_are_one_request() {
        let (digests, asked) = (Digests::default(), AtomicUsize::new(0));
        let image = Image::of_canonical("a.b/c:1").unwrap();
        let ask = || async {
            digests
                .of(&image, || async {
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok("sha256:00".to_owned())
                })
                .await
        };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert!([one, two, three].into_iter().all(|answer| answer.unwrap() == "sha256:00"));
        let other = image.with_reference("2");
        let failed = digests.of(&other, || async { Err(Error::unreachable("gone")) }).await;
        let again = digests.of(&other, || async { unreachable!("it is remembered") }).await;
        assert_eq!((failed.unwrap_err().message(), again.unwrap_err().message()), ("gone", "gone"));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
