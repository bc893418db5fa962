//! Does a person have to say yes, and did one? Questions in the client, tickets on a terminal.

mod hex;
mod memory;
pub mod passphrase;
pub mod sheet;
mod store;
pub mod ticket;
pub mod tickets;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Kind, Result},
    tool::{Effect, Json, Object, Pending},
};
use memory::Memory;
use passphrase::Verifier;
use sheet::{Binding, Sheet};
use tickets::Tickets;

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The question, with everything that will happen.
    pub message: String,
    /// The host whose name has to be typed for a yes.
    pub host: String,
}

/// What a person said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Yes; with the name of the host as it was typed.
    Accepted {
        /// What was typed.
        host: String,
    },
    /// No.
    Declined,
    /// The question was closed without an answer.
    Dismissed,
    /// Nobody answered in time, or nobody could be asked.
    Unheard,
}

/// Puts a question to the person behind a client.
pub type Ask = Arc<dyn Fn(Form) -> Pending<'static, Reply> + Send + Sync>;

/// How the person behind a call can be asked.
#[derive(Clone)]
pub enum Voice {
    /// Not at all: a ticket for the terminal is all there is.
    Silent,
    /// At once, while the call waits.
    Live(Ask),
    /// By answering the call with the question; the client makes the call again with the reply.
    Returned(Option<Returned>),
}

impl Voice {
    /// The same voice, which falls silent after a while: whoever is asked while a call waits is not asked for
    /// longer than the call may wait.
    #[must_use]
    pub fn for_at_most(&self, patience: Duration) -> Self {
        let Self::Live(ask) = self else { return self.clone() };
        let ask = ask.clone();
        Self::Live(Arc::new(move |form| {
            let answer = ask(form);
            Box::pin(async move { tokio::time::timeout(patience, answer).await.unwrap_or(Reply::Unheard) })
        }))
    }
}

/// The reply to a question that was an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// What the question carried, unchanged.
    pub state: String,
    /// What the person said.
    pub reply: Reply,
}

/// A call that needs a yes, whole: an approval is bound to all of it.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whom the approval belongs to.
    pub principal: String,
    /// The host.
    pub host: String,
    /// The tool.
    pub tool: &'static str,
    /// What the call does.
    pub effect: Effect,
    /// Why a person is asked, one sentence each.
    pub reasons: Vec<String>,
    /// The parsed arguments, defaults included, without `host`.
    pub arguments: Json,
    /// Every object it acts on.
    pub objects: Vec<Identity>,
}

/// An object as an approval is bound to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `container`, `image`, ...
    pub kind: &'static str,
    /// Its name, for the person.
    pub name: String,
    /// Its full id.
    pub id: String,
    /// A hash of what makes it what it is, but not of what it does at the moment.
    pub digest: String,
}

impl Identity {
    /// An object as a plan has resolved it.
    #[must_use]
    pub fn of(object: &Object) -> Self {
        Self {
            kind: object.kind.as_str(),
            name: object.name.clone(),
            id: object.id.clone(),
            digest: object.digest.clone(),
        }
    }
}

/// Why a call does not go on.
#[derive(Debug)]
pub enum Pause {
    /// The question goes to the client, which makes the call again.
    Asked {
        /// The question.
        form: Form,
        /// What the reply has to carry.
        state: String,
    },
    /// It was refused, or needs a ticket.
    Refused(Error),
}

/// How long a question waits for its answer while the call does.
const ASKING: Duration = Duration::from_secs(40);
/// The longest question that a client is shown, in bytes; a longer one goes to the terminal.
const LONGEST_FORM: usize = 32 << 10;
/// The largest call that can be approved, in bytes: nobody reads more.
const LARGEST: usize = 256 << 10;

/// The approvals of one gateway, some in memory, some in the state directory.
///
/// Without a verifier whoever can write to the state directory can approve; with one, an approval of the terminal
/// counts only with a signature that takes the passphrase.
pub struct Approvals {
    tickets: Option<Arc<Tickets>>,
    verifier: Option<Arc<Verifier>>,
    memory: Memory,
    patience: Duration,
}

impl Approvals {
    /// The approvals kept in a state directory; a passphrase's verifier makes the terminal ask for it.
    ///
    /// # Errors
    /// `config` for a verifier that makes no sense.
    pub fn new(state: Option<PathBuf>, verifier: Option<&str>) -> Result<Self> {
        let verifier = verifier.map(Verifier::parse).transpose()?.map(Arc::new);
        Ok(Self {
            tickets: state.map(Tickets::new).map(Arc::new),
            verifier,
            memory: Memory::default(),
            patience: ASKING,
        })
    }

