//! What may be named: globs that allow and globs that deny, in layers of which each has to agree.

use std::{fmt, sync::Arc};

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::error::{Error, Result};

/// Allow and deny globs of the whole configuration and of one host; the stricter wins.
///
/// Denies add up and allows intersect, because every layer has to let a name through.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    layers: Vec<Arc<Layer>>,
}

#[derive(Debug)]
struct Layer {
    /// None at all allows everything.
    allow: Side,
    deny: Side,
}

/// Globs as they were written, and as they match.
#[derive(Debug)]
struct Side {
    written: Vec<String>,
    set: GlobSet,
}

impl Globs {
    /// One layer; no allow means all.
    ///
    /// # Errors
    /// `config`, with the glob that makes no sense.
    pub fn new(allow: &[String], deny: &[String]) -> Result<Self> {
        Self::layer(allow, deny, |pattern| vec![pattern.to_owned()])
    }

    /// One layer for references of images: a glob without a tag or a digest stands for all of them.
    ///
    /// # Errors
    /// `config`, with the glob that makes no sense.
    pub fn of_images(allow: &[String], deny: &[String]) -> Result<Self> {
        Self::layer(allow, deny, |pattern| {
            let last = pattern.rsplit('/').next().unwrap_or_default();
            let endings: &[&str] = if last.contains([':', '@']) { &[""] } else { &["", ":*", "@*"] };
            endings.iter().map(|ending| format!("{pattern}{ending}")).collect()
        })
    }

    fn layer(allow: &[String], deny: &[String], spelled: fn(&str) -> Vec<String>) -> Result<Self> {
        if allow.is_empty() && deny.is_empty() {
            return Ok(Self::default());
        }
        let layer = Layer { allow: Side::new(allow, spelled)?, deny: Side::new(deny, spelled)? };
        Ok(Self { layers: vec![Arc::new(layer)] })
    }

    /// Both: whatever one of them refuses is refused.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.layers.extend(other.layers.iter().cloned());
        self
    }

    /// Every glob as it was written.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let sides = self.layers.iter().flat_map(|layer| [&layer.allow, &layer.deny]);
        sides.flat_map(|side| side.written.iter().map(String::as_str))
    }

    /// Whether nothing is refused.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.layers.is_empty()
    }

    /// Whether something that has these names is let through: no name is denied, and one is allowed.
    #[must_use]
    pub fn admit<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        if self.is_open() {
            return true;
        }
        let names: Vec<&str> = names.into_iter().collect();
        let any = |side: &Side| names.iter().any(|name| side.set.is_match(name));
        self.layers.iter().all(|layer| !any(&layer.deny) && (layer.allow.written.is_empty() || any(&layer.allow)))
    }
}

impl fmt::Display for Globs {
    /// Writes what allows, each layer on its own because all of them have to, then all that denies.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allows = self.layers.iter().map(|layer| &layer.allow.written).filter(|written| !written.is_empty());
        let denies: Vec<&str> =
            self.layers.iter().flat_map(|layer| layer.deny.written.iter().map(String::as_str)).collect();
        let denies = (!denies.is_empty()).then(|| format!("deny {}", denies.join(", ")));
        let parts: Vec<String> = allows.map(|written| format!("allow {}", written.join(", "))).chain(denies).collect();
        formatter.write_str(&parts.join(", "))
    }
}

impl Side {
    fn new(patterns: &[String], spelled: fn(&str) -> Vec<String>) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            // First as it was written: that is what a refusal has to show.
            glob(pattern)?;
            for spelling in spelled(pattern) {
                set.add(glob(&spelling)?);
            }
        }
        let set = set.build().map_err(|error| {
            Error::config(format!("the globs are too large: {}", error.kind())).hint("use fewer or shorter ones")
        })?;
        Ok(Self { written: patterns.to_vec(), set })
    }
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
    fn a_star_stands_for_everything() {
        for command in ["sudo rm -rf /", "sh -c true\nrm -rf /", "rm -rf", "é rm -rf \u{202e}"] {
            assert!(!globs(&[], &["*rm -rf*"]).admit([command]), "{command:?}");
        }
    }

    #[test]
    fn an_image_without_a_tag_means_every_tag() {
        let images = |allow: &[&str]| {
            let allow: Vec<String> = allow.iter().map(|text| (*text).to_owned()).collect();
            Globs::of_images(&allow, &[]).unwrap()
        };
        for (pattern, reference, admitted) in [
            ("nginx", "nginx:1.27", true),
            ("nginx", "nginx@sha256:00", true),
            ("nginx", "nginx", true),
            ("nginx", "nginx-evil:1", false),
            ("nginx", "evil/nginx:1", false),
            ("nginx:1.27", "nginx:1.28", false),
            ("nginx@sha256:00", "nginx:1", false),
            ("localhost:5000/a", "localhost:5000/a:1", true),
            ("localhost:5000/a", "localhost:5000/ab:1", false),
            ("ghcr.io/acme/*", "ghcr.io/acme/web:1", true),
        ] {
            assert_eq!(images(&[pattern]).admit([reference]), admitted, "{pattern} {reference}");
        }
        assert_eq!(images(&["nginx"]).patterns().collect::<Vec<_>>(), ["nginx"]);
    }

    #[test]
    fn layers_are_shown_as_they_hold() {
        let both = globs(&["a", "b"], &["c"]).and(&globs(&["a*"], &["d"]));
        assert_eq!(both.to_string(), "allow a, b, allow a*, deny c, d");
        assert_eq!(both.patterns().collect::<Vec<_>>(), ["a", "b", "c", "a*", "d"]);
        assert_eq!(globs(&[], &[]).to_string(), "");
    }

    #[test]
    fn what_is_no_glob_is_refused_as_it_was_written() {
        for pattern in ["a[", "a{", "[z-a]", "a\\"] {
            let refused = |globs: Result<Globs>| globs.unwrap_err().message().to_owned();
            let expected = format!("{pattern:?} is no glob: ");
            assert!(refused(Globs::new(&[], &[pattern.to_owned()])).starts_with(&expected), "{pattern}");
            assert!(refused(Globs::of_images(&[pattern.to_owned()], &[])).starts_with(&expected), "{pattern}");
        }
    }

    #[test]
    fn one_denied_name_is_enough() {
        assert!(!globs(&[], &["vault"]).admit(["ok", "vault"]));
        assert!(!globs(&["a"], &[]).admit([]));
    }
}
