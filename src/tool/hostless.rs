//! A tool that needs no daemon: it speaks to a registry, or is about this machine.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use super::{Access, Answer, Call, Card, Def, HostArgument, Json, Output, Parse, Pending, Program, schema, written};
use crate::error::Result;

/// One tool without `host`, which mostly reads. The doc comment is its description, the fields are its schema.
pub trait HostlessTool: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// `verb_noun`, at most 32 characters.
    const NAME: &'static str;
    /// The program of this machine that it runs: where that is missing, the tool is not listed and says what to install.
    const PROGRAM: Option<Program> = None;
    /// The worst it can do, and what it needs: some host has to allow as much.
    const ACCESS: Access = Access::READ;
    /// Whether it sees the operator's own configuration of the docker CLI: then it exists only where that is granted.
    const CLI_CONFIG: bool = false;
    /// What it answers.
    type Output: Output;

    /// How long a call may take; `None` is the default of a read.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Refuses arguments that make no sense, before anybody is asked.
    ///
    /// # Errors
    /// `invalid`, naming the argument.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Does it.
    fn call(self, call: &Call) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// The definition of a tool without `host`; those that are not about this machine reach beyond the hosts.
#[must_use]
pub fn hostless<T: HostlessTool>() -> Def {
    let mut card = Card::of::<T, T::Output>(T::NAME, T::ACCESS, false, HostArgument::None);
    card.open_world = !T::CLI_CONFIG;
    card.program = T::PROGRAM;
    card.cli_config = T::CLI_CONFIG;
    card.may_become_job = true;
    Def {
        card,
        parse: Parse::Hostless(|arguments, schema| {
            let tool = schema::parse::<T>(arguments, schema)?;
            tool.check()?;
            Ok(Box::new(tool))
        }),
    }
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
