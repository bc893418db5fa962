//! The manifest of an image: platforms, layers, sizes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    registry::{Descriptor, Manifest},
    tool::{Call, HostlessTool, Summary, text::count},
    tools::view::{bytes, clipped, sum},
};

/// How many platforms or layers are shown.
const MOST: usize = 100;
/// The longest media type that is shown.
const LONGEST: usize = 120;

/// Shows what a registry has under a tag or digest: digest, platforms, layers.
///
/// Nothing is pulled.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryInspectManifest {
    /// Reference. Default tag: latest.
    image: String,
    /// Its layers, such as `linux/arm64`. Default: the list of platforms.
    #[serde(default)]
    platform: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Inspected {
    image: String,
    digest: String,
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    /// What all layers take as they are transferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<OnPlatform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct OnPlatform {
    platform: String,
    digest: String,
}

#[derive(Serialize, JsonSchema)]
struct Layer {
    digest: String,
    size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        let image = &self.image;
        match (&self.size, self.platforms.len()) {
            (Some(size), _) => format!("\"{image}\" has {}, {size}", count(self.layers.len(), "layer")),
            (None, platforms) => format!("\"{image}\" is there for {}", count(platforms, "platform")),
        }
    }
}

impl HostlessTool for RegistryInspectManifest {
    const NAME: &'static str = "registry_inspect_manifest";
    type Output = Inspected;

    async fn call(self, call: &Call) -> Result<Inspected> {
        let image = super::image(&self.image)?;
        let manifest = match &self.platform {
            Some(platform) => super::of_platform(&image, Some(platform), call).await?,
            None => call.registries().manifest(&image).await?,
        };
        Ok(inspected(super::shown(&image), manifest))
    }
}

fn inspected(image: String, manifest: Manifest) -> Inspected {
    let Manifest { digest, media_type, document, .. } = manifest;
    let manifests = document.manifests.unwrap_or_default();
    let is_attestation = |each: &&Descriptor| {
        each.annotations.as_ref().is_some_and(|notes| {
            notes.get("vnd.docker.reference.type").is_some_and(|kind| kind == "attestation-manifest")
        })
    };
    let attestations = manifests.iter().filter(is_attestation).count();
    let platforms = manifests.iter().filter(|each| !is_attestation(each)).map(|each| OnPlatform {
        platform: each
            .platform
            .as_ref()
            .map_or_else(|| "any".to_owned(), |platform| clipped(&platform.to_string(), LONGEST)),
        digest: clipped(&each.digest, LONGEST),
    });
    let mut platforms: Vec<OnPlatform> = platforms.collect();
    let layers = document.layers.unwrap_or_default();
    let size = (!layers.is_empty()).then(|| bytes(sum(layers.iter().map(|layer| layer.size))));
    let hidden = platforms.len().saturating_sub(MOST) + layers.len().saturating_sub(MOST);
    platforms.truncate(MOST);
    let usual = |kind: &str| kind.ends_with(".tar.gzip") || kind.ends_with("tar+gzip");
    let layers = layers.iter().take(MOST).map(|layer| Layer {
        digest: clipped(&layer.digest, LONGEST),
        size: bytes(layer.size),
        media_type: (!usual(&layer.media_type)).then(|| clipped(&layer.media_type, LONGEST)),
    });
    let notes = [
        (attestations > 0).then(|| format!("{} beside", count(attestations, "attestation"))),
        (hidden > 0).then(|| format!("{hidden} more are not shown")),
    ];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    Inspected {
        image,
        digest,
        media_type: clipped(&media_type, LONGEST),
        artifact_type: document.artifact_type.map(|kind| clipped(&kind, LONGEST)),
        size,
        platforms,
        config: document.config.map(|config| clipped(&config.digest, LONGEST)),
        layers: layers.collect(),
        note: (!notes.is_empty()).then(|| notes.join("; ")),
    }
}
