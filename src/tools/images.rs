//! Images: list, inspect, search, pull, tag, remove.

mod history;
mod inspect;
mod list;
mod pull;
mod reference;
mod remove;
mod search;
mod tag;

use crate::{
    docker::names::quote,
    error::{Error, Kind},
    tool::{Permission, Toolset, def, fleet},
};

/// The toolset, which is also this folder's table of contents.
pub const IMAGES: Toolset = Toolset {
    name: "images",
    about: "List, inspect, search, pull, tag and remove images.",
    tools: &[
        fleet::<list::ListImages>,
        def::<inspect::InspectImage>,
        def::<history::ImageHistory>,
        def::<search::SearchImages>,
        def::<pull::PullImage>,
        def::<tag::TagImage>,
        def::<remove::RemoveImage>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Images];

/// A daemon's failure to reach a registry, without the addresses that its words carry.
///
/// It quotes its HTTP client: `Get "https://...": dial tcp: lookup ... on 10.0.0.2:53: no such host`.
fn unreached(error: Error, registry: &str) -> Error {
    let quotes_http = ["Get \"", "Head \"", "Post \"", "Error response from daemon: Get \""];
    if error.kind() != Kind::Docker || !quotes_http.iter().any(|start| error.message().starts_with(start)) {
        return error;
    }
    let cause = error.message().rsplit(": ").next().unwrap_or_default();
    Error::docker(format!("the daemon cannot reach registry {}: {cause}", quote(registry)))
        .hint("the host needs a way to the registry; ask the person to look at its network, proxy and trust")
        .detail(error.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_out_of_reach_shows_no_address() {
        let words = "Get \"https://index.docker.io/v1/search?q=x&n=25\": dial tcp: lookup index.docker.io on \
                     10.255.255.53:53: no such host";
        let error = unreached(Error::docker(words), "docker.io");
        assert_eq!(error.message(), "the daemon cannot reach registry \"docker.io\": no such host");
        assert_eq!(error.detail_text(), Some(words));
        let other = "manifest for x:1 not found: manifest unknown";
        assert_eq!(unreached(Error::not_found(other), "docker.io").message(), other);
    }
}
