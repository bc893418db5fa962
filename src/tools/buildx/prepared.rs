//! A build that was looked at: every path below the roots, every image and secret known; then written down privately, and run.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    builders::{Builder, Builders},
    definition::{Settings, Target, joined},
    log::{Left, Log},
    rendered::{self, Rendered},
};
use crate::{
    docker::{
        Docker,
        cli::{Cli, Private},
        names::quote,
    },
    error::{Error, Result},
    files::Directory,
    redact::Masks,
    secret::SCHEME,
    tool::{BodyKind, Call, Plan, Summary, text::count},
    tools::{
        authorization::Authorization,
        dockerfile,
        pull::reference::Reference,
        view::{clipped, short_id, text},
    },
};

/// The largest Dockerfile, and the largest `.dockerignore`, in bytes.
const LARGEST: u64 = 1 << 20;
/// The largest account of what was built, in bytes.
const LARGEST_ACCOUNT: u64 = 4 << 20;
const IGNORE: &str = ".dockerignore";
const DOCKERFILE: &str = "Dockerfile";

/// A build that may be run.
pub(super) struct Prepared {
    rendered: Rendered,
    parts: Vec<Part>,
    images: BTreeSet<String>,
    tags: BTreeSet<String>,
}

/// One target, looked at.
struct Part {
    name: String,
    settings: Settings,
    context: Place,
    contexts: BTreeMap<String, Place>,
    /// The text of its Dockerfile, and what is left out of its context; of what the daemon fetches nobody knows it.
    dockerfile: Option<String>,
    ignore: String,
}

/// Where a context is.
enum Place {
    /// A directory of this machine, held open until the run has ended.
    Directory(Directory),
    /// Nothing at all.
    Empty,
    /// Another target, an image, or an address that the daemon may fetch.
    Named(String),
}

/// What was built.
#[derive(Serialize, JsonSchema)]
pub(super) struct Built {
    builder: String,
    images: Vec<Image>,
    steps: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The end of the log.
    log: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Of the manifest in the registry, where it was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pushed: bool,
}

impl Summary for Built {
    fn summary(&self) -> String {
        let pushed = self.images.iter().filter(|image| image.pushed).count();
        let pushed = if pushed > 0 { format!(", {pushed} pushed") } else { String::new() };
        let built = count(self.images.len(), "target");
        format!("{built} built by builder \"{}\" in {} steps{pushed}", self.builder, self.steps)
    }
}

impl Prepared {
    /// Looks at everything that is to be built; paths begin at `base`, else at the first root. Nothing is written.
    pub(super) async fn of(rendered: Rendered, base: &str, docker: &Docker, call: &Call) -> Result<Self> {
        let (mut parts, mut images, mut tags) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for (name, target) in &rendered.targets {
            let place = if rendered.is_alone() { "the build".to_owned() } else { format!("target {}", quote(name)) };
            let settings = target.settings(&place)?;
            let part = Part::of(name, &place, target, settings, base, docker, call).await?;
            for name in part.contexts.values().filter_map(Place::named).filter_map(|name| name.strip_prefix("target:"))
            {
                if !rendered.targets.contains_key(name) {
                    return Err(Error::invalid(format!("{place}: there is no target {}", quote(name)))
                        .hint("a context that is a target has to be in the definition"));
                }
            }
            images.extend(part.images(&place, target, docker)?);
            tags.extend(target.tags.iter().cloned());
            tags.extend(part.settings.output.iter().filter_map(|output| output.get("name")).cloned());
            parts.push(part);
        }
        let prepared = Self { rendered, parts, images, tags };
        // A secret that is missing ends the call before anything is sent.
        prepared.secrets(call)?;
        Ok(prepared)
    }

    /// What it will do.
    pub(super) fn planned(&self, plan: Plan) -> Result<Plan> {
        let names = self.images.iter().chain(&self.tags).cloned();
        names.fold(plan, Plan::using).sending(BodyKind::Build, &self.body())
    }

    /// Refuses to run another build than the one that was decided.
    pub(super) fn is_as(&self, plan: &Plan) -> Result<()> {
        if plan.sent::<Value>()? == self.body() {
            return Ok(());
        }
        Err(Error::conflict("what is built has changed since the call was decided")
            .hint("make the call again: it is decided anew"))
    }

