//! What Docker Scout knows of images: weaknesses, better bases, what is in them. The docker CLI's own plugin asks its service.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{
        Docker,
        cli::Cli,
        names::{self, quote},
    },
    error::{Error, Kind, Result},
    tool::{Access, Call, Permission, Plan, Program, Text, Tool, Toolset, def},
    tools::{authorization::Authorization, pull::reference::Reference, view::clipped},
};

/// The toolset, which is also this file's table of contents.
pub const SCOUT: Toolset = Toolset {
    name: "scout",
    about: "Known weaknesses, better base images and the contents of images, by Docker Scout; needs a Docker account.",
    tools: &[
        def::<ScoutCves>,
        def::<ScoutQuickview>,
        def::<ScoutRecommendations>,
        def::<ScoutCompare>,
        def::<ScoutSbom>,
    ],
};

/// An image in its registry is a read; one of the host is exported to this machine.
const ACCESS: Access = Access::READ.sometimes(Permission::Files);
/// How long the service may take: it reads an image that it does not know yet.
const PATIENCE: Duration = Duration::from_secs(300);
/// The plugin.
const PLUGIN: &str = "scout";
/// Whose account the service asks for.
const HUB: &str = "docker.io";
/// How much of what it prints is read, in bytes.
const LARGEST: usize = 1 << 20;
/// How many lines of it are answered, and how long one is.
const LINES: usize = 400;
const LONGEST: usize = 200;

/// How bad a weakness is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Critical,
    High,
    Medium,
    Low,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

/// Lists known vulnerabilities (CVEs) of an image by package, with the version that mends each.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoutCves {
    /// Reference.
    image: String,
    /// The host's own, exported here. Default: false.
    #[serde(default)]
    local: bool,
    /// Such as `linux/arm64`.
    #[serde(default)]
    platform: Option<String>,
    /// Only these severities.
    #[serde(default)]
    severity: Vec<Severity>,
    /// Only those that a newer version mends. Default: false.
    #[serde(default)]
    only_fixed: bool,
    /// Leaves out those of the base image. Default: false.
    #[serde(default)]
    ignore_base: bool,
}

/// Sums up the vulnerabilities of an image, of its base, and of a refreshed base.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoutQuickview {
    /// Reference.
    image: String,
    /// The host's own, exported here. Default: false.
    #[serde(default)]
    local: bool,
}

/// Recommends base images with fewer vulnerabilities.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoutRecommendations {
    /// Reference.
    image: String,
    /// The host's own, exported here. Default: false.
    #[serde(default)]
    local: bool,
}

/// Compares two images: packages and vulnerabilities that came and went.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoutCompare {
    /// Reference of the new one.
    image: String,
    /// Reference of the old one.
    to: String,
    /// The host's own, exported here. Default: false.
    #[serde(default)]
    local: bool,
    /// Leaves out packages that stayed. Default: false.
    #[serde(default)]
    ignore_unchanged: bool,
}

/// Lists the packages in an image (its SBOM).
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScoutSbom {
    /// Reference.
    image: String,
    /// The host's own, exported here. Default: false.
    #[serde(default)]
    local: bool,
    /// Such as `linux/arm64`.
    #[serde(default)]
    platform: Option<String>,
    /// Such as `deb`, `apk`, `npm`.
    #[serde(default)]
    package_type: Option<String>,
}

/// A question to the service.
struct Question<'a> {
    command: &'static str,
    images: Vec<(&'static str, &'a str)>,
    local: bool,
    platform: Option<&'a str>,
    options: Vec<String>,
}

impl<'a> Question<'a> {
    fn of(command: &'static str, image: &'a str, local: bool, platform: Option<&'a str>, options: Vec<String>) -> Self {
        Self { command, images: vec![("image", image)], local, platform, options }
    }

    /// Looks at its arguments, and finds out what is exported.
    async fn plan(&self, reading: &Docker) -> Result<Plan> {
        self.check()?;
        let mut plan = Plan::declared(ACCESS);
        for (argument, image) in &self.images {
            if self.local {
                plan = plan.on([reading.image(argument, image).await?]).needing(Permission::Files).using(*image);
            } else {
                let full = Reference::of(image).of_one().canonical();
                reading.may_ask(Reference::of(&full).registry()).await?;
                plan = plan.using(full);
            }
        }
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        for (argument, image) in &self.images {
            names::image(argument, image)?;
            if !self.local && names::is_image_id(image) {
                return Err(Error::invalid(format!("argument \"{argument}\": {} is an id", quote(image)))
                    .hint("a registry knows images by reference; with \"local\" the host's own copy is taken"));
            }
        }
        let plain = |text: &str| text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
        let is_platform = |platform: &str| {
            let starts = platform.starts_with(|first: char| first.is_ascii_alphanumeric());
            plain(platform) && starts && platform.len() <= 64
        };
        match self.platform {
            Some(platform) if !is_platform(platform) => {
                Err(Error::invalid(format!("argument \"platform\": {} is none", quote(platform)))
                    .hint("os/architecture[/variant], such as \"linux/arm64\""))
            }
            _ => Ok(()),
        }
    }

