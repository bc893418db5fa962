//! Calls that wait for a person on a terminal, and the way of a ticket: pending, approved, used; or rejected.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    passphrase::{Key, Verifier},
    sheet::{Binding, Sheet},
    store::{Found, Stage, Store},
    ticket::Ticket,
};
use crate::error::{Error, Result};

/// How long a ticket may wait for a person, and then an approval for its call.
pub const LIFE: Duration = Duration::from_secs(10 * 60);
/// A ticket that has less time left is not handed out again.
const REST: Duration = Duration::from_secs(60);
/// How long a rejected call is not put to anybody again.
const REJECTED: Duration = Duration::from_secs(60);
/// So many calls of one principal may wait; the oldest make room.
const MOST: usize = 50;
/// The form of the files.
const FORM: u8 = 1;

/// Milliseconds since 1970, by the clock on the wall: it is the one that two processes share.
type Moment = u64;

/// The tickets of a state directory.
#[derive(Debug)]
pub struct Tickets {
    state: PathBuf,
    /// What this process has used up, whatever comes back into the directory.
    used: Mutex<HashMap<Ticket, Moment>>,
    /// Two calls that are the same get one ticket.
    issuing: Mutex<()>,
}

/// A call that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its ticket.
    pub ticket: Ticket,
    /// How long it has waited.
    pub age: Duration,
    /// What it would do.
    pub sheet: Sheet,
    found: Found,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingFile {
    form: u8,
    ticket: Ticket,
    issued: Moment,
    sheet: Sheet,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovedFile {
    form: u8,
    ticket: Ticket,
    binding: Binding,
    principal: String,
    approved: Moment,
    expires: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectedFile {
    form: u8,
    ticket: Ticket,
    binding: Binding,
    rejected: Moment,
}

impl Tickets {
    /// Those of a state directory, which may not be there yet.
    #[must_use]
    pub fn new(state: PathBuf) -> Self {
        Self { state, used: Mutex::default(), issuing: Mutex::default() }
    }

    /// Every call that waits, the oldest first.
    ///
    /// # Errors
    /// `config` where the directory cannot be trusted or read.
    pub fn waiting(&self) -> Result<Vec<Waiting>> {
        let Some(store) = Store::find(&self.state)? else { return Ok(Vec::new()) };
        waiting(&store, now())
    }

    /// One call that waits.
    ///
    /// # Errors
    /// `not_found` where none waits under that ticket any more; `config` for a file that cannot be trusted.
    pub fn find(&self, ticket: &Ticket) -> Result<Waiting> {
        let gone = || {
            Error::not_found(format!("no call waits under the ticket {ticket}")).hint(
                "a ticket lives for 10 minutes; \"quaymaster approve --list\" shows those that wait, \
                 and a call that is made again gets a new one",
            )
        };
        let store = Store::find(&self.state)?.ok_or_else(gone)?;
        let found = store.read(Stage::Pending, ticket)?.ok_or_else(gone)?;
        Waiting::read(ticket, found, now())?.ok_or_else(gone)
    }

    /// Approves a call exactly as it was shown.
    ///
    /// # Errors
    /// `not_found` where it does not wait any more, `conflict` where its file is no longer the one that was read,
    /// `config` where the approval cannot be written.
    pub fn approve(&self, waiting: &Waiting, key: Option<&Key>) -> Result<()> {
        self.approve_at(waiting, key, now())
    }

    fn approve_at(&self, waiting: &Waiting, key: Option<&Key>, now: Moment) -> Result<()> {
        let ticket = &waiting.ticket;
        let gone = || {
            Error::not_found(format!("no call waits under the ticket {ticket} any more"))
                .hint("nothing is approved; a call that is made again gets a new ticket")
        };
        let store = Store::find(&self.state)?.ok_or_else(gone)?;
        store.sweep();
        // Of two people who approve at once, one does.
        let claimed = store.claim(Stage::Pending, ticket)?.ok_or_else(gone)?;
        if claimed != waiting.found {
            return Err(Error::conflict(format!("the ticket {ticket} has been changed since it was shown"))
                .hint("nothing is approved; find out who can write to the state directory"));
        }
        Waiting::read(ticket, claimed, now)?.ok_or_else(gone)?;
        let binding = waiting.sheet.binding();
        let expires = now.saturating_add(millis(LIFE));
        let signature = key.map(|key| key.sign(&signed(ticket, &binding, now, expires)));
        let file = ApprovedFile {
            form: FORM,
            ticket: ticket.clone(),
            binding,
            principal: waiting.sheet.principal.clone(),
            approved: now,
            expires,
            signature,
        };
        store.write(Stage::Approved, ticket, &bytes(&file)?)
    }

    /// Says no to a call that waits.
    ///
    /// # Errors
    /// As [`Tickets::find`].
    pub fn reject(&self, ticket: &Ticket) -> Result<()> {
        let waiting = self.find(ticket)?;
        let store = Store::make(&self.state)?;
        let (form, binding) = (FORM, waiting.sheet.binding());
        let file = RejectedFile { form, ticket: ticket.clone(), binding, rejected: now() };
        store.write(Stage::Rejected, ticket, &bytes(&file)?)?;
        store.remove(Stage::Pending, ticket);
        Ok(())
    }

    /// The ticket of a call: the one under which it waits already, or a new one.
    pub(super) fn issue(&self, sheet: &Sheet) -> Result<Ticket> {
        self.issue_at(sheet, now())
    }

    fn issue_at(&self, sheet: &Sheet, now: Moment) -> Result<Ticket> {
        let _alone = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        let store = Store::make(&self.state)?;
        store.sweep();
        let binding = sheet.binding();
        let mut own = waiting(&store, now)?;
        own.retain(|waiting| waiting.sheet.principal == sheet.principal);
        let same = own.iter().find(|waiting| waiting.age + REST < LIFE && waiting.sheet.binding() == binding);
        if let Some(waiting) = same {
            return Ok(waiting.ticket.clone());
        }
        for oldest in own.iter().take((own.len() + 1).saturating_sub(MOST)) {
            store.remove(Stage::Pending, &oldest.ticket);
        }
        let ticket = loop {
            let ticket = Ticket::new()?;
            if ![Stage::Pending, Stage::Approved, Stage::Used].iter().any(|stage| store.has(*stage, &ticket)) {
                break ticket;
            }
        };
        let file = PendingFile { form: FORM, ticket: ticket.clone(), issued: now, sheet: sheet.clone() };
        store.write(Stage::Pending, &ticket, &bytes(&file)?)?;
        Ok(ticket)
    }

    /// Uses up an approval of this call, if there is one; of all who try, one is told that there was.
    pub(super) fn consume(
        &self,
        principal: &str,
        binding: &Binding,
        verifier: Option<&Verifier>,
    ) -> Result<Option<Ticket>> {
        self.consume_at(principal, binding, verifier, now())
    }

    fn consume_at(
        &self,
        principal: &str,
        binding: &Binding,
        verifier: Option<&Verifier>,
        now: Moment,
    ) -> Result<Option<Ticket>> {
        let Some(store) = Store::find(&self.state)? else { return Ok(None) };
        // What is wrong with one file is nothing to the others.
        let good = |stage, ticket: &Ticket| match approved(&store, stage, ticket) {
            Ok(Some(file)) => {
                let fits = &file.ticket == ticket && file.principal == principal && file.binding == *binding;
                fits && file.holds(verifier, now)
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!("an approval is not counted: {error}: {}", error.detail_text().unwrap_or_default());
                false
            }
        };
        for ticket in store.list(Stage::Approved)? {
            // Somebody may have put back what was used.
            if self.was_used(&ticket, now) || store.has(Stage::Used, &ticket) || !good(Stage::Approved, &ticket) {
                continue;
            }
            if store.take(Stage::Approved, Stage::Used, &ticket)? {
                // What was moved need not be what was read.
                if self.use_up(ticket.clone(), now) && good(Stage::Used, &ticket) {
                    return Ok(Some(ticket));
                }
            }
        }
        Ok(None)
    }

    /// Whether a person rejected this very call just now.
    pub(super) fn rejected(&self, binding: &Binding) -> Result<bool> {
        self.rejected_at(binding, now())
    }

    fn rejected_at(&self, binding: &Binding, now: Moment) -> Result<bool> {
        let Some(store) = Store::find(&self.state)? else { return Ok(false) };
        Ok(store.list(Stage::Rejected)?.iter().any(|ticket| {
            let found = store.read(Stage::Rejected, ticket).ok().flatten();
            let file = found.and_then(|found| parse::<RejectedFile>(&found).ok());
            file.is_some_and(|file| file.binding == *binding && lives(file.rejected, REJECTED, now))
        }))
    }

    fn was_used(&self, ticket: &Ticket, now: Moment) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        // Longer than any approval lives, so that no clock that is set back revives one.
        used.retain(|_, when| now.saturating_sub(*when) < 6 * millis(LIFE));
        used.contains_key(ticket)
    }

    /// Remembers a ticket; answers whether this was the first time.
    fn use_up(&self, ticket: Ticket, now: Moment) -> bool {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, now).is_none()
    }
}

