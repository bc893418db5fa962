//! The files of the gateway's machine that arguments may name: below configured roots only, and never by a way that leads out of them.

use std::path::PathBuf;

use crate::config::{Environment, FileSettings};

/// Where files that arguments name may lie.
#[derive(Debug, Clone, Default)]
pub struct Files {
    roots: Vec<PathBuf>,
    allow: Vec<String>,
}

impl Files {
    /// The roots of a configuration; without one, the working directory.
    #[must_use]
    pub fn new(settings: &FileSettings, environment: &Environment) -> Self {
        let roots = settings.roots.clone().unwrap_or_else(|| vec![environment.working_directory.clone()]);
        Self { roots, allow: settings.allow.clone() }
    }
}
