//! Images of several platforms in their registries: looked at, and put together of others. No daemon is sent anything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::builders::{Builders, DEFAULT};
use crate::{
    docker::{
        Docker,
        cli::Cli,
        names::{self, quote},
    },
    error::{Error, Kind, Result},
    tool::{Access, Call, Permission, Plan, Program, Summary, Tool, text::count},
    tools::{
        authorization::Authorization,
        pull::reference::Reference,
        view::{bytes, clipped, items, text},
    },
};

/// How many platforms are shown.
const MOST: usize = 100;
/// How many images one is put together of, and how many names it is given.
const MOST_SOURCES: usize = 50;
/// The longest word of a registry's, in characters.
const LONGEST: usize = 120;

/// Shows the platforms of an image in its registry.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxImagetoolsInspect {
    /// Reference.
    image: String,
}

/// Publishes (pushes) an image put together of others in registries, such as one for each platform.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxImagetoolsCreate {
    /// The names that it gets, with registry and tag.
    tags: Vec<String>,
    /// References of what it is put together of.
    sources: Vec<String>,
    /// Adds them to what is there. Default: false.
    #[serde(default)]
    append: bool,
    /// Publishes nothing. Default: false.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Inspected {
    image: String,
    digest: String,
    media_type: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<OnPlatform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
struct OnPlatform {
    platform: String,
    digest: String,
    size: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Created {
    tags: Vec<String>,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    platforms: Vec<OnPlatform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        match self.platforms.len() {
            0 => format!("\"{}\" is one image", self.image),
            platforms => format!("\"{}\" is there for {}", self.image, count(platforms, "platform")),
        }
    }
}

impl Summary for Created {
    fn summary(&self) -> String {
        let tag = self.tags.first().map_or("", String::as_str);
        let platforms = count(self.platforms.len(), "platform");
        if self.dry_run {
            format!("\"{tag}\" would be there for {platforms}; nothing was published")
        } else {
            format!("\"{tag}\" was published for {platforms}")
        }
    }
}

impl Tool for BuildxImagetoolsInspect {
    const NAME: &'static str = "buildx_imagetools_inspect";
    const ACCESS: Access = Access::READ;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const OPEN_WORLD: bool = true;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let image = reference("image", &self.image)?;
        reading.may_ask(Reference::of(&image).registry()).await?;
        Ok(Plan::declared(Self::ACCESS).using(image))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Inspected> {
        let image = reference("image", &self.image)?;
        let (manifest, mut notes) = manifest(&image, docker, call).await?;
        let (platforms, others) = platforms(&manifest);
        notes.extend(others);
        Ok(Inspected {
            image,
            digest: clipped(text(&manifest, "digest"), LONGEST),
            media_type: clipped(text(&manifest, "mediaType"), LONGEST),
            platforms,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })
    }
}

impl Tool for BuildxImagetoolsCreate {
    const NAME: &'static str = "buildx_imagetools_create";
    const ACCESS: Access = Access::destroy(&[Permission::Images]);
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const OPEN_WORLD: bool = true;
    type Output = Created;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let images = self.images()?;
        for image in &images {
            reading.may_ask(Reference::of(image).registry()).await?;
        }
        Ok(images.into_iter().fold(Plan::declared(Self::ACCESS), Plan::using))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Created> {
        let images = self.images()?;
        let (tags, sources) = images.split_at(self.tags.len());
        let (run, mut notes) = tools(images.iter().map(String::as_str), docker, call).await?;
        let mut arguments = vec!["imagetools".to_owned(), "create".into(), format!("--builder={DEFAULT}")];
        arguments.extend(["--progress=plain".to_owned()]);
        arguments.extend(tags.iter().map(|tag| format!("--tag={tag}")));
        arguments.extend(self.append.then(|| "--append".to_owned()));
        arguments.extend(self.dry_run.then(|| "--dry-run".to_owned()));
        arguments.extend(sources.iter().cloned());
        let ran = run.run(&arguments, &|_, _| {}).await.map_err(refused)?;
        notes.extend(ran.notes.iter().cloned());
        let tag = tags.first().cloned().unwrap_or_default();
        let manifest = if self.dry_run {
            serde_json::from_str(ran.document()).map_err(|error| unknown(&error))?
        } else {
            manifest(&tag, docker, call).await?.0
        };
        let (platforms, others) = platforms(&manifest);
        notes.extend(others);
        let digest = clipped(text(&manifest, "digest"), LONGEST);
        Ok(Created {
            tags: tags.to_vec(),
            dry_run: self.dry_run,
            digest: (!digest.is_empty()).then_some(digest),
            platforms,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        })
    }
}

impl BuildxImagetoolsCreate {
    /// The tags, then the sources.
    fn images(&self) -> Result<Vec<String>> {
        for (argument, given) in [("tags", &self.tags), ("sources", &self.sources)] {
            if given.is_empty() || given.len() > MOST_SOURCES {
                return Err(Error::invalid(format!("argument \"{argument}\" has {}", count(given.len(), "entry")))
                    .hint("at least one, at most 50"));
            }
        }
        if let Some(tag) = self.tags.iter().find(|tag| tag.contains('@')) {
            return Err(Error::invalid(format!("argument \"tags\": {} has a digest", quote(tag)))
                .hint("a name is registry, path and tag"));
        }
        let tags = self.tags.iter().map(|tag| reference("tags", tag));
        tags.chain(self.sources.iter().map(|source| reference("sources", source))).collect()
    }
}