impl Waiting {
    /// Reads a file; `None` where its time is over.
    fn read(ticket: &Ticket, found: Found, now: Moment) -> Result<Option<Self>> {
        let file: PendingFile = parse(&found)?;
        if file.form != FORM || &file.ticket != ticket {
            return Err(damaged());
        }
        let age = Duration::from_millis(now.saturating_sub(file.issued));
        Ok(lives(file.issued, LIFE, now).then(|| Self { ticket: file.ticket, age, sheet: file.sheet, found }))
    }
}

impl ApprovedFile {
    /// Whether it was given by whom it has to be, and still holds.
    fn holds(&self, verifier: Option<&Verifier>, now: Moment) -> bool {
        let Self { form, ticket, binding, approved, expires, signature, .. } = self;
        let is_signed = verifier.is_none_or(|verifier| {
            let signature = signature.as_deref().unwrap_or_default();
            let accepted = verifier.accepts(&signed(ticket, binding, *approved, *expires), signature);
            if !accepted {
                tracing::warn!(%ticket, "an approval is not counted: it was given without the passphrase");
            }
            accepted
        });
        let is_short = expires.checked_sub(*approved) == Some(millis(LIFE));
        *form == FORM && is_short && lives(*approved, LIFE, now) && is_signed
    }
}

