//! Projects as compose files: read and checked here, put together by the docker CLI on a private copy of what was checked.
//!
//! A file is read by a CLI only where it was looked at before: [`named`] says which files the YAML names, [`copies`]
//! copies them, the CLI puts the copy together, and [`rendered`] checks what came out. From then on the CLI is given
//! the result, and no file.

mod bodies;
pub(crate) mod containers;
mod contexts;
mod copies;
mod named;
mod rehearsal;
mod rendered;
mod stack;
mod told;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use containers::{PROJECT, SERVICE};
use contexts::Contexts;
use copies::{Copies, Copying, below};
pub(crate) use rehearsal::{Change, Rehearsal, Step};
use rendered::NOWHERE;
pub(crate) use rendered::Rendered;
pub(crate) use told::Told;

use crate::{
    docker::{
        Docker,
        cli::{Cli, positional},
        judge::Mark,
        names::quote,
    },
    error::{Error, Result},
    tool::{BodyKind, Call, Object, ObjectKind, Plan},
};

/// Compose files that are looked for in a directory, and what is laid over them.
const USUAL: &[&str] = &["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVER: &[&str] =
    &["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];
/// What inline YAML is called in the copy.
const INLINE: &str = "quaymaster-inline.yaml";
/// How much a project may be when it is put together, in bytes.
const LARGEST: usize = 4 << 20;
/// The longest inline YAML, in bytes.
const LONGEST: usize = 1 << 20;
/// The most warnings that are told.
const WARNINGS: usize = 10;

/// Where a project is defined.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
pub(crate) struct Definition {
    /// Its directory, below `files.roots`.
    #[serde(default)]
    directory: Option<String>,
    /// Compose files. Default: the usual.
    #[serde(default)]
    files: Vec<String>,
    /// Or a compose file's text.
    #[serde(default)]
    yaml: Option<String>,
}

impl Definition {
    /// Copies what it is made of, each file checked.
    ///
    /// # Errors
    /// `denied` for a file that must not be read, naming key and path; `invalid`, `not_found`.
    async fn copied(&self, reader: Reader, call: &Call) -> Result<Copied> {
        let copies = Copies::new(call.programs())?;
        let files = call.files();
        let directory = match &self.directory {
            Some(directory) => Some(files.locate("directory", directory).await?),
            None => None,
        };
        let (directory, compose) = match (&self.yaml, directory) {
            (Some(_), _) if !self.files.is_empty() => {
                return Err(Error::invalid("\"yaml\" and \"files\" are both given").hint("give one of them"));
            }
            (Some(yaml), directory) => {
                if yaml.len() > LONGEST {
                    return Err(Error::invalid("argument \"yaml\" is longer than 1 MiB").hint("give it as a file"));
                }
                let base = directory.unwrap_or_else(|| NOWHERE.into());
                let place = base.join(INLINE);
                copies.write(&place, yaml.as_bytes())?;
                Copying::new(files, &copies, reader).inline(yaml, &base, self.directory.is_some()).await?;
                return Ok(Copied { files: vec![copies.place(&place)], copies, directory: base });
            }
            (None, Some(directory)) if self.files.is_empty() => {
                let compose = usual(&directory).await?;
                (directory, compose)
            }
            (None, Some(directory)) => {
                let compose = self.files.iter().map(|file| placed(&directory, file)).collect();
                (directory, compose)
            }
            (None, None) => {
                let first = self.files.first().ok_or_else(|| {
                    Error::invalid("the project is not defined")
                        .hint("give \"directory\" or \"files\" of the gateway's machine, or \"yaml\"")
                })?;
                let first = files.locate("files", first).await?;
                let directory = first.parent().unwrap_or(Path::new("/")).to_owned();
                let mut compose = vec![first];
                for file in self.files.iter().skip(1) {
                    compose.push(files.locate("files", file).await?);
                }
                (directory, compose)
            }
        };
        Copying::new(files, &copies, reader).compose(&compose, &directory).await?;
        let files = compose.iter().map(|file| copies.place(file)).collect();
        Ok(Copied { copies, files, directory })
    }

    /// The project, put together and checked.
    ///
    /// # Errors
    /// Those of its files, and what the CLI says of what is in them.
    pub(crate) async fn rendered(
        &self,
        project: Option<&str>,
        profiles: &[String],
        docker: &Docker,
        call: &Call,
    ) -> Result<Rendered> {
        let Copied { copies, files, directory } = self.copied(Reader::Compose, call).await?;
        let mut arguments = vec!["--project-directory".to_owned(), copies.place(&directory).display().to_string()];
        if let Some(project) = project {
            arguments.extend(["--project-name".to_owned(), name(project)?.to_owned()]);
        }
        for profile in profiles {
            arguments.extend(["--profile".to_owned(), positional("profiles", profile)?.to_owned()]);
        }
        for file in &files {
            arguments.extend(["--file".to_owned(), file.display().to_string()]);
        }
        arguments.extend(["config", "--format", "json"].map(str::to_owned));
        let cli = copies.read_by(docker.cli(call.programs(), Some("compose"))?.keeping(LARGEST));
        let ran = cli.run(&arguments, &|_, _| {}).await?;
        if ran.is_cut {
            return Err(Error::invalid("the project is larger than 4 MiB").hint("take it apart"));
        }
        let document: Value = serde_json::from_str(ran.document())
            .map_err(|error| Error::docker("the docker CLI put no project together").detail(error.to_string()))?;
        let name = document.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let directory = directory.display().to_string();
        let mut warnings = unset(&ran.messages);
        warnings.truncate(WARNINGS);
        let rendered = Rendered { name: self::name(&name)?.to_owned(), document, directory, warnings }.settled();
        rendered.check(call.files()).await?;
        Ok(rendered)
    }
}

/// Who puts a project together, as each reads other files by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// `docker compose`, which fills in variables out of `.env` in the project's directory.
    Compose,
    /// `docker stack`, which does not.
    Stack,
}

/// A copy, where its compose files are in it, and the project's own directory.
struct Copied {
    copies: Copies,
    files: Vec<PathBuf>,
    directory: PathBuf,
}

/// The compose files that docker compose finds in a directory.
async fn usual(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for names in [USUAL, OVER] {
        for name in names {
            let place = directory.join(name);
            if tokio::fs::symlink_metadata(&place).await.is_ok() {
                found.push(place);
                break;
            }
        }
        if found.is_empty() {
            return Err(Error::not_found("argument \"directory\": there is no compose file in it").hint(
                "it is looked for as compose.yaml, compose.yml, docker-compose.yml; name others with \"files\"",
            ));
        }
    }
    Ok(found)
}

/// A file beside others, or by its own way.
fn placed(directory: &Path, file: &str) -> PathBuf {
    if file.starts_with('/') { below(Path::new("/"), file) } else { below(directory, file) }
}

/// The name of a project: small letters, digits, `_` and `-`, as compose takes it.
///
/// # Errors
/// `invalid`.
pub(crate) fn name(project: &str) -> Result<&str> {
    let plain =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || "_-".contains(character);
    let begins = project.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    if begins && project.len() <= 255 && project.chars().all(plain) {
        return Ok(project);
    }
    Err(Error::invalid(format!("argument \"project\": {} cannot be a project's name", quote(project)))
        .hint("small letters, digits, \"_\" and \"-\", with a letter or a digit in front"))
}

/// The variables that the CLI found no value for, off its warnings: `The \"X\" variable is not set.`
fn unset(messages: &str) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    for line in messages.lines().filter(|line| line.contains("variable is not set")) {
        let name = line.split("The ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let name = name.map(|name| name.trim_matches(['\\', '"'])).filter(|name| !name.is_empty());
        if let Some(name) = name.filter(|name| !names.contains(name)) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| format!("variable {} is not set: it counts as blank", quote(name))).collect()
}

impl Rendered {
    /// A run of compose on this project, and on no file.
    ///
    /// # Errors
    /// `unsupported` where compose is not installed.
    pub(crate) fn compose(&self, docker: &Docker, call: &Call) -> Result<Cli> {
        Ok(composing(&self.name, docker, call)?.reading(self.text()))
    }

    /// What stands in front of the command: the project is read from standard input.
    pub(crate) fn arguments(&self) -> Vec<String> {
        // Nothing is filled in any more: a file of variables in the directory is left alone.
        let own = ["--env-file", "/dev/null", "--file", "-"];
        let place = ["--project-name", self.name.as_str(), "--project-directory", self.directory.as_str()];
        place.into_iter().chain(own).map(str::to_owned).collect()
    }

    /// Adds to a plan all that is asked of the engine: its images, documents for the rules, and the project as it is
    /// now, to which an approval is bound.
    ///
    /// # Errors
    /// `internal` when a document cannot be written; those of the look at what is there.
    pub(crate) async fn planned(&self, plan: Plan, reading: &Docker) -> Result<Plan> {
        let services: Vec<String> = self.services().map(|(name, _)| name.to_owned()).collect();
        let plan = self.images().fold(plan, Plan::using);
        let kinds = [BodyKind::Container, BodyKind::Build, BodyKind::Volume, BodyKind::Network];
        self.planned_for(plan, &services, &kinds, reading).await
    }

    /// The same for some services and some kinds of documents, without their images.
    ///
    /// # Errors
    /// As [`Rendered::planned`].
    pub(crate) async fn planned_for(
        &self,
        mut plan: Plan,
        services: &[String],
        kinds: &[BodyKind],
        reading: &Docker,
    ) -> Result<Plan> {
        let share = self
            .services()
            .any(|(name, service)| services.iter().any(|chosen| chosen == name) && bodies::shares(service));
        let there =
            if share && kinds.contains(&BodyKind::Container) { self.there(reading).await? } else { BTreeMap::new() };
        for (kind, document) in
            bodies::bodies(self, services, &there).into_iter().filter(|(kind, _)| kinds.contains(kind))
        {
            plan = plan.sending(kind, &document)?;
        }
        plan.marks.insert(PROJECT.to_owned(), self.name.clone());
        Ok(plan.on([self.object()]))
    }

    /// The ids of the containers that its services have, by service.
    async fn there(&self, reading: &Docker) -> Result<BTreeMap<String, Vec<String>>> {
        let mut there = BTreeMap::<String, Vec<String>>::new();
        for container in containers::of(reading, &self.name).await? {
            // One without an id cannot be named in what is sent.
            if let Some(service) = container.label(SERVICE).filter(|_| !container.id.is_empty()) {
                there.entry(service.to_owned()).or_default().push(container.id);
            }
        }
        Ok(there)
    }

    /// The project as an object: who says yes says it to this definition.
    pub(crate) fn object(&self) -> Object {
        Object::defined(ObjectKind::Project, &self.name, &self.document)
    }

    /// Holds a project that was put together anew to the one that was planned.
    ///
    /// # Errors
    /// `conflict` where its files were changed meanwhile.
    pub(crate) fn is_as_planned(&self, plan: &Plan) -> Result<()> {
        let planned = plan.objects.iter().find(|object| object.kind == ObjectKind::Project);
        if planned.is_some_and(|planned| planned.digest == self.object().digest) {
            return Ok(());
        }
        Err(Error::conflict("the project's files have changed since the call was decided")
            .hint("make the call again: it is decided anew"))
    }

    /// Refuses services that the project does not have, and names that the CLI would take for options.
    ///
    /// # Errors
    /// `not_found`, naming those that it has; `invalid`.
    pub(crate) fn know<'a>(&self, asked: impl IntoIterator<Item = &'a String>) -> Result<()> {
        let known: Vec<&str> = self.services().map(|(name, _)| name).collect();
        known.iter().try_for_each(|name| positional("services", name).map(drop))?;
        match asked.into_iter().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => {
                Err(Error::not_found(format!("project {} has no service {}", quote(&self.name), quote(name)))
                    .hint(format!("it has {}; others may need a profile", known.join(", "))))
            }
        }
    }

    /// What the person should know before it runs on this host: variables without a value, directories of the gateway's
    /// machine that the host does not have.
    pub(crate) fn warnings_on(&self, docker: &Docker) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if !docker.config().endpoint.is_local() {
            let mut binds: Vec<&str> = self.own_binds().collect();
            binds.sort_unstable();
            binds.dedup();
            let binds = binds.into_iter().take(WARNINGS);
            warnings.extend(binds.map(|bind| {
                format!("bind {} is a directory of the gateway's machine: on the host it will be empty, unless it is there too", quote(bind))
            }));
        }
        warnings
    }
}

/// A run of compose on a project; its labels are the program's own.
///
/// # Errors
/// `unsupported` where compose is not installed.
pub(crate) fn composing(project: &str, docker: &Docker, call: &Call) -> Result<Cli> {
    let cli = docker.cli(call.programs(), Some("compose"))?;
    // Builds go through the engine's classic builder, which the guard can look into.
    Ok(cli
        .variable("DOCKER_BUILDKIT", "0")
        .variable("COMPOSE_ANSI", "never")
        .sifting(Contexts(call.files().sieve()))
        .marking(Mark::Prefix("com.docker.compose."))
        .marking(Mark::Exact(PROJECT.to_owned(), project.to_owned())))
}
