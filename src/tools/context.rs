//! The contexts of the docker CLI on the gateway's machine: the only tools that see the operator's own configuration of it.
//!
//! They exist only where that is granted, and tell neither keys nor who logs in where.

mod change;
mod view;

use crate::{
    docker::names::quote,
    error::{Error, Result},
    tool::{Toolset, hostless},
};

/// The toolset, which is also this folder's table of contents.
pub const CONTEXT: Toolset = Toolset {
    name: "context",
    about: "Contexts of the docker CLI on the gateway's machine; exists only with grant = [\"cli-config\"].",
    tools: &[
        hostless::<view::ContextLs>,
        hostless::<view::ContextInspect>,
        hostless::<change::ContextCreate>,
        hostless::<change::ContextUse>,
        hostless::<change::ContextRm>,
    ],
};

/// A name that a context can have.
fn named(name: &str) -> Result<&str> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.+-".contains(letter);
    let fits = (2..=128).contains(&name.len()) && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if fits && name.chars().all(plain) {
        return Ok(name);
    }
    Err(Error::invalid(format!("argument \"context\": {} is no name of a context", quote(name)))
        .hint("letters, digits, \"_\", \".\", \"+\" and \"-\", a letter or digit first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_cli() {
        named("prod-1.eu+x").unwrap();
        for name in ["", "a", "-x", "../x", "a b", "a/b", "--help"] {
            assert!(named(name).is_err(), "{name}");
        }
    }
}