    fn body(&self) -> Value {
        let targets = || self.rendered.targets.values();
        let variables = targets().flat_map(|target| &target.args);
        let variables: Vec<String> =
            variables.map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or_default())).collect();
        let labels: BTreeMap<&String, &str> = targets()
            .flat_map(|target| &target.labels)
            .map(|(name, value)| (name, value.as_deref().unwrap_or_default()))
            .collect();
        json!({"Labels": labels, "Env": variables, "Images": self.images, "Tags": self.tags})
    }

    /// The secrets that it names, by how they are named.
    fn secrets(&self, call: &Call) -> Result<BTreeMap<String, String>> {
        let of_files = self.parts.iter().flat_map(|part| &part.settings.secrets).map(|(_, name)| name.as_str());
        let of_arguments = self.rendered.targets.values().flat_map(|target| target.args.values().flatten());
        let names = of_files.chain(of_arguments.filter_map(|value| value.strip_prefix(SCHEME)));
        names.map(|name| Ok((name.to_owned(), call.secrets().named(name)?.expose().to_owned()))).collect()
    }

    /// Runs it to its end.
    pub(super) async fn run(
        self,
        builder: &Builder,
        builders: &Builders,
        docker: &Docker,
        call: &Call,
    ) -> Result<Built> {
        let secrets = self.secrets(call)?;
        let private = call.programs().private()?;
        let definition = self.written(&private, &secrets)?;
        let file = private.put("docker-bake.json", definition.as_bytes())?.display().to_string();
        let account = private.path().join("account.json").display().to_string();
        let mut arguments = vec!["bake", "--builder", &builder.name, "--progress", "plain"];
        arguments.extend(["--file", &file, "--metadata-file", &account]);
        arguments.extend(self.rendered.wanted.iter().map(String::as_str));
        let references = self.images.iter().chain(&self.tags);
        let registries = references.map(|image| Reference::of(image).registry());
        let (logins, mut notes) = Authorization::logins(registries, false, docker, call).await;
        let run = logins.into_iter().fold(builders.cli(docker, call)?.holding(&private), Cli::login);
        let hidden = self.rendered.targets.values().flat_map(|target| &target.args);
        let hidden = hidden.filter(|(name, _)| !docker.reveal().shows(name)).filter_map(|(_, value)| value.as_ref());
        let log = Log::new(Masks::default().with(secrets.values().chain(hidden)));
        let told = |_, line: &str| call.progress(log.take(line));
        let ran = run.run(&arguments, &told).await.map_err(|error| log.failed(error))?;
        notes.extend(ran.notes);
        let account = private.read("account.json", LARGEST_ACCOUNT).unwrap_or_default();
        let account: Value = serde_json::from_str(&account).unwrap_or_default();
        let Left { tail, warnings, steps } = log.left();
        Ok(Built {
            builder: builder.name.clone(),
            images: self.images_of(&account),
            steps,
            warnings,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
            log: tail,
        })
    }

    /// What buildx has written down of each target that was asked for.
    fn images_of(&self, account: &Value) -> Vec<Image> {
        let parts = self.parts.iter().filter(|part| self.rendered.wanted.contains(&part.name));
        let image = |part: &Part| {
            let of = account.get(&part.name).unwrap_or(&Value::Null);
            let (config, digest) = (text(of, "containerimage.config.digest"), text(of, "containerimage.digest"));
            let pushed = part.settings.output.iter().any(|output| {
                output.get("type").is_some_and(|kind| kind == "registry")
                    || output.get("push").is_some_and(|push| push == "true")
            });
            let id = if config.is_empty() && !pushed { digest } else { config };
            let full = |digest: &str| (!digest.is_empty()).then(|| clipped(digest, 100));
            let tags = self.rendered.targets.get(&part.name).map(|target| target.tags.clone()).unwrap_or_default();
            Image {
                target: (!self.rendered.is_alone()).then(|| part.name.clone()),
                id: (!id.is_empty()).then(|| short_id(id)),
                digest: if pushed { full(digest) } else { None },
                tags: tags.iter().map(|tag| Reference::of(tag).of_one().to_string()).collect(),
                pushed,
            }
        };
        parts.map(image).collect()
    }

    /// Writes the files of the run; answers the definition that names them.
    fn written(&self, private: &Private, secrets: &BTreeMap<String, String>) -> Result<String> {
        // Whoever asks for the Dockerfile may ask for what lies beside it.
        let (files, empty) = (private.directory("files")?, private.directory("empty")?.display().to_string());
        let mut paths = BTreeMap::new();
        for (number, (name, value)) in secrets.iter().enumerate() {
            paths.insert(
                name.as_str(),
                private.put(&format!("secret-{number}"), value.as_bytes())?.display().to_string(),
            );
        }
        let mut targets = BTreeMap::new();
        for part in &self.parts {
            let Some(target) = self.rendered.targets.get(&part.name) else { continue };
            let place = |place: &Place| match place {
                Place::Directory(directory) => directory.place().display().to_string(),
                Place::Empty => empty.clone(),
                Place::Named(name) => name.clone(),
            };
            let dockerfile = match &part.dockerfile {
                Some(text) => {
                    let name = format!("{}.Dockerfile", part.name);
                    private.put(&format!("files/{name}.dockerignore"), part.ignore.as_bytes())?;
                    private.put(&format!("files/{name}"), text.as_bytes())?;
                    Some(files.join(name).display().to_string())
                }
                None => target.dockerfile.clone(),
            };
            let argument = |value: &Option<String>| match value.as_deref().and_then(|value| value.strip_prefix(SCHEME))
            {
                Some(name) => secrets.get(name).cloned(),
                None => value.clone(),
            };
            let secret = |(id, name): &(String, String)| {
                paths.get(name.as_str()).map(|path| Value::from(format!("id={id},src={path}")))
            };
            let pairs = |all: &[_]| all.iter().map(|pairs| Value::from(joined(pairs))).collect::<Vec<_>>();
            let written = Target {
                context: Some(place(&part.context)),
                contexts: part.contexts.iter().map(|(name, context)| (name.clone(), place(context))).collect(),
                dockerfile,
                dockerfile_inline: None,
                args: target.args.iter().map(|(name, value)| (name.clone(), argument(value))).collect(),
                secret: part.settings.secrets.iter().filter_map(secret).collect(),
                output: pairs(&part.settings.output),
                cache_from: pairs(&part.settings.cache_from),
                cache_to: pairs(&part.settings.cache_to),
                attest: pairs(&part.settings.attest),
                ..target.clone()
            };
            targets.insert(part.name.clone(), plain(&written)?);
        }
        Ok(rendered::written(&targets))
    }
}

