//! Names that usually stand for secrets: a path that has one of them is refused until the configuration names it.

use std::ffi::OsStr;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// Environment files, keys, and the directories in which programs keep credentials or their own state.
const SECRET: [&str; 10] = [".env*", "*.pem", "*.key", "id_*", ".ssh", ".aws", ".docker", ".gnupg", ".kube", ".git"];

/// Which names are refused, and which of them are not.
#[derive(Debug, Default)]
pub(super) struct Names {
    denied: GlobSet,
    allowed: GlobSet,
    /// The globs of those that the configuration names.
    named: Vec<String>,
}

impl Names {
    /// Those that usually stand for secrets, but for these globs, which the configuration has checked.
    pub(super) fn new(allow: &[String]) -> Self {
        // Some file systems make no difference between capitals and small letters.
        let denied = SECRET.iter().filter_map(|glob| GlobBuilder::new(glob).case_insensitive(true).build().ok());
        let allowed = allow.iter().filter_map(|glob| Glob::new(glob).ok());
        Self { denied: set(denied), allowed: set(allowed), named: allow.to_vec() }
    }

    /// The same as lines of a `.dockerignore`, which knows no difference of case by itself.
    pub(super) fn ignored(&self) -> String {
        let folded = |glob: &str| -> String {
            let fold = |letter: char| {
                if letter.is_ascii_lowercase() {
                    format!("[{letter}{}]", letter.to_ascii_uppercase())
                } else {
                    letter.to_string()
                }
            };
            glob.chars().map(fold).collect()
        };
        let denied = SECRET.iter().map(|glob| format!("**/{}\n", folded(glob)));
        denied.chain(self.named.iter().map(|glob| format!("!**/{glob}\n"))).collect()
    }

    /// Whether one part of a path has such a name.
    pub(super) fn deny(&self, name: &OsStr) -> bool {
        self.denied.is_match(name) && !self.allowed.is_match(name)
    }
}

fn set(globs: impl Iterator<Item = Glob>) -> GlobSet {
    globs
        .fold(GlobSetBuilder::new(), |mut set, glob| {
            set.add(glob);
            set
        })
        .build()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_as_docker_ignores() {
        let lines = Names::new(&[".env.example".to_owned()]).ignored();
        assert!(lines.starts_with("**/.[eE][nN][vV]*\n**/*.[pP][eE][mM]\n"), "{lines}");
        assert!(lines.ends_with("**/.[gG][iI][tT]\n!**/.env.example\n"), "{lines}");
    }

    #[test]
    fn what_usually_holds_secrets_needs_naming() {
        let names = Names::new(&[".env.example".to_owned(), "*.pub.pem".to_owned()]);
        for name in [".env", ".env.local", ".envrc", "server.pem", "TLS.KEY", "id_rsa", "ID_ed25519", ".git", ".SSH"] {
            assert!(names.deny(OsStr::new(name)), "{name}");
        }
        for name in [".env.example", "ca.pub.pem", ".gitignore", ".github", ".dockerignore", "env", "keys", "monkey"] {
            assert!(!names.deny(OsStr::new(name)), "{name}");
        }
        assert!(Names::new(&[]).deny(OsStr::new(".env.example")));
    }
}
