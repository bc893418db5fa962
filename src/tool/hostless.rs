//! A reading tool that needs no daemon: it speaks to a registry, or tells of this machine.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use super::{Access, Answer, Call, Card, Def, HostArgument, Json, Output, Parse, Pending, Program, schema, written};
use crate::error::Result;

/// One reading tool without `host`. The doc comment is its description, the fields are its schema.
pub trait HostlessTool: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// `verb_noun`, at most 32 characters.
    const NAME: &'static str;
    /// The program of this machine that it runs: where that is missing, the tool is not listed and says what to install.
    const PROGRAM: Option<Program> = None;
    /// What it answers.
    type Output: Output;

    /// How long a call may take; `None` is the default of a read.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Does it.
    fn call(self, call: &Call) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// The definition of a tool without `host`; all of them reach beyond the hosts.
#[must_use]
pub fn hostless<T: HostlessTool>() -> Def {
    let mut card = Card::of::<T, T::Output>(T::NAME, Access::READ, false, HostArgument::None);
    card.open_world = true;
    card.program = T::PROGRAM;
    card.may_become_job = true;
    Def { card, parse: Parse::Hostless(|arguments, schema| Ok(Box::new(schema::parse::<T>(arguments, schema)?))) }
}

/// A parsed call of a [`HostlessTool`], erased.
pub trait HostlessCall: Send + Sync {
    /// The parsed arguments, defaults included.
    fn arguments(&self) -> Json;
    /// See [`HostlessTool::deadline`].
    fn deadline(&self) -> Option<Duration>;
    /// See [`HostlessTool::call`].
    fn call(self: Box<Self>, call: &Call) -> Pending<'_, Result<Answer>>;
}

impl<T: HostlessTool> HostlessCall for T {
    fn arguments(&self) -> Json {
        written(self)
    }

    fn deadline(&self) -> Option<Duration> {
        HostlessTool::deadline(self)
    }

    fn call(self: Box<Self>, call: &Call) -> Pending<'_, Result<Answer>> {
        Box::pin(async move { HostlessTool::call(*self, call).await?.answer(None) })
    }
}