/// Every call that waits, the oldest first; a file that cannot be trusted is none.
fn waiting(store: &Store, now: Moment) -> Result<Vec<Waiting>> {
    let mut all = Vec::new();
    for ticket in store.list(Stage::Pending)? {
        let read = store.read(Stage::Pending, &ticket).and_then(|found| match found {
            Some(found) => Waiting::read(&ticket, found, now),
            None => Ok(None),
        });
        match read {
            Ok(waiting) => all.extend(waiting),
            Err(error) => {
                tracing::warn!(%ticket, "a ticket is not counted: {error}: {}", error.detail_text().unwrap_or_default());
            }
        }
    }
    all.sort_by_key(|waiting| std::cmp::Reverse(waiting.age));
    Ok(all)
}

fn approved(store: &Store, stage: Stage, ticket: &Ticket) -> Result<Option<ApprovedFile>> {
    store.read(stage, ticket)?.map(|found| parse(&found)).transpose()
}

/// What a signature is over. The binding holds the principal and the whole call.
fn signed(ticket: &Ticket, binding: &Binding, approved: Moment, expires: Moment) -> String {
    format!("quaymaster approval 1\n{ticket}\n{binding}\n{approved}\n{expires}")
}

/// Whether something of `since` still lives. Before its time it does not either: a clock that was set back
/// makes nothing live longer.
fn lives(since: Moment, life: Duration, now: Moment) -> bool {
    now.checked_sub(since).is_some_and(|age| age < millis(life))
}

fn now() -> Moment {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: Duration) -> Moment {
    Moment::try_from(duration.as_millis()).unwrap_or(Moment::MAX)
}

fn parse<T: DeserializeOwned>(found: &Found) -> Result<T> {
    serde_json::from_slice(&found.bytes).map_err(|error| damaged().detail(error.to_string()))
}

fn bytes(file: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(file).map_err(|error| Error::internal("a ticket cannot be written").detail(error.to_string()))
}

fn damaged() -> Error {
    Error::config("the file of a ticket is damaged").hint("make the call again: it gets a new ticket")
}

#[cfg(test)]
mod tests;
