//! Registries, asked from the gateway's machine over HTTPS: no daemon takes part.

mod config;
mod hub;
mod manifest;
mod tags;

use crate::{
    docker::names,
    error::{Error, Result},
    registry::{Image, Manifest},
    tool::{Call, Toolset, hostless},
    tools::pull::reference::Reference,
};

/// The toolset, which is also this folder's table of contents.
pub const REGISTRY: Toolset = Toolset {
    name: "registry",
    about: "What registries have: tags, manifests, configurations of images; Docker Hub beside its registry.",
    tools: &[
        hostless::<tags::RegistryListTags>,
        hostless::<manifest::RegistryInspectManifest>,
        hostless::<config::RegistryGetConfig>,
        hostless::<hub::HubListTags>,
        hostless::<hub::HubRepoInfo>,
        hostless::<hub::HubRateLimit>,
    ],
};

/// An argument's image, with the registry and the tag that it leaves out.
fn image(text: &str) -> Result<Image> {
    let reference = Reference::of(names::image("image", text)?);
    if matches!(reference.repository, "sha256" | "sha512") {
        return Err(Error::invalid("argument \"image\" is an id").hint("a registry knows references, not ids"));
    }
    Image::of_canonical(&reference.canonical())
}

/// The manifest of an image itself: of an index, the one for a platform.
async fn of_platform(image: &Image, platform: Option<&str>, call: &Call) -> Result<Manifest> {
    let manifest = call.registries().manifest(image).await?;
    let Some(manifests) = &manifest.document.manifests else { return Ok(manifest) };
    let wanted = platform.unwrap_or("linux/amd64");
    let fits = manifests.iter().find(|each| each.platform.as_ref().is_some_and(|platform| platform.is(wanted)));
    let Some(descriptor) = fits else {
        let others = manifests.iter().filter_map(|each| each.platform.as_ref()).map(ToString::to_string);
        let others: Vec<String> = others.filter(|platform| !platform.starts_with("unknown/")).take(20).collect();
        return Err(Error::not_found(format!("the image is not there for platform {}", names::quote(wanted)))
            .hint(format!("argument \"platform\" is one of {}", others.join(", "))));
    };
    call.registries().manifest(&image.with_reference(&descriptor.digest)).await
}

/// The image as people write it.
fn shown(image: &Image) -> String {
    let separator = if image.reference().contains(':') { '@' } else { ':' };
    format!("{}{separator}{}", repository(image), image.reference())
}

/// The repository as people write it.
fn repository(image: &Image) -> String {
    match image.registry() {
        "docker.io" => image.repository().strip_prefix("library/").unwrap_or(image.repository()).to_owned(),
        registry => format!("{registry}/{}", image.repository()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_shown_as_people_write_them() {
        for (text, expected) in [
            ("nginx", "nginx:latest"),
            ("docker.io/library/nginx:1", "nginx:1"),
            ("ops/web", "ops/web:latest"),
            (
                "ghcr.io/a/b@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                "ghcr.io/a/b@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ),
        ] {
            assert_eq!(shown(&image(text).unwrap()), expected);
        }
        for text in ["", "a//b", "http://x/y", "sha256:0123456789ab", "../x"] {
            assert!(image(text).is_err(), "{text}");
        }
    }
}
