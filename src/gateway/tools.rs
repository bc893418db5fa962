//! The tools about the gateway itself: its hosts, its policy, its audit.

mod audit;
mod hosts;
mod policy;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Gateway,
    caller::Caller,
    catalogue::{OwnCall, OwnDef},
};
use crate::{
    docker::Host,
    error::Result,
    tool::{self, Access, Answer, Card, HostArgument, Json, Output, Pending, schema},
};

/// The tools, in the order of the documentation; all belong to the toolset `hosts`.
pub(super) const OWN: &[fn() -> OwnDef] =
    &[own::<hosts::ListHosts>, own::<hosts::ReconnectHost>, own::<policy::ExplainPolicy>, own::<audit::ReadAuditLog>];

/// A tool about the gateway itself. The doc comment is its description, the fields are its schema.
trait OwnTool: for<'de> Deserialize<'de> + Serialize + JsonSchema + Send + Sync + 'static {
    const NAME: &'static str;
    const CORE: bool = false;
    const HOST: HostArgument = HostArgument::None;
    type Output: Output;

    fn call(
        self,
        gateway: &Gateway,
        hosts: Vec<Arc<Host>>,
        caller: &Caller,
    ) -> impl Future<Output = Result<Self::Output>> + Send;
}

fn own<T: OwnTool>() -> OwnDef {
    struct Parsed<T>(T);

    impl<T: OwnTool> OwnCall for Parsed<T> {
        fn arguments(&self) -> Json {
            tool::written(&self.0)
        }

        fn call<'a>(
            self: Box<Self>,
            gateway: &'a Gateway,
            hosts: Vec<Arc<Host>>,
            caller: &'a Caller,
        ) -> Pending<'a, Result<Answer>> {
            Box::pin(async move { self.0.call(gateway, hosts, caller).await?.answer(None) })
        }
    }

    OwnDef {
        card: Card::of::<T, T::Output>(T::NAME, Access::READ, T::CORE, T::HOST),
        parse: |arguments, schema| Ok(Box::new(Parsed(schema::parse::<T>(arguments, schema)?))),
    }
}
