//! Calls that carry another call: from here on everything sees the inner one, and how much of it is let through.

use super::{
    Gateway,
    catalogue::{Entry, Run},
};
use crate::{
    docker::names::quote,
    error::{Error, Result},
    tool::Json,
};

/// A call of another tool, as the arguments of one that runs calls name it.
pub struct Inner {
    /// The other tool's name.
    pub name: String,
    /// Its arguments, `host` among them.
    pub arguments: Json,
}

/// What a call is really of.
pub(super) struct Routed {
    /// The tool that runs.
    pub(super) entry: Entry,
    /// Its arguments.
    pub(super) arguments: Json,
    /// The tool that the call came through.
    pub(super) via: Option<&'static str>,
}

impl Gateway {
    /// Takes the inner call out of one that carries it; any other stays as it is.
    ///
    /// # Errors
    /// `invalid` for the carrying call's own arguments, and for a carried one that carries itself.
    pub(super) fn routed(&self, entry: Entry, arguments: Json) -> Result<Routed> {
        let Run::Forward { parse, ceiling } = entry.run else { return Ok(Routed { entry, arguments, via: None }) };
        let via = entry.card.name;
        let Inner { name, arguments } = parse(arguments, entry.card.input())?;
        let inner = self.catalogue.find(&name).map_err(|error| {
            let hint = error.hint_text().unwrap_or_default();
            let hint = if hint.starts_with("did") { hint } else { "find_tools tells which tools there are" };
            Error::invalid(format!("argument \"name\": unknown tool {}", quote(&name))).hint(hint)
        })?;
        if matches!(inner.run, Run::Forward { .. }) {
            return Err(Error::invalid(format!("argument \"name\": {via} does not run {}", inner.card.name))
                .hint("name the tool that is meant, and put its arguments into \"arguments\""));
        }
        let ceiling = inner.ceiling.min(ceiling);
        Ok(Routed { entry: Entry { ceiling, ..inner }, arguments, via: Some(via) })
    }
}