    /// The arguments of the plugin; `plan` has the ids of what is exported.
    fn arguments(&self, plan: &Plan) -> Vec<String> {
        let mut arguments = vec![self.command.to_owned()];
        arguments.extend(self.platform.map(|platform| format!("--platform={platform}")));
        arguments.extend(self.options.iter().cloned());
        let mut images: Vec<String> = if self.local {
            // Two names of one image are one object.
            let id = |image: &str| plan.objects.iter().find(|object| object.asked == image).or(plan.objects.first());
            self.images.iter().filter_map(|(_, image)| Some(format!("local://{}", id(image)?.id))).collect()
        } else {
            plan.images.iter().map(|image| format!("registry://{image}")).collect()
        };
        if self.command == "compare"
            && let Some(old) = images.pop()
        {
            arguments.push(format!("--to={old}"));
        }
        arguments.extend(images);
        arguments
    }

    /// Asks it.
    async fn ask(&self, plan: &Plan, docker: &Docker, call: &Call) -> Result<Text> {
        let of_images = self.images.iter().filter(|_| !self.local).map(|(_, image)| Reference::of(image).registry());
        let (logins, notes) = Authorization::logins([HUB].into_iter().chain(of_images), true, docker, call).await;
        let run = docker.cli(call.programs(), Some(PLUGIN))?.keeping(LARGEST);
        let run = logins.into_iter().fold(run, Cli::login);
        let ran = run.run(&self.arguments(plan), &|_, _| {}).await.map_err(refused)?;
        let shown = ran.shown();
        let all = shown.lines().count();
        let body: Vec<String> = shown.lines().take(LINES).map(|line| clipped(line.trim_end(), LONGEST)).collect();
        let images: Vec<&str> = self.images.iter().map(|(_, image)| *image).collect();
        let cut = if all > LINES { format!("; {} more lines are not shown", all - LINES) } else { String::new() };
        let notes: Vec<String> = notes.into_iter().chain(ran.notes.iter().cloned()).collect();
        let notes = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
        Ok(Text {
            source: format!("docker scout {} {}", self.command, images.join(" ")),
            body: body.join("\n"),
            summary: format!("{} lines of docker scout {}{cut}{notes}", body.len(), self.command),
        })
    }
}

/// Who is not logged in has to be told so by a person.
fn refused(error: Error) -> Error {
    let words = error.message().to_ascii_lowercase();
    let is_login =
        ["log in", "login", "logged in", "unauthorized", "authenticat"].iter().any(|word| words.contains(word));
    if error.kind() == Kind::Docker && is_login {
        return Error::denied("Docker Scout does not let the gateway in: it asks for a Docker account")
            .hint("ask the person to run \"docker login\" on the machine of Quaymaster")
            .detail(error.message());
    }
    error
}

impl Tool for ScoutCves {
    const NAME: &'static str = "scout_cves";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Scout);
    const OPEN_WORLD: bool = true;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.question().plan(reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.question().ask(&plan, docker, call).await
    }
}

impl Tool for ScoutQuickview {
    const NAME: &'static str = "scout_quickview";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Scout);
    const OPEN_WORLD: bool = true;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.question().plan(reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.question().ask(&plan, docker, call).await
    }
}

impl Tool for ScoutRecommendations {
    const NAME: &'static str = "scout_recommendations";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Scout);
    const OPEN_WORLD: bool = true;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.question().plan(reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.question().ask(&plan, docker, call).await
    }
}

impl Tool for ScoutCompare {
    const NAME: &'static str = "scout_compare";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Scout);
    const OPEN_WORLD: bool = true;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.question().plan(reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.question().ask(&plan, docker, call).await
    }
}

impl Tool for ScoutSbom {
    const NAME: &'static str = "scout_sbom";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Scout);
    const OPEN_WORLD: bool = true;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.question()?.plan(reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.question()?.ask(&plan, docker, call).await
    }
}

