//! What registries are called: in front of images, as keys of the docker CLI, as machines.

/// Docker Hub, as images name it.
pub(super) const HUB: &str = "docker.io";
/// Docker Hub, as the docker CLI and its helpers have kept its credentials since its first version.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A registry's one name: in lower case, Docker Hub by any of its names as `docker.io`.
pub(super) fn name(registry: &str) -> String {
    let registry = registry.trim().to_ascii_lowercase();
    match registry.as_str() {
        HUB | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => HUB.to_owned(),
        _ => registry,
    }
}

/// The key under which the docker CLI keeps the credentials of a registry.
pub(super) fn key(name: &str) -> &str {
    if name == HUB { HUB_KEY } else { name }
}

/// The registry that a key of the docker CLI is for, which may have a scheme and a path.
pub(super) fn of_key(key: &str) -> String {
    let rest = ["https://", "http://"].iter().find_map(|scheme| key.strip_prefix(scheme)).unwrap_or(key);
    name(rest.split('/').next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_has_one_name_and_one_key() {
        for hub in ["docker.io", "index.docker.io", "Registry-1.docker.io"] {
            assert_eq!(key(&name(hub)), "https://index.docker.io/v1/", "{hub}");
        }
        assert_eq!(key(&name("GHCR.io")), "ghcr.io");
        assert_eq!(key(&name("127.0.0.1:5000")), "127.0.0.1:5000");
    }

    #[test]
    fn keys_have_schemes_and_paths() {
        for (key, registry) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("https://ghcr.io", "ghcr.io"),
            ("http://127.0.0.1:5000/v2/", "127.0.0.1:5000"),
            ("quay.io", "quay.io"),
            ("ftp://quay.io", "ftp:"),
        ] {
            assert_eq!(of_key(key), registry, "{key}");
        }
    }
}
