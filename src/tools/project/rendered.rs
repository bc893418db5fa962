//! A project as the docker CLI puts it together: every path in it that would be read on this machine lies below an allowed root.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    docker::names::quote,
    error::{Error, Kind, Result},
    files::{self, Files},
};

/// Where a project without a directory is said to be: nothing lies there.
pub(super) const NOWHERE: &str = "/quaymaster-inline";

/// A project, put together and checked.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    /// Its name.
    pub(crate) name: String,
    /// What the CLI made of its files; dollar signs are doubled in it.
    pub(crate) document: Value,
    /// The directory that it says it is in.
    pub(crate) directory: String,
    /// What the person should know of it before it runs.
    pub(crate) warnings: Vec<String>,
}

impl Rendered {
    /// Its services, by name.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&str, &Value)> {
        let services = self.document.get("services").and_then(Value::as_object);
        services.into_iter().flatten().map(|(name, service)| (name.as_str(), service))
    }

    /// The images that its services name, without those that it builds.
    pub(crate) fn images(&self) -> impl Iterator<Item = &str> {
        self.services().filter_map(|(_, service)| service.get("image").and_then(Value::as_str))
    }

    /// The images of some services.
    pub(crate) fn images_of<'a>(&'a self, services: &'a [String]) -> impl Iterator<Item = &'a str> {
        let chosen = self.services().filter(|(name, _)| services.iter().any(|service| service == name));
        chosen.filter_map(|(_, service)| service.get("image").and_then(Value::as_str))
    }

    /// Whether a service is built.
    pub(crate) fn builds(&self) -> bool {
        self.services().any(|(_, service)| service.get("build").is_some())
    }

    /// What the CLI is given: JSON, which is YAML.
    pub(crate) fn text(&self) -> String {
        self.document.to_string()
    }

    /// Takes out what was read already: variables out of files are variables now.
    pub(super) fn settled(mut self) -> Self {
        let services = self.document.get_mut("services").and_then(Value::as_object_mut);
        for service in services.into_iter().flatten().filter_map(|(_, service)| service.as_object_mut()) {
            service.remove("env_file");
            service.remove("label_file");
        }
        self
    }

    /// Checks every path that a CLI, or an engine on this machine, would read.
    ///
    /// # Errors
    /// `denied`, naming key and path.
    pub(super) async fn check(&self, files: &Files) -> Result<()> {
        for (name, service) in self.services() {
            let key = |field: &str| format!("services.{name}.{field}");
            if let Some(build) = service.get("build").filter(|build| !build.is_null()) {
                self.check_build(&key("build"), build, files).await?;
            }
            if let Some(file) = text(service.pointer("/credential_spec/file")) {
                inside(files, &key("credential_spec.file"), file, files::Kind::File).await?;
            }
            for mount in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
                let source = text(mount.get("source")).unwrap_or_default();
                if mount.get("type") == Some(&json!("bind")) && self.is_nowhere(source) {
                    return Err(nowhere(&key("volumes"), source));
                }
            }
        }
        for (key, file) in self.kept() {
            if self.is_nowhere(&file) {
                return Err(nowhere(&key, &file));
            }
            inside(files, &key, &file, files::Kind::File).await?;
        }
        Ok(())
    }

    /// Files of this machine whose content goes to the engine, with the keys that name them.
    pub(super) fn kept(&self) -> Vec<(String, String)> {
        let mut kept = Vec::new();
        for kind in ["configs", "secrets"] {
            let all = self.document.get(kind).and_then(Value::as_object);
            for (name, one) in all.into_iter().flatten() {
                if let Some(file) = text(one.get("file")) {
                    kept.push((format!("{kind}.{name}.file"), file.to_owned()));
                }
            }
        }
        kept
    }

    async fn check_build(&self, key: &str, build: &Value, files: &Files) -> Result<()> {
        let context = match build {
            Value::String(context) => context,
            build => text(build.get("context")).unwrap_or("."),
        };
        if build.get("ssh").is_some() {
            return Err(refused(&format!("{key}.ssh"), "hands keys of the gateway's machine to a build"));
        }
        if build.get("privileged") == Some(&Value::Bool(true)) || build.get("entitlements").is_some() {
            return Err(refused(key, "asks for more than a build has"));
        }
        for field in ["cache_from", "cache_to"] {
            let mut places = build.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            if let Some(place) = places.find(|place| place.contains("type=") && !place.contains("type=registry")) {
                return Err(refused(
                    &format!("{key}.{field}"),
                    &format!("names {}, which is no registry", quote(place)),
                ));
            }
        }
        let key_of_context = format!("{key}.context");
        if is_address(context) {
            return Err(fetched(&key_of_context));
        }
        if self.is_nowhere(context) {
            return Err(nowhere(&key_of_context, context));
        }
        inside(files, &key_of_context, context, files::Kind::Directory).await?;
        let is_inline = build.get("dockerfile_inline").is_some();
        if let Some(dockerfile) = text(build.get("dockerfile")).filter(|_| !is_inline) {
            let place = Path::new(context).join(dockerfile);
            inside(files, &format!("{key}.dockerfile"), &place.display().to_string(), files::Kind::File).await?;
        }
        let others = build.get("additional_contexts").and_then(Value::as_object);
        for (name, other) in others.into_iter().flatten() {
            let key = format!("{key}.additional_contexts.{name}");
            let other = other.as_str().unwrap_or_default();
            match other.split_once(':') {
                Some(("docker-image" | "service", _)) => {}
                Some(("oci-layout", _)) => return Err(refused(&key, "names a place of the gateway's machine")),
                _ if is_address(other) => return Err(fetched(&key)),
                _ => inside(files, &key, other, files::Kind::Directory).await?,
            }
        }
        Ok(())
    }

    /// Whether a path was written relative to a directory that nobody has named.
    fn is_nowhere(&self, path: &str) -> bool {
        self.directory == NOWHERE && Path::new(path).starts_with(NOWHERE)
    }

    /// Binds of what lies in the project's own directory, as they are written.
    pub(crate) fn own_binds(&self) -> impl Iterator<Item = &str> {
        let mounts = self.services().filter_map(|(_, service)| service.get("volumes")?.as_array()).flatten();
        let binds = mounts.filter(|mount| mount.get("type") == Some(&json!("bind")));
        let sources = binds.filter_map(|mount| text(mount.get("source")));
        sources.filter(|source| Path::new(source).starts_with(&self.directory))
    }
}