impl Rendered {
    /// Whether it is a build without targets of its own.
    fn is_alone(&self) -> bool {
        self.targets.contains_key(super::build::TARGET) && self.targets.len() == 1
    }
}

impl Place {
    fn named(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Directory(_) | Self::Empty => None,
        }
    }

    /// Whether the daemon fetches it by itself.
    fn is_fetched(&self) -> bool {
        self.named().is_some_and(|name| !name.starts_with("target:") && !name.starts_with("docker-image://"))
    }

    /// Looks at a context that was named under a key of a target.
    async fn of(place: &str, path: &str, base: &str, docker: &Docker, call: &Call) -> Result<Self> {
        let argument = format!("context of {place}");
        if path.contains("${") || path.contains("%{") {
            return Err(
                Error::invalid(format!("{argument}: {} has a template", quote(path))).hint("write the path itself")
            );
        }
        if path.contains("://") || path.starts_with("git@") {
            docker.may_fetch(&argument, path)?;
            return Ok(Self::Named(path.to_owned()));
        }
        let path = if path.starts_with('/') || base.is_empty() { path.to_owned() } else { format!("{base}/{path}") };
        Ok(Self::Directory(call.files().directory(&argument, &path).await?))
    }
}

impl Part {
    async fn of(
        name: &str,
        place: &str,
        target: &Target,
        settings: Settings,
        base: &str,
        docker: &Docker,
        call: &Call,
    ) -> Result<Self> {
        let context = match (target.context.as_deref(), &target.dockerfile_inline) {
            (None, Some(_)) => Place::Empty,
            (None, None) => Place::of(place, ".", base, docker, call).await?,
            (Some(path), _) => Place::of(place, path, base, docker, call).await?,
        };
        let mut contexts = BTreeMap::new();
        for (name, path) in &target.contexts {
            let found = if let Some(image) = path.strip_prefix("docker-image://") {
                crate::docker::names::image(place, image)?;
                Place::Named(path.clone())
            } else if path.starts_with("target:") {
                Place::Named(path.clone())
            } else {
                match Place::of(place, path, base, docker, call).await? {
                    // Nobody can leave out of it what has a name of secrets.
                    Place::Directory(_) => {
                        return Err(Error::denied(format!("{place}: \"contexts\" has the directory {}", quote(path)))
                            .hint("put it into the context itself; others are target:NAME, docker-image://IMAGE, or fetched"));
                    }
                    found => found,
                }
            };
            contexts.insert(name.clone(), found);
        }
        let file = target.dockerfile.as_deref().unwrap_or(DOCKERFILE);
        let file = inside(place, file)?;
        let (dockerfile, ignore) = match (&context, &target.dockerfile_inline) {
            (Place::Directory(directory), inline) => {
                let own = match inline {
                    Some(_) => None,
                    None => directory.read(&format!("{file}.dockerignore"), LARGEST).await?,
                };
                let ignore = match own {
                    Some(own) => Some(own),
                    None => directory.read(IGNORE, LARGEST).await?,
                };
                let text = if let Some(text) = inline {
                    text.clone()
                } else {
                    let text = directory.read(file, LARGEST).await?.ok_or_else(|| {
                        Error::not_found(format!("{place}: there is no {} in the context", quote(file)))
                            .hint("name it with \"dockerfile\", or give its text")
                    })?;
                    String::from_utf8(text.to_vec())
                        .map_err(|_| Error::invalid(format!("{place}: the Dockerfile is no text")))?
                };
                let ignore = ignore.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
                // Behind all others, so that no line takes it back.
                (Some(text), format!("{ignore}\n{}", call.files().ignored()))
            }
            (Place::Empty, inline) => (inline.clone(), String::new()),
            (Place::Named(_), Some(_)) => {
                return Err(Error::invalid(format!(
                    "{place}: the text of a Dockerfile and a context that the daemon fetches exclude each other"
                ))
                .hint("name the Dockerfile in it with \"dockerfile\""));
            }
            (Place::Named(_), None) => (None, String::new()),
        };
        Ok(Self { name: name.to_owned(), settings, context, contexts, dockerfile, ignore })
    }

