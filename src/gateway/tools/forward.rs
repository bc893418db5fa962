//! The two tools that run any other: one only what reads, so that a client can allow it once and for all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    gateway::{
        catalogue::{OwnDef, Run},
        forward::Inner,
    },
    tool::{Access, Card, Effect, HostArgument, Json, Text, schema},
};

/// Runs any tool that is not listed, as long as the call only reads, dry runs included; any other call is refused.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadTool {
    /// The tool's name, as `find_tools` tells it.
    name: String,
    /// Its arguments, `host` among them.
    #[serde(default)]
    arguments: Json,
}

/// Runs any tool that is not listed, under the limits and with the approvals of a call of that tool.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CallTool {
    /// The tool's name, as `find_tools` tells it.
    name: String,
    /// Its arguments, `host` among them.
    #[serde(default)]
    arguments: Json,
}

/// A tool that runs the calls of others.
pub(super) trait ForwardTool: for<'de> Deserialize<'de> + JsonSchema {
    const NAME: &'static str;
    const ACCESS: Access;
    /// The most that a call it runs may do.
    const CEILING: Effect;

    fn inner(self) -> Inner;
}

impl ForwardTool for ReadTool {
    const NAME: &'static str = "read_tool";
    const ACCESS: Access = Access::READ;
    const CEILING: Effect = Effect::Read;

    fn inner(self) -> Inner {
        Inner { name: self.name, arguments: self.arguments }
    }
}

impl ForwardTool for CallTool {
    const NAME: &'static str = "call_tool";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Mutate);
    const CEILING: Effect = Effect::Destroy;

    fn inner(self) -> Inner {
        Inner { name: self.name, arguments: self.arguments }
    }
}

/// The definition of one; it answers whatever the inner tool does.
pub(super) fn forward<T: ForwardTool>() -> OwnDef {
    OwnDef {
        card: Card::of::<T, Text>(T::NAME, T::ACCESS, true, HostArgument::None),
        run: Run::Forward {
            parse: |arguments, schema| Ok(schema::parse::<T>(arguments, schema)?.inner()),
            ceiling: T::CEILING,
        },
    }
}