    /// Lets a call pass whose question was answered with yes, once; otherwise asks.
    ///
    /// # Errors
    /// [`Pause`].
    pub async fn settle(&self, question: &Question, voice: &Voice) -> Result<(), Pause> {
        let sheet = Arc::new(Sheet::of(question));
        let binding = sheet.binding();
        let size = sheet.size();
        if size > LARGEST {
            return Err(refused(
                Error::denied(format!("a call of {} KiB is too large for a person to approve", size >> 10))
                    .hint("make it smaller: fewer objects at once, shorter values"),
            ));
        }
        let mut reply = match voice {
            // Whatever it says, the question is closed now.
            Voice::Returned(Some(returned)) if self.memory.close(&returned.state, &binding, Instant::now()) => {
                Some(returned.reply.clone())
            }
            Voice::Returned(Some(_)) => {
                return Err(refused(
                    Error::denied("the question that was answered is not open any more")
                        .hint("make the call again: the person is asked anew"),
                ));
            }
            Voice::Silent | Voice::Live(_) | Voice::Returned(None) => None,
        };
        if matches!(reply, None | Some(Reply::Unheard)) && self.was_approved(&sheet, &binding).await {
            return Ok(());
        }
        if self.was_declined(&binding).await {
            return Err(refused(declined("the person declined this very call less than a minute ago")));
        }
        let form = form(&sheet);
        if reply.is_none() && form.message.len() <= LONGEST_FORM {
            reply = match voice {
                Voice::Live(ask) => {
                    Some(tokio::time::timeout(self.patience, ask(form)).await.unwrap_or(Reply::Unheard))
                }
                Voice::Returned(_) => {
                    let state = self.memory.open(binding, Instant::now()).map_err(refused)?;
                    return Err(Pause::Asked { form, state });
                }
                Voice::Silent => None,
            };
        }
        match reply {
            // A yes that was clicked away without a look at the host is none.
            Some(Reply::Accepted { host }) if host.trim() == question.host => Ok(()),
            Some(Reply::Accepted { .. }) => Err(refused(
                Error::denied("the person did not type the host's name, so the call is not approved")
                    .hint("report it; make the call again only if the person asks for it"),
            )),
            Some(Reply::Declined | Reply::Dismissed) => {
                self.memory.decline(binding, Instant::now());
                Err(refused(declined("the person declined this call")))
            }
            Some(Reply::Unheard) | None => Err(refused(self.ticket(sheet).await)),
        }
    }

    /// Whether the terminal has approved the call; the approval is used up by the answer.
    async fn was_approved(&self, sheet: &Arc<Sheet>, binding: &Binding) -> bool {
        let (verifier, principal, binding) = (self.verifier.clone(), sheet.principal.clone(), binding.clone());
        let used = self.with_tickets(move |tickets| tickets.consume(&principal, &binding, verifier.as_deref())).await;
        match used {
            Ok(Some(Some(ticket))) => {
                tracing::info!(%ticket, "a call passes on its approval");
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!("approvals are not counted: {error}: {}", error.detail_text().unwrap_or_default());
                false
            }
        }
    }

    async fn was_declined(&self, binding: &Binding) -> bool {
        let own = binding.clone();
        self.memory.declined(binding, Instant::now())
            || matches!(self.with_tickets(move |tickets| tickets.rejected(&own)).await, Ok(Some(true)))
    }

    /// The answer that sends the person to a terminal.
    async fn ticket(&self, sheet: Arc<Sheet>) -> Error {
        let reasons = sheet.reasons.join("; ");
        match self.with_tickets(move |tickets| tickets.issue(&sheet)).await {
            Ok(Some(ticket)) => {
                Error::new(Kind::ApprovalNeeded, format!("a person has to approve this call: {reasons}")).hint(format!(
                    "ask the person to run \"quaymaster approve {ticket}\" in a terminal on the gateway's machine \
                     within 10 minutes, then make exactly this call again"
                ))
            }
            Ok(None) => Error::new(
                Kind::ApprovalNeeded,
                format!("a person has to approve this call, and there is nowhere to keep an approval: {reasons}"),
            )
            .hint("ask the person to set \"state\" in the configuration, or XDG_STATE_HOME; approvals are kept there"),
            Err(error) => error,
        }
    }

    /// Works on the files where waiting for a disk holds up nobody; `None` without a state directory.
    async fn with_tickets<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tickets) -> Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let Some(tickets) = self.tickets.clone() else { return Ok(None) };
        let done = tokio::task::spawn_blocking(move || work(&tickets)).await;
        done.map_err(|error| Error::internal("the approvals met a defect").detail(error.to_string()))?.map(Some)
    }
}

fn form(sheet: &Sheet) -> Form {
    let message = format!(
        "An agent wants to do this:\n\n{}\nTo allow it once, type the name of the host. Nothing happens otherwise.",
        sheet.text()
    );
    Form { message, host: sheet.host.clone() }
}

fn refused(error: Error) -> Pause {
    Pause::Refused(error)
}

fn declined(message: &str) -> Error {
    Error::denied(message).hint("do not make it again and do not look for another way; report it")
}

#[cfg(test)]
mod tests;
