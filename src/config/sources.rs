//! What a daemon may fetch by itself: globs of addresses, each compared part by part.

use std::sync::Arc;

use globset::{Glob, GlobMatcher};
use url::Url;

use crate::error::{Error, Result};

/// What a daemon knows to fetch.
const SCHEMES: [&str; 3] = ["http", "https", "git"];

/// Globs of addresses that a daemon may fetch a build or an import from; none allows nothing.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    allowed: Vec<Arc<Allowed>>,
}

#[derive(Debug)]
struct Allowed {
    written: String,
    scheme: String,
    /// Compared by itself: a star in a name must not reach over the slash behind it.
    host: GlobMatcher,
    path: GlobMatcher,
}

impl Sources {
    /// Globs as they are written, such as `https://github.com/acme/*`.
    ///
    /// # Errors
    /// `config`, with the glob that makes no sense.
    pub fn new(patterns: &[String]) -> Result<Self> {
        Ok(Self { allowed: patterns.iter().map(|pattern| allowed(pattern).map(Arc::new)).collect::<Result<_>>()? })
    }

    /// What either of them allows.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.allowed.extend(other.allowed.iter().cloned());
        self
    }

    /// Every glob as it was written.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.allowed.iter().map(|allowed| allowed.written.as_str())
    }

    /// Whether a daemon may fetch from that very address.
    #[must_use]
    pub fn admit(&self, address: &str) -> bool {
        let Some((scheme, host, path)) = parts(address).filter(|_| is_plain(address)) else { return false };
        self.allowed.iter().any(|allowed| {
            allowed.scheme == scheme && allowed.host.is_match(host) && allowed.path.is_match(rooted(path))
        })
    }
}

/// Whether an address can be read in one way only: http, https or git, nobody's name or password in it, and written
/// as it is when nothing is left to be put right.
#[must_use]
pub fn is_plain(address: &str) -> bool {
    let odd = |character: char| character.is_control() || character.is_whitespace() || character == '\\';
    let Some((scheme, host, _)) = parts(address) else { return false };
    if !SCHEMES.contains(&scheme) || host.is_empty() || host.contains('@') || address.chars().any(odd) {
        return false;
    }
    let Ok(read) = Url::parse(address) else { return false };
    read.has_host() && (read.as_str() == address || read.as_str().strip_suffix('/') == Some(address))
}

/// Scheme, host with port, and the rest.
fn parts(address: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = address.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end)?;
    Some((scheme, host, path))
}

fn rooted(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn allowed(pattern: &str) -> Result<Allowed> {
    let refused = |why: &str| {
        Error::config(format!("{pattern:?} is no glob of addresses: {why}"))
            .hint("write such as \"https://github.com/acme/*\"")
    };
    let Some((scheme, rest)) = pattern.split_once("://") else { return Err(refused("it has no scheme")) };
    let (host, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len())).unwrap_or((rest, ""));
    if !SCHEMES.contains(&scheme) {
        return Err(refused("it begins with http://, https:// or git://"));
    }
    if host.is_empty() || host.contains('@') {
        return Err(refused("a host has to follow, without a user"));
    }
    if pattern.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(refused("it is one word"));
    }
    let glob = |text: &str| {
        Glob::new(text).map(|glob| glob.compile_matcher()).map_err(|error| refused(&error.kind().to_string()))
    };
    Ok(Allowed {
        written: pattern.to_owned(),
        scheme: scheme.to_owned(),
        host: glob(&host.to_ascii_lowercase())?,
        path: glob(rooted(path))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(patterns: &[&str]) -> Sources {
        Sources::new(&patterns.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn nothing_is_allowed_that_was_not_said() {
        assert!(!sources(&[]).admit("https://github.com/acme/web.git"));
        let allowed = sources(&["https://github.com/acme/*", "http://127.0.0.1:9/x.tar", "https://*.example.com/*"]);
        for address in [
            "https://github.com/acme/web.git",
            "https://github.com/acme/web.git#main:sub/directory",
            "http://127.0.0.1:9/x.tar",
            "https://a.example.com/x",
            "https://a.b.example.com/",
        ] {
            assert!(allowed.admit(address), "{address}");
        }
        for address in [
            "https://github.com/other/web.git",
            "http://github.com/acme/web.git",
            "git://github.com/acme/web.git",
            "https://github.com.evil.example/acme/x",
            "http://127.0.0.1:9/x.tar?y",
            "http://127.0.0.1:90/x.tar",
            "https://evil.test/a.example.com/x",
            "https://evil.test?a.example.com/x",
            "https://evil.test#a.example.com/x",
            "https://example.com/x",
        ] {
            assert!(!allowed.admit(address), "{address}");
        }
        let both = sources(&["https://a.b/*"]).or(&sources(&["git://c.d"]));
        assert!(both.admit("https://a.b/x") && both.admit("git://c.d") && both.admit("git://c.d/"));
        assert_eq!(both.patterns().collect::<Vec<_>>(), ["https://a.b/*", "git://c.d"]);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_never_allowed() {
        let allowed = sources(&["https://*/*", "http://*/*", "git://*/*"]);
        assert!(allowed.admit("https://github.com/acme/web.git"));
        for address in [
            "https://user:password@github.com/x",
            "https://token@github.com/x",
            "https://github.com\\@evil.test/x",
            "https://github.com/a/../b",
            "https://github.com/a/%2e%2e/b",
            "https://GitHub.com/x",
            "https://github.com:443/x",
            "https://github.com/a b",
            "https://github.com/a\n",
            "https:github.com/x",
            "https:///x",
            "ftp://github.com/x",
            "file:///etc/passwd",
            "git@github.com:acme/x.git",
            "github.com/acme/x",
            "client-session",
            "-",
            "",
        ] {
            assert!(!allowed.admit(address), "{address}");
        }
    }

    #[test]
    fn a_glob_says_scheme_and_host() {
        for pattern in
            ["*", "github.com/*", "ssh://x/*", "*://x/*", "https:///x", "https://u@x/*", "https://x/ y", "https://x/["]
        {
            assert!(Sources::new(&[pattern.to_owned()]).is_err(), "{pattern}");
        }
    }
}
