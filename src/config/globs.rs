//! What may be named: globs that allow and globs that deny, in layers of which each has to agree.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// Allow and deny globs of the whole configuration and of one host; the stricter wins.
///
/// Denies add up and allows intersect, because every layer has to let a name through.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
struct Layer {
    /// `None` allows everything.
    allow: Option<GlobSet>,
    deny: GlobSet,
}

impl Globs {
    /// One layer; no allow means all.
    ///
    /// # Errors
    /// `config`, with the glob that makes no sense.
    pub fn new(allow: &[String], deny: &[String]) -> Result<Self> {
        if allow.is_empty() && deny.is_empty() {
            return Ok(Self::default());
        }
        let allow = if allow.is_empty() { None } else { Some(set(allow)?) };
        Ok(Self { layers: vec![Layer { allow, deny: set(deny)? }] })
    }

    /// Both: whatever one of them refuses is refused.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.layers.extend(other.layers.iter().cloned());
        self
    }

    /// Whether nothing is refused.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.layers.is_empty()
    }

    /// Whether something that has these names is let through: no name is denied, and one is allowed.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "callers hand in an array or an iterator made for this")]
    pub fn admit<'a>(&self, names: impl IntoIterator<Item = &'a str> + Clone) -> bool {
        self.layers.iter().all(|layer| {
            !names.clone().into_iter().any(|name| layer.deny.is_match(name))
                && layer.allow.as_ref().is_none_or(|allow| names.clone().into_iter().any(|name| allow.is_match(name)))
        })
    }
}

fn set(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern)?);
    }
    set.build().map_err(|error| Error::config(format!("the globs are too large: {}", error.kind())))
}

/// One glob; `*` also stands for slashes, which images and commands have.
fn glob(pattern: &str) -> Result<Glob> {
    Glob::new(pattern).map_err(|error| {
        Error::config(format!("{pattern:?} is no glob: {}", error.kind())).hint("write such as \"web-*\" or \"*-db\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(allow: &[&str], deny: &[&str]) -> Globs {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Globs::new(&owned(allow), &owned(deny)).unwrap()
    }

    #[test]
    fn deny_wins_and_an_empty_allow_means_all() {
        assert!(globs(&[], &[]).admit(["anything"]));
        assert!(globs(&["web-*"], &[]).admit(["web-1"]));
        assert!(!globs(&["web-*"], &[]).admit(["db"]));
        assert!(!globs(&["web-*"], &["*-db"]).admit(["web-db"]));
        assert!(globs(&["ghcr.io/*"], &[]).admit(["ghcr.io/a/b:1"]));
    }

    #[test]
    fn layers_have_to_agree() {
        let both = globs(&["web-*"], &[]).and(&globs(&[], &["*-db"]));
        assert!(both.admit(["web-1"]) && !both.admit(["web-db"]) && !both.admit(["x"]));
        assert!(globs(&[], &[]).and(&globs(&[], &[])).is_open());
    }

    #[test]
    fn one_denied_name_is_enough() {
        assert!(!globs(&[], &["vault"]).admit(["ok", "vault"]));
        assert!(!globs(&["a"], &[]).admit([]));
    }
}