/// A reference to an image in a registry, written in full.
fn reference(argument: &str, given: &str) -> Result<String> {
    names::image(argument, given)?;
    if names::is_image_id(given) {
        return Err(Error::invalid(format!("argument \"{argument}\": {} is an id", quote(given)))
            .hint("a registry knows images by reference"));
    }
    Ok(Reference::of(given).of_one().canonical())
}

/// A run that speaks to these registries itself, with the credentials for them.
async fn tools(images: impl Iterator<Item = &str>, docker: &Docker, call: &Call) -> Result<(Cli, Vec<String>)> {
    let registries: Vec<&str> = images.map(|image| Reference::of(image).registry()).collect();
    let (logins, notes) = Authorization::logins(registries.iter().copied(), true, docker, call).await;
    let mut run = Builders::of(docker, call)?.cli(docker, call)?;
    // It verifies all registries of a run against the same authorities.
    if let Some(file) = registries.iter().find_map(|registry| call.registries().authority(registry)) {
        run = run.variable("SSL_CERT_FILE", file.display().to_string());
    }
    Ok((logins.into_iter().fold(run, Cli::login), notes))
}

/// What a registry has under a reference.
async fn manifest(image: &str, docker: &Docker, call: &Call) -> Result<(Value, Vec<String>)> {
    let (run, mut notes) = tools([image].into_iter(), docker, call).await?;
    let builder = format!("--builder={DEFAULT}");
    let arguments = ["imagetools", "inspect", &builder, "--format", "{{json .Manifest}}", image];
    let ran = run.run(&arguments, &|_, _| {}).await.map_err(refused)?;
    notes.extend(ran.notes.iter().cloned());
    Ok((serde_json::from_str(ran.document()).map_err(|error| unknown(&error))?, notes))
}

fn unknown(error: &serde_json::Error) -> Error {
    Error::docker("buildx told of the image in a way that is not known").detail(error.to_string())
}

/// A registry's refusal in our words.
fn refused(error: Error) -> Error {
    let words = error.message().to_ascii_lowercase();
    let is = |any: &[&str]| any.iter().any(|word| words.contains(word));
    match error.kind() {
        Kind::Docker if is(&["not found", "manifest unknown"]) => Error::not_found("the registry has no such image")
            .hint("registry_list_tags shows its tags")
            .detail(error.message()),
        Kind::Docker if is(&["unauthorized", "denied", "forbidden", "authorization"]) => {
            Error::denied("the registry does not let the gateway in")
                .hint("login shows whether there are credentials for it, and whether they work")
                .detail(error.message())
        }
        Kind::Docker if is(&["dial tcp", "no such host", "x509", "tls:", "server gave http response"]) => {
            Error::unreachable("the registry is not reached from the machine of Quaymaster, or is not trusted there")
                .hint(
                    "ask the person to look at its address and its certificate; \"registries\" can name its authority",
                )
                .detail(error.message())
        }
        _ => error,
    }
}

/// The platforms of a manifest, and what is to be said of the rest.
fn platforms(manifest: &Value) -> (Vec<OnPlatform>, Option<String>) {
    let is_attestation = |each: &&Value| {
        each.pointer("/annotations/vnd.docker.reference.type").is_some_and(|kind| kind == "attestation-manifest")
    };
    let attestations = items(manifest, "manifests").filter(is_attestation).count();
    let on = |each: &Value| {
        let part = |field: &str| each.pointer(&format!("/platform/{field}")).and_then(Value::as_str);
        let words: Vec<&str> = ["os", "architecture", "variant"].into_iter().filter_map(part).collect();
        OnPlatform {
            platform: if words.is_empty() { "any".to_owned() } else { clipped(&words.join("/"), LONGEST) },
            digest: clipped(text(each, "digest"), LONGEST),
            size: bytes(each.get("size").and_then(Value::as_u64).unwrap_or_default()),
        }
    };
    let platforms = items(manifest, "manifests").filter(|each| !is_attestation(each)).take(MOST).map(on).collect();
    (platforms, (attestations > 0).then(|| format!("{} beside", count(attestations, "attestation"))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn platforms_are_told_from_attestations() {
        let manifest = json!({"digest": "sha256:00", "manifests": [
            {"digest": "sha256:01", "size": 942, "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
            {"digest": "sha256:02", "size": 10},
            {"digest": "sha256:03", "size": 10, "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        ]});
        let (found, note) = platforms(&manifest);
        assert_eq!(found.iter().map(|row| row.platform.as_str()).collect::<Vec<_>>(), ["linux/arm/v7", "any"]);
        assert_eq!(note.as_deref(), Some("1 attestation beside"));
    }

    #[test]
    fn references_are_written_in_full() {
        assert_eq!(reference("image", "busybox").unwrap(), "docker.io/library/busybox:latest");
        for odd in ["", "-x", "a b", "sha256:0000000000000000000000000000000000000000000000000000000000000000"] {
            assert!(reference("image", odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_registrys_refusal_is_told_in_our_words() {
        for (words, kind) in [
            ("docker buildx ended with status 1: ERROR: x/y:1: not found", Kind::NotFound),
            ("docker buildx ended with status 1: ERROR: failed to authorize: 401 Unauthorized", Kind::Denied),
            (
                "docker buildx ended with status 1: ERROR: dial tcp 127.0.0.1:1: connect: connection refused",
                Kind::Unreachable,
            ),
            ("docker buildx ended with status 1: ERROR: something else", Kind::Docker),
        ] {
            assert_eq!(refused(Error::docker(words)).kind(), kind, "{words}");
        }
    }
}
