//! What happened to each object of a call that acts on many.

use schemars::JsonSchema;
use serde::Serialize;

use super::view::short_id;
use crate::{
    docker::names::quote,
    error::{Error, Result},
    tool::{Object, Plan, Summary},
};

/// What happened, object by object; one failure does not stop the rest.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Outcomes {
    results: Vec<Outcome>,
    #[serde(skip)]
    verb: &'static str,
}

/// What happened to one object.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// Its name; what was asked for, where it was not found.
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// What was done, or the kind of the error.
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What is worth knowing about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Outcomes {
    /// Acts on every object of a plan, one after the other; `verb` is what was done: `stopped`, `removed`.
    ///
    /// # Errors
    /// The one error of a call that named one object.
    pub(crate) async fn of<F>(plan: Plan, verb: &'static str, act: impl Fn(Object) -> F) -> Result<Self>
    where
        F: Future<Output = Result<Option<String>>>,
    {
        let single = plan.objects.len() + plan.missing.len() == 1;
        let mut results = Vec::new();
        for object in plan.objects {
            let (name, id) = (object.name.clone(), Some(short_id(&object.id)));
            match act(object).await {
                Ok(note) => results.push(Outcome { name, id, result: verb.to_owned(), error: None, note }),
                Err(error) if single => return Err(error),
                Err(error) => results.push(Outcome {
                    name,
                    id,
                    result: error.kind().as_str().to_owned(),
                    error: Some(error.to_string()),
                    note: None,
                }),
            }
        }
        results.extend(plan.missing.into_iter().map(|(name, error)| Outcome {
            name,
            id: None,
            result: error.kind().as_str().to_owned(),
            error: Some(error.to_string()),
            note: None,
        }));
        Ok(Self { results, verb })
    }
}

/// Refuses a call on nothing at all; the argument is the plural of what it names.
///
/// # Errors
/// `invalid`, naming the argument.
pub(crate) fn some(argument: &str, names: &[String]) -> Result<()> {
    if names.is_empty() {
        let one = argument.trim_end_matches('s');
        return Err(
            Error::invalid(format!("argument \"{argument}\" is empty")).hint(format!("name at least one {one}"))
        );
    }
    Ok(())
}

/// Refuses what is no signal: a name or a number.
///
/// # Errors
/// `invalid`, naming the argument.
pub(crate) fn signal(argument: &str, signal: &str) -> Result<()> {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || character == '+' || character == '-';
    if !signal.is_empty() && signal.len() <= 12 && signal.chars().all(is_plain) {
        return Ok(());
    }
    Err(Error::invalid(format!("argument \"{argument}\": {} is no signal", quote(signal)))
        .hint("a name such as HUP or SIGTERM, or a number"))
}

impl Summary for Outcomes {
    fn summary(&self) -> String {
        let done = self.results.iter().filter(|outcome| outcome.error.is_none()).count();
        match self.results.len() - done {
            0 => format!("{done} {}", self.verb),
            failed => format!("{done} {}, {failed} failed", self.verb),
        }
    }
}
