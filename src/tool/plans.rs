//! What was planned in one call and may be done by another: whose it is, where, and until when.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    docker::names::quote,
    error::{Error, Result},
    secret::random,
};

/// How long a plan is good: twice as long as an approval, so that whoever takes their time over the question still
/// finds the plan.
pub const GOOD_FOR: Duration = Duration::from_secs(20 * 60);
/// So many are kept; the oldest go first.
const MOST: usize = 64;
/// What every id begins with.
const PREFIX: &str = "plan-";
/// How many hexadecimal digits follow.
const DIGITS: usize = 16;

/// The plans of one gateway.
#[derive(Clone, Default)]
pub struct Plans(Arc<Mutex<Vec<Kept>>>);

struct Kept {
    id: String,
    principal: String,
    host: String,
    made: Instant,
    document: Value,
}

impl Plans {
    /// The host that somebody's plan is for.
    ///
    /// # Errors
    /// `invalid` for what no plan is called, `not_found` also for a plan of somebody else.
    pub fn host_of(&self, principal: &str, id: &str) -> Result<String> {
        self.find(principal, id, Instant::now(), |plan| plan.host.clone())
    }

    fn find<T>(&self, principal: &str, id: &str, now: Instant, of: impl FnOnce(&Kept) -> T) -> Result<T> {
        let is_hex = |digits: &str| digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !id.strip_prefix(PREFIX).is_some_and(is_hex) {
            return Err(Error::invalid(format!("argument \"plan\": {} is no id of a plan", quote(id)))
                .hint("give the id that plan_cleanup answered"));
        }
        let plans = self.fresh(now);
        plans.iter().find(|plan| plan.id == id && plan.principal == principal).map(of).ok_or_else(|| missing(id))
    }

    fn fresh(&self, now: Instant) -> MutexGuard<'_, Vec<Kept>> {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|plan| now.saturating_duration_since(plan.made) < GOOD_FOR);
        plans
    }
}

fn missing(id: &str) -> Error {
    Error::not_found(format!("there is no plan {}", quote(id))).hint(format!(
        "a plan is good for one call within {} min, and in this process only: make a new one with plan_cleanup",
        GOOD_FOR.as_secs() / 60
    ))
}

/// The plans of one caller.
#[derive(Clone, Default)]
pub struct OwnPlans {
    plans: Plans,
    principal: Arc<str>,
}

impl OwnPlans {
    /// Somebody's among the plans of a gateway.
    #[must_use]
    pub fn new(plans: &Plans, principal: &str) -> Self {
        Self { plans: plans.clone(), principal: principal.into() }
    }

    /// Keeps what was planned for a host; answers its id.
    ///
    /// # Errors
    /// `internal` where it cannot be written, or the system has no random numbers.
    pub fn keep(&self, host: &str, planned: &impl Serialize) -> Result<String> {
        let document = serde_json::to_value(planned)
            .map_err(|error| Error::internal("a plan cannot be written").detail(error.to_string()))?;
        let id = format!("{PREFIX}{:0DIGITS$x}", u64::from_be_bytes(random()?));
        let (now, principal) = (Instant::now(), self.principal.to_string());
        let mut plans = self.plans.fresh(now);
        if plans.len() >= MOST {
            plans.remove(0);
        }
        plans.push(Kept { id: id.clone(), principal, host: host.to_owned(), made: now, document });
        Ok(id)
    }

    /// What was planned for a host.
    ///
    /// # Errors
    /// As [`Plans::host_of`].
    pub fn read<T: DeserializeOwned>(&self, host: &str, id: &str) -> Result<T> {
        let document = self
            .plans
            .find(&self.principal, id, Instant::now(), |plan| (plan.host == host).then(|| plan.document.clone()));
        serde_json::from_value(document?.ok_or_else(|| missing(id))?)
            .map_err(|error| Error::internal("a plan cannot be read back").detail(error.to_string()))
    }

    /// Uses a plan up.
    ///
    /// # Errors
    /// `not_found` where somebody was faster.
    pub fn take(&self, id: &str) -> Result<()> {
        let mut plans = self.plans.fresh(Instant::now());
        let place = plans.iter().position(|plan| plan.id == id && *plan.principal == *self.principal);
        plans.remove(place.ok_or_else(|| missing(id))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn a_plan_is_its_owners_and_good_once() {
        let plans = Plans::default();
        let (mine, other) = (OwnPlans::new(&plans, "os:me"), OwnPlans::new(&plans, "os:other"));
        let id = mine.keep("lab", &["a"]).unwrap();
        assert_eq!(plans.host_of("os:me", &id).unwrap(), "lab");
        assert_eq!(mine.read::<Vec<String>>("lab", &id).unwrap(), ["a"]);
        let missing = |result: Result<Vec<String>>| assert_eq!(result.unwrap_err().kind(), Kind::NotFound);
        missing(other.read("lab", &id));
        missing(mine.read("prod", &id));
        assert_eq!(plans.host_of("os:other", &id).unwrap_err().kind(), Kind::NotFound);
        assert!(other.take(&id).is_err());
        mine.take(&id).unwrap();
        assert!(mine.take(&id).is_err());
        missing(mine.read("lab", &id));
        for forged in ["", "plan-", "plan-0", "job-0000000000000000", "plan-../../etc/passwd", "plan-00000000000000zz"]
        {
            assert_eq!(plans.host_of("os:me", forged).unwrap_err().kind(), Kind::Invalid, "{forged}");
        }
        assert_eq!(plans.host_of("os:me", "plan-0123456789abcdef").unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn plans_go_with_time_and_number() {
        let plans = Plans::default();
        let mine = OwnPlans::new(&plans, "os:me");
        let first = mine.keep("lab", &0).unwrap();
        let late = Instant::now() + GOOD_FOR;
        assert!(plans.find("os:me", &first, late, |_| ()).is_err());
        let first = mine.keep("lab", &0).unwrap();
        for number in 0..MOST {
            mine.keep("lab", &number).unwrap();
        }
        assert!(mine.read::<u64>("lab", &first).is_err());
        assert_eq!(plans.fresh(Instant::now()).len(), MOST);
    }
}
