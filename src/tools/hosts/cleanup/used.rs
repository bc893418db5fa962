//! What is in use: by every container but those that are to go, and by those that callers do not see.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::{Kind, Planned};
use crate::{
    docker::{Docker, Target, names::spellings},
    error::Result,
    tool::ObjectKind,
    tools::view::{container_name, items, text},
};

/// What containers use, by id and by name.
pub(super) struct Used {
    images: HashSet<String>,
    networks: HashSet<String>,
    volumes: HashSet<String>,
    /// What those use that are to go, with their names.
    going: BTreeMap<(Kind, String), Vec<String>>,
}

impl Used {
    /// What is in use once these have gone.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub(super) async fn but_for(docker: &Docker, planned: &[Planned]) -> Result<Self> {
        let is_going = |id: &str| planned.iter().any(|object| object.kind == Kind::Containers && object.id == id);
        let listed = docker.json(Target::new("/containers/json").query("all", "1")).await?;
        let mut used = Self {
            images: docker.needed_unseen(ObjectKind::Image).await?,
            networks: docker.needed_unseen(ObjectKind::Network).await?,
            volumes: docker.needed_unseen(ObjectKind::Volume).await?,
            going: BTreeMap::new(),
        };
        for container in listed.as_array().into_iter().flatten() {
            let needs = needs(container);
            if is_going(text(container, "Id")) {
                let name = container_name(container);
                for need in needs {
                    used.going.entry(need).or_default().push(name.to_owned());
                }
            } else {
                for (kind, name) in needs {
                    used.of(kind).insert(name);
                }
            }
        }
        Ok(used)
    }

    fn of(&mut self, kind: Kind) -> &mut HashSet<String> {
        match kind {
            Kind::Images | Kind::Containers => &mut self.images,
            Kind::Networks => &mut self.networks,
            Kind::Volumes => &mut self.volumes,
        }
    }

    /// Whether a container needs an image, by its id or one of its references.
    pub(super) fn has_image<'a>(&self, id: &str, mut references: impl Iterator<Item = &'a str>) -> bool {
        self.images.contains(id)
            || references.any(|reference| spellings(reference).iter().any(|name| self.images.contains(name)))
    }

    /// Whether a container needs a network; it may name that by the beginning of its id.
    pub(super) fn has_network(&self, id: &str, name: &str) -> bool {
        self.networks.contains(name)
            || self.networks.iter().any(|known| known.len() >= 12 && id.starts_with(known.as_str()))
    }

    /// Whether a container needs a volume.
    pub(super) fn has_volume(&self, name: &str) -> bool {
        self.volumes.contains(name)
    }

    /// The containers that use an object and go with it.
    pub(super) fn by_those_that_go(&self, planned: &Planned) -> Vec<String> {
        let of = |name: &str| self.going.get(&(planned.kind, name.to_owned())).cloned().unwrap_or_default();
        let mut users = of(&planned.id);
        users.extend(of(&planned.name));
        users.sort();
        users.dedup();
        users
    }
}

/// What a container uses, as it names it itself.
fn needs(container: &Value) -> Vec<(Kind, String)> {
    let mut needs = vec![(Kind::Images, text(container, "ImageID").to_owned())];
    // The name that it was made of keeps the image too, where the id is that of another platform's part.
    needs.extend(spellings(text(container, "Image")).into_iter().map(|name| (Kind::Images, name)));
    let networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
    let mode = container.pointer("/HostConfig/NetworkMode").and_then(Value::as_str);
    let named = networks.into_iter().flatten().flat_map(|(name, network)| [name.as_str(), text(network, "NetworkID")]);
    needs.extend(named.chain(mode).map(|name| (Kind::Networks, name.to_owned())));
    needs.extend(items(container, "Mounts").map(|mount| (Kind::Volumes, text(mount, "Name").to_owned())));
    needs.retain(|(_, name)| !name.is_empty());
    needs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_keeps_what_it_names() {
        let container = json!({"ImageID": "sha256:aa", "Image": "web", "HostConfig": {"NetworkMode": "front"},
            "NetworkSettings": {"Networks": {"back": {"NetworkID": "0123456789abcdef"}, "new": {"NetworkID": ""}}},
            "Mounts": [{"Type": "volume", "Name": "data"}, {"Type": "bind", "Source": "/srv"}]});
        let needs = needs(&container);
        let has = |kind, name: &str| needs.contains(&(kind, name.to_owned()));
        assert!(has(Kind::Images, "sha256:aa") && has(Kind::Volumes, "data"), "{needs:?}");
        for network in ["front", "back", "new", "0123456789abcdef"] {
            assert!(has(Kind::Networks, network), "{network}");
        }
        let images = needs.into_iter().filter(|(kind, _)| *kind == Kind::Images).map(|(_, name)| name).collect();
        let (networks, volumes) = (HashSet::from(["0123456789ab".to_owned()]), HashSet::new());
        let used = Used { images, networks, volumes, going: BTreeMap::new() };
        assert!(used.has_image("sha256:bb", ["docker.io/library/web:latest"].into_iter()));
        assert!(!used.has_image("sha256:bb", ["web:2"].into_iter()));
        assert!(used.has_network("0123456789abcdef", "x") && !used.has_network("1123456789abcdef", "x"));
    }
}
