//! Does a person have to say yes, and did one? Questions in the client, tickets on a terminal.

use std::{path::PathBuf, sync::Arc};

use crate::{
    error::{Error, Kind, Result},
    tool::{Effect, Json, Object, Pending},
};

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

/// The approvals of one gateway, some in memory, some in the state directory.
pub struct Approvals {}

impl Approvals {
    /// The approvals kept in a state directory; a passphrase's verifier makes the terminal ask for it.
    ///
    /// # Errors
    /// `config` for a verifier that makes no sense.
    pub fn new(_state: Option<PathBuf>, _verifier: Option<&str>) -> Result<Self> {
        Ok(Self {})
    }

    /// Lets a call pass whose question was answered with yes, once; otherwise asks.
    ///
    /// # Errors
    /// [`Pause`].
    pub async fn settle(&self, question: &Question, _voice: &Voice) -> Result<(), Pause> {
        Err(Pause::Refused(Error::new(Kind::ApprovalNeeded, format!("{} needs an approval", question.tool))))
    }
}