    /// The images that it takes, the program that reads the Dockerfile among them.
    fn images(&self, place: &str, target: &Target, docker: &Docker) -> Result<BTreeSet<String>> {
        let arguments = target.args.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()));
        let arguments: BTreeMap<String, String> = arguments.collect();
        let text = self.dockerfile.as_deref().unwrap_or_default();
        let mut taken = dockerfile::taken(text, &arguments);
        taken.images.extend(syntax(text).into_iter().chain(arguments.get("BUILDKIT_SYNTAX").cloned()));
        taken.images.extend(
            self.contexts
                .values()
                .filter_map(|context| context.named()?.strip_prefix("docker-image://"))
                .map(str::to_owned),
        );
        taken.images.extend(self.settings.images.iter().cloned());
        // Contexts of these names stand in front of images.
        taken.images.retain(|image| !self.contexts.contains_key(image));
        let is_known = !self.context.is_fetched() && !self.contexts.values().any(Place::is_fetched);
        if docker.config().limits.images.is_open() {
            return Ok(taken.images);
        }
        let refused = |what: String| {
            Err(Error::denied(format!(
                "{place}: {what}, and \"images\" in the configuration of the host allows only some"
            ))
            .hint("name every image of the Dockerfile in full, in a context that is a directory"))
        };
        match taken.unclear.first() {
            _ if !is_known => refused("what a fetched context builds from is not known".to_owned()),
            Some(word) => refused(format!("which image {} of the Dockerfile stands for is not known", quote(word))),
            None => Ok(taken.images),
        }
    }
}

/// The image of the program that a Dockerfile wants to be read by.
fn syntax(text: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().map(str::trim).skip_while(|line| line.starts_with("#!"));
    for line in lines {
        let directive = line.strip_prefix("//").or_else(|| line.strip_prefix('#'))?;
        let (name, value) = directive.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("syntax") {
            return value.split_whitespace().next().map(str::to_owned);
        }
    }
    None
}

/// A path in the context.
fn inside<'a>(place: &str, path: &'a str) -> Result<&'a str> {
    let plain = path.strip_prefix("./").unwrap_or(path);
    let is_good = !plain.is_empty()
        && !plain.chars().any(|letter| letter.is_control() || letter == '$' || letter == '%')
        && plain.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_good {
        return Ok(plain);
    }
    Err(Error::invalid(format!("{place}: dockerfile {} is no path in the context", quote(path)))
        .hint("a relative path, such as \"docker/Dockerfile\"; elsewhere, give its text"))
}

/// A target without what it does not say.
fn plain(target: &Target) -> Result<Value> {
    let mut written = serde_json::to_value(target)
        .map_err(|error| Error::internal("a definition cannot be written").detail(error.to_string()))?;
    if let Some(fields) = written.as_object_mut() {
        fields.retain(|_, value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(items) => !items.is_empty(),
            _ => true,
        });
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reader_of_a_dockerfile_is_an_image_too() {
        for (text, image) in [
            ("# syntax=docker/dockerfile:1\nFROM a\n", Some("docker/dockerfile:1")),
            ("#!/usr/bin/env x\n# escape=`\n#Syntax = evil/frontend:1 more\nFROM a", Some("evil/frontend:1")),
            ("// syntax=evil/other\n", Some("evil/other")),
            ("# a comment\n# syntax=no\nFROM a", None),
            ("FROM a\n# syntax=no\n", None),
            ("", None),
        ] {
            assert_eq!(syntax(text).as_deref(), image, "{text:?}");
        }
    }

    #[test]
    fn a_dockerfile_lies_in_its_context() {
        assert_eq!(inside("x", "./docker/Dockerfile").unwrap(), "docker/Dockerfile");
        for path in ["", "/etc/passwd", "../Dockerfile", "a/../../b", "a//b", "a\n", "a/", "${x}"] {
            assert!(inside("x", path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_target_is_written_without_what_it_does_not_say() {
        let target = Target { context: Some("/x".to_owned()), no_cache: Some(false), ..Target::default() };
        assert_eq!(plain(&target).unwrap(), json!({"context": "/x", "no-cache": false}));
    }
}
