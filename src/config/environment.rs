//! One snapshot of what the process inherited, taken by `cli` and handed down.

use std::{collections::BTreeMap, path::PathBuf};

/// The variables, home and account that the process was started with.
///
/// Nothing below `cli` reads the environment itself, so a test can be any user anywhere.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Every variable that is valid text.
    pub variables: BTreeMap<String, String>,
    /// `$HOME`, else the account's home.
    pub home: Option<PathBuf>,
    /// The account's name, the default login name of ssh.
    pub user: Option<String>,
    /// Where the process was started.
    pub working_directory: PathBuf,
    /// The full id of the container that the process itself runs in, if it runs in one.
    pub container: Option<String>,
}

impl Environment {
    /// A variable; blank counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Where the docker CLI keeps its configuration: `$DOCKER_CONFIG`, else `~/.docker`.
    #[must_use]
    pub fn cli_directory(&self) -> Option<PathBuf> {
        match self.get("DOCKER_CONFIG") {
            Some(path) => Some(self.working_directory.join(path)),
            None => self.home.as_deref().map(|home| home.join(".docker")),
        }
    }
}
