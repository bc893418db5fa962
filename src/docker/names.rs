//! The grammars of what a caller may name, checked before any of it is put into a path.

use super::reference::Reference;
use crate::error::{Error, Result};

/// The longest name that is looked at; the engine's own are far shorter.
const LONGEST: usize = 255;

/// A container, exec, volume or plugin by name or id: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
///
/// # Errors
/// `invalid`, naming the argument and what is allowed.
pub fn object<'a>(argument: &str, name: &'a str) -> Result<&'a str> {
    let plain = name.len() <= LONGEST
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character));
    if plain { Ok(name) } else { Err(refuse(argument, name, "letters, digits, \"_\", \".\" and \"-\"")) }
}

/// An image by reference or id: `[registry[:port]/]path[:tag][@digest]`.
///
/// # Errors
/// `invalid`, naming the argument and what is allowed.
pub fn image<'a>(argument: &str, reference: &'a str) -> Result<&'a str> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "_.-:/@".contains(character);
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    let segments_fit = rest.split('/').enumerate().all(|(position, segment)| {
        let colons = segment.matches(':').count();
        let last = position == rest.matches('/').count();
        segment.starts_with(|first: char| first.is_ascii_alphanumeric())
            && !segment.ends_with(':')
            && !segment.contains("..")
            // A registry's port in front, a tag (or the algorithm of an id) at the end.
            && (colons == 0 || (colons == 1 && (position == 0 || last)))
    });
    let digest_fits = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty()
                && algorithm.chars().all(|character| character.is_ascii_alphanumeric() || "+._-".contains(character))
                && hex.len() >= 32
                && hex.chars().all(|character| character.is_ascii_hexdigit())
        })
    });
    if reference.len() <= LONGEST && reference.chars().all(allowed) && segments_fit && digest_fits {
        Ok(reference)
    } else {
        Err(refuse(argument, reference, "[registry[:port]/]path[:tag][@digest], or an id"))
    }
}

/// How an image can be written: as people write it and in full, with the tag that it leaves out and without.
///
/// `nginx` is `nginx`, `nginx:latest`, `docker.io/library/nginx` and `docker.io/library/nginx:latest`; an id
/// is itself.
#[must_use]
pub fn spellings(reference: &str) -> Vec<String> {
    if is_image_id(reference) { vec![reference.to_owned()] } else { Reference::of(reference).spellings() }
}

/// Whether it can only be an image's id: `sha256:...`, or all of its digits.
pub(crate) fn is_image_id(reference: &str) -> bool {
    let digits = reference.strip_prefix("sha256:");
    digits.unwrap_or(reference).bytes().all(|byte| byte.is_ascii_hexdigit())
        && (digits.is_some() || reference.len() == 64)
}

/// A network by name or id; its names may hold blanks and slashes, so it is only ever looked up in a list.
///
/// # Errors
/// `invalid` for control characters, nothing, or too much.
pub fn network<'a>(argument: &str, name: &'a str) -> Result<&'a str> {
    if !name.trim().is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control) {
        Ok(name)
    } else {
        Err(refuse(argument, name, "a name or an id"))
    }
}

fn refuse(argument: &str, given: &str, allowed: &str) -> Error {
    Error::invalid(format!("argument \"{argument}\": {} is no valid name", quote(given)))
        .hint(format!("allowed: {allowed}; at most {LONGEST} characters"))
}

/// Somebody's text inside a sentence of ours: escaped, and cut after 60 characters.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(10_240);
        for name in ["", "../info", "a/b", "a%2fb", "a?x", "a#", "a b", "-a", ".a", "a\n", "a\0", "ä", long.as_str()] {
            assert!(object("container", name).is_err(), "{name:?}");
        }
        for name in ["web-1", "0a1b2c", "a_b.c"] {
            assert!(object("container", name).is_ok(), "{name}");
        }
    }

    #[test]
    fn every_spelling_of_an_image_is_known() {
        let nginx = ["nginx", "nginx:latest", "docker.io/library/nginx", "docker.io/library/nginx:latest"];
        for same in
            ["nginx", "nginx:latest", "library/nginx", "docker.io/nginx", "index.docker.io/library/nginx:latest"]
        {
            assert_eq!(spellings(same), nginx, "{same}");
        }
        assert_eq!(spellings("ops/web:1"), ["ops/web:1", "docker.io/ops/web:1"]);
        assert_eq!(spellings("127.0.0.1:5000/a"), ["127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"]);
        assert_eq!(spellings("GHCR.io/ops/web:1"), ["ghcr.io/ops/web:1"]);
        assert_eq!(spellings("localhost/library/a:1"), ["localhost/library/a:1"]);
        assert_eq!(spellings("a@sha256:00"), ["a@sha256:00", "docker.io/library/a@sha256:00"]);
        assert_eq!(
            spellings("a/b:1@sha256:00"),
            [
                "a/b:1@sha256:00",
                "a/b@sha256:00",
                "a/b:1",
                "docker.io/a/b:1@sha256:00",
                "docker.io/a/b@sha256:00",
                "docker.io/a/b:1"
            ]
        );
        for id in ["sha256:0123abcd".to_owned(), "a".repeat(64)] {
            assert_eq!(spellings(&id), [id.as_str()]);
        }
    }

    #[test]
    fn references_are_told_from_paths() {
        let digest = format!("nginx@sha256:{}", "a".repeat(64));
        for name in
            ["nginx", "nginx:1.27", "127.0.0.1:5000/lab/base:1", "ghcr.io/a/b:x", digest.as_str(), "sha256:0123abcd"]
        {
            assert!(image("image", name).is_ok(), "{name}");
        }
        for name in [
            "",
            "/nginx",
            "nginx/",
            "a//b",
            "../info",
            "a/../b",
            "a?b",
            "a:b:c",
            "a/b:1/c:2/d",
            "nginx@sha256:zz",
            "a%2e",
            "a:",
        ] {
            assert!(image("image", name).is_err(), "{name:?}");
        }
    }
}
