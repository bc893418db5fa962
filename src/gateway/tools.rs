//! The tools about the gateway itself: its hosts, its policy, its jobs, its audit.

mod audit;
mod catalogue;
mod forward;
mod hosts;
mod jobs;
mod policy;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Gateway,
    caller::Caller,
    catalogue::{OwnCall, OwnDef, Run},
};
use crate::{
    docker::Host,
    error::Result,
    tool::{self, Access, Answer, Call, Card, HostArgument, Json, Output, Pending, schema},
};

/// The tools, in the order of the documentation; all belong to the toolset `hosts`.
pub(super) const OWN: &[fn() -> OwnDef] = &[
    own::<hosts::ListHosts>,
    own::<hosts::ReconnectHost>,
    own::<policy::ExplainPolicy>,
    own::<jobs::ListJobs>,
    own::<jobs::GetJob>,
    own::<jobs::CancelJob>,
    own::<audit::ReadAuditLog>,
    own::<catalogue::FindTools>,
    forward::forward::<forward::ReadTool>,
    forward::forward::<forward::CallTool>,
];

/// A tool about the gateway itself. The doc comment is its description, the fields are its schema.
trait OwnTool: for<'de> Deserialize<'de> + Serialize + JsonSchema + Send + Sync + 'static {
    const NAME: &'static str;
    const CORE: bool = false;
    const HOST: HostArgument = HostArgument::None;
    const ACCESS: Access = Access::READ;
    type Output: Output;

    /// How long it may take; `None` is the default of a read.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    fn call(
        self,
        gateway: &Gateway,
        hosts: Vec<Arc<Host>>,
        caller: &Caller,
        call: &Call,
    ) -> impl Future<Output = Result<Self::Output>> + Send;
}

fn own<T: OwnTool>() -> OwnDef {
    struct Parsed<T>(T);

    impl<T: OwnTool> OwnCall for Parsed<T> {
        fn arguments(&self) -> Json {
            tool::written(&self.0)
        }

        fn deadline(&self) -> Option<Duration> {
            OwnTool::deadline(&self.0)
        }

        fn call<'a>(
            self: Box<Self>,
            gateway: &'a Gateway,
            hosts: Vec<Arc<Host>>,
            caller: &'a Caller,
            call: &'a Call,
        ) -> Pending<'a, Result<Answer>> {
            Box::pin(async move { self.0.call(gateway, hosts, caller, call).await?.answer(None) })
        }
    }

    OwnDef {
        card: Card::of::<T, T::Output>(T::NAME, T::ACCESS, T::CORE, T::HOST),
        run: Run::Own(|arguments, schema| Ok(Box::new(Parsed(schema::parse::<T>(arguments, schema)?)))),
    }
}
