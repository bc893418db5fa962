//! The fleet: names and tags, and one host behind each name, made when it is first asked for.

use std::sync::Arc;

use dashmap::DashMap;
use tokio_util::task::TaskTracker;

use super::{Host, names::quote};
use crate::{
    config::{Config, Environment, HostConfig},
    error::{Error, Result, nearest},
};

/// Every configured host; none is connected before a call needs it.
pub struct Fleet {
    configs: Vec<HostConfig>,
    environment: Arc<Environment>,
    registries: Arc<[String]>,
    sent: TaskTracker,
    /// Made on first use: a thousand configured hosts cost a thousand small structs, not a thousand pools.
    hosts: DashMap<String, Arc<Host>>,
}

impl Fleet {
    /// The fleet of a configuration.
    #[must_use]
    pub fn new(config: &Config, environment: Arc<Environment>) -> Self {
        let registries = config.registries.iter().map(|registry| registry.host.to_ascii_lowercase()).collect();
        Self { configs: config.hosts.clone(), environment, registries, sent: TaskTracker::new(), hosts: DashMap::new() }
    }

    /// The settings of every host, in the configured order; the first is the default for reads.
    #[must_use]
    pub fn configs(&self) -> &[HostConfig] {
        &self.configs
    }

    /// Every tag, in order of first use.
    #[must_use]
    pub fn tags(&self) -> Vec<&str> {
        let mut tags: Vec<&str> = Vec::new();
        for tag in self.configs.iter().flat_map(|config| &config.tags) {
            if !tags.contains(&tag.as_str()) {
                tags.push(tag);
            }
        }
        tags
    }

    /// The host that reads mean when they name none.
    ///
    /// # Errors
    /// Never for a configuration that was loaded; `config` for an empty one.
    pub fn default_host(&self) -> Result<Arc<Host>> {
        self.configs.first().map(|config| self.open(config)).ok_or_else(|| Error::config("no host is configured"))
    }

    /// A host by its exact name.
    ///
    /// # Errors
    /// `invalid`, with the nearest name.
    pub fn host(&self, name: &str) -> Result<Arc<Host>> {
        self.configs
            .iter()
            .find(|config| config.name == name)
            .map(|config| self.open(config))
            .ok_or_else(|| self.unknown(name))
    }

    /// The hosts of a scope: a name, `all`, or `tag:NAME`.
    ///
    /// # Errors
    /// `invalid`, with the nearest name or tag.
    pub fn scope(&self, scope: &str) -> Result<Vec<Arc<Host>>> {
        if scope == "all" {
            return Ok(self.configs.iter().map(|config| self.open(config)).collect());
        }
        let Some(tag) = scope.strip_prefix("tag:") else {
            return self.host(scope).map(|host| vec![host]);
        };
        let hosts: Vec<_> = self
            .configs
            .iter()
            .filter(|config| config.tags.iter().any(|own| own == tag))
            .map(|config| self.open(config))
            .collect();
        if hosts.is_empty() {
            let tags = self.tags();
            let hint = match nearest(tag, tags.iter().copied()) {
                Some(near) => format!("did you mean \"tag:{near}\"?"),
                None if tags.is_empty() => "no host has a tag".to_owned(),
                None => format!("tags: {}", tags.join(", ")),
            };
            return Err(Error::invalid(format!("no host has the tag {}", quote(tag))).hint(hint));
        }
        Ok(hosts)
    }

    /// Every host, in the configured order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Host>> {
        self.configs.iter().map(|config| self.open(config)).collect()
    }

    /// Waits for the writes that were sent and whose callers have gone.
    pub async fn settle(&self) {
        self.sent.close();
        self.sent.wait().await;
    }

    fn open(&self, config: &HostConfig) -> Arc<Host> {
        self.hosts
            .entry(config.name.clone())
            .or_insert_with(|| {
                let (registries, sent) = (self.registries.clone(), self.sent.clone());
                Arc::new(Host::new(config.clone(), &self.environment, registries, sent))
            })
            .clone()
    }

    fn unknown(&self, name: &str) -> Error {
        let names = || self.configs.iter().map(|config| config.name.as_str());
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if self.configs.len() <= 15 => format!("hosts: {}", names().collect::<Vec<_>>().join(", ")),
            None => "call list_hosts for the names".to_owned(),
        };
        Error::invalid(format!("argument \"host\": there is no host {}", quote(name))).hint(hint)
    }
}

/// Warns of names that lead to the same engine, from pairs of a host's name and its engine's id.
///
/// Machines cloned from one image share an id too, so it may be two daemons after all.
#[must_use]
pub fn twins<'a>(known: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut engines: Vec<(&str, Vec<&str>)> = Vec::new();
    for (host, id) in known {
        match engines.iter_mut().find(|(known, _)| *known == id) {
            Some((_, hosts)) => hosts.push(host),
            None => engines.push((id, vec![host])),
        }
    }
    let shared = engines.into_iter().map(|(_, hosts)| hosts).filter(|hosts| hosts.len() > 1);
    shared
        .map(|hosts| {
            let mut names: Vec<String> = hosts.iter().take(5).map(|host| format!("\"{host}\"")).collect();
            let last = match hosts.len() - names.len() {
                0 => names.pop().unwrap_or_default(),
                more => format!("{more} more"),
            };
            format!("{} and {last} answer with the same engine id: they may be one daemon", names.join(", "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_engine_are_told_together() {
        assert!(twins([("a", "1"), ("b", "2")]).is_empty());
        assert_eq!(
            twins([("a", "1"), ("b", "2"), ("c", "1")]),
            ["\"a\" and \"c\" answer with the same engine id: they may be one daemon"]
        );
        let names: Vec<String> = (0..50).map(|number| format!("n{number}")).collect();
        assert_eq!(
            twins(names.iter().map(|name| (name.as_str(), "1"))),
            [
                "\"n0\", \"n1\", \"n2\", \"n3\", \"n4\" and 45 more answer with the same engine id: they may be one daemon"
            ]
        );
    }
}
