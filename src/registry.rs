//! Registries over HTTPS, from this machine: whose credentials there are, and what a registry says of an image.

use crate::config::{Config, Environment};

/// The registries that can be spoken to, and the credentials for them.
#[derive(Debug, Default)]
pub struct Registries {
    named: Vec<String>,
}

impl Registries {
    /// Those of a configuration; nothing is read or contacted.
    #[must_use]
    pub fn new(config: &Config, _environment: &Environment) -> Self {
        Self { named: config.registries.clone() }
    }
}