pub(super) fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

/// Whether a context is fetched and not read here.
pub(super) fn is_address(context: &str) -> bool {
    context.contains("://") || context.starts_with("git@") || context.starts_with("github.com/")
}

/// A path of this machine below an allowed root.
async fn inside(files: &Files, key: &str, path: &str, kind: files::Kind) -> Result<()> {
    // As the CLI will read it: the dollar signs of a project that was put together are doubled.
    let path = &path.replace("$$", "$");
    match files.kind(key, path).await {
        Ok(found) if found == kind => Ok(()),
        Ok(_) if kind == files::Kind::File => {
            Err(Error::invalid(format!("{} at {} is a directory", quote(path), quote(key))).hint("name a file"))
        }
        Ok(_) => {
            Err(Error::invalid(format!("{} at {} is no directory", quote(path), quote(key))).hint("name a directory"))
        }
        // The CLI will say so, if it comes to that.
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn refused(key: &str, what: &str) -> Error {
    Error::denied(format!("{} {what}", quote(key))).hint("leave it out")
}

/// The CLI would fetch it with this machine's rights.
fn fetched(key: &str) -> Error {
    Error::denied(format!("{} is an address, which would be fetched by the gateway's machine", quote(key)))
        .hint("build it with build_image, whose addresses the daemon fetches, and name the image here")
}

fn nowhere(key: &str, path: &str) -> Error {
    let written = path.strip_prefix(NOWHERE).unwrap_or(path);
    Error::invalid(format!(
        "{} at {} is relative, and no directory was given",
        quote(&format!(".{written}")),
        quote(key)
    ))
    .hint("give \"directory\", below an allowed root, or an absolute path of the host")
}
