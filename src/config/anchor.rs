//! Where the relative paths of a configuration begin.

use std::path::{Path, PathBuf};

use super::refusal::{quoted_path, refusal};
use crate::error::Result;

/// The directories that relative paths and `~/` stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor<'a> {
    /// The directory of the file, or the one that the process was started in.
    pub(super) base: &'a Path,
    /// The home.
    pub(super) home: Option<&'a Path>,
}

impl Anchor<'_> {
    /// The path from the root.
    pub(super) fn path(self, path: &Path) -> Result<PathBuf> {
        match (path.strip_prefix("~"), self.home) {
            (Err(_), _) => Ok(self.base.join(path)),
            (Ok(rest), Some(home)) => Ok(home.join(rest)),
            (Ok(_), None) => Err(refusal(
                format!("no home directory for {}", quoted_path(path)),
                "set HOME, or write the path in full",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_at_the_base_or_at_home() {
        let anchor = Anchor { base: Path::new("/etc/q"), home: Some(Path::new("/home/x")) };
        for (given, expected) in [("a/b", "/etc/q/a/b"), ("/a", "/a"), ("~/a", "/home/x/a"), ("~a", "/etc/q/~a")] {
            assert_eq!(anchor.path(Path::new(given)).unwrap(), Path::new(expected));
        }
        let homeless = Anchor { home: None, ..anchor };
        assert_eq!(homeless.path(Path::new("~/a")).unwrap_err().message(), "no home directory for \"~/a\"");
    }
}