impl ScoutCves {
    fn question(&self) -> Question<'_> {
        let severities: Vec<&str> = self.severity.iter().map(|severity| severity.as_str()).collect();
        let mut options = Vec::new();
        options.extend((!severities.is_empty()).then(|| format!("--only-severity={}", severities.join(","))));
        options.extend(self.only_fixed.then(|| "--only-fixed".to_owned()));
        options.extend(self.ignore_base.then(|| "--ignore-base".to_owned()));
        Question::of("cves", &self.image, self.local, self.platform.as_deref(), options)
    }
}

impl ScoutQuickview {
    fn question(&self) -> Question<'_> {
        Question::of("quickview", &self.image, self.local, None, Vec::new())
    }
}

impl ScoutRecommendations {
    fn question(&self) -> Question<'_> {
        Question::of("recommendations", &self.image, self.local, None, Vec::new())
    }
}

impl ScoutCompare {
    fn question(&self) -> Question<'_> {
        let options = self.ignore_unchanged.then(|| "--ignore-unchanged".to_owned()).into_iter().collect();
        let mut question = Question::of("compare", &self.image, self.local, None, options);
        question.images.push(("to", &self.to));
        question
    }
}

impl ScoutSbom {
    fn question(&self) -> Result<Question<'_>> {
        let mut options = vec!["--format=list".to_owned()];
        if let Some(kind) = &self.package_type {
            let fits = kind.len() <= 32 && kind.chars().all(|letter| letter.is_ascii_alphanumeric());
            if !fits || kind.is_empty() {
                return Err(Error::invalid(format!("argument \"package_type\": {} is none", quote(kind)))
                    .hint("one word, such as \"deb\" or \"npm\""));
            }
            options.push(format!("--only-package-type={kind}"));
        }
        Ok(Question::of("sbom", &self.image, self.local, self.platform.as_deref(), options))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{docker::objects::Object, tool::ObjectKind};

    #[test]
    fn images_are_taken_from_their_registry_unless_the_hosts_own_are_meant() {
        let cves: ScoutCves = serde_json::from_value(json!({"image": "lab/base:1", "platform": "linux/arm64",
            "severity": ["critical", "high"], "only_fixed": true, "ignore_base": true}))
        .unwrap();
        let plan = Plan::declared(ACCESS).using("docker.io/lab/base:1");
        assert_eq!(
            cves.question().arguments(&plan),
            [
                "cves",
                "--platform=linux/arm64",
                "--only-severity=critical,high",
                "--only-fixed",
                "--ignore-base",
                "registry://docker.io/lab/base:1"
            ]
        );
        let compare: ScoutCompare = serde_json::from_value(json!({"image": "b:2", "to": "b:1"})).unwrap();
        let plan = Plan::declared(ACCESS).using("docker.io/library/b:2").using("docker.io/library/b:1");
        let expected = ["compare", "--to=registry://docker.io/library/b:1", "registry://docker.io/library/b:2"];
        assert_eq!(compare.question().arguments(&plan), expected);
        let sbom: ScoutSbom =
            serde_json::from_value(json!({"image": "b", "local": true, "package_type": "deb"})).unwrap();
        let object = Object {
            asked: "b".to_owned(),
            ..Object::listed(ObjectKind::Image, "sha256:00".to_owned(), "b:latest".to_owned(), json!({}))
        };
        let plan = Plan::declared(ACCESS).on([object]);
        let expected = ["sbom", "--format=list", "--only-package-type=deb", "local://sha256:00"];
        assert_eq!(sbom.question().unwrap().arguments(&plan), expected);
    }

    #[test]
    fn strange_arguments_are_refused() {
        for (image, platform) in [("-x", None), ("a b", None), ("a", Some("--x")), ("a", Some("")), ("fs://etc", None)]
        {
            let question = Question::of("cves", image, false, platform, Vec::new());
            assert_eq!(question.check().unwrap_err().kind(), Kind::Invalid, "{image} {platform:?}");
        }
        let sbom: ScoutSbom = serde_json::from_value(json!({"image": "b", "package_type": "a,b"})).unwrap();
        assert!(sbom.question().is_err());
    }

    #[test]
    fn who_is_not_logged_in_is_told_who_can_mend_it() {
        let error =
            refused(Error::docker("docker scout ended with status 1: ERROR Log in with your Docker ID or email"));
        assert_eq!((error.kind(), error.hint_text().unwrap().contains("docker login")), (Kind::Denied, true));
        assert_eq!(refused(Error::docker("something else")).kind(), Kind::Docker);
    }
}
