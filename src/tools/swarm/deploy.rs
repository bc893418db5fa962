//! Deploying stacks out of compose files, and removing them, through the docker CLI.

use std::{collections::BTreeSet, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PERMISSION, services::list::of_stack};
use crate::{
    docker::{
        Docker,
        cli::{Cli, Program, positional},
        names::quote,
    },
    error::{Error, Result},
    tool::{Access, Call, Course, Effect, LONGEST_JOB, ObjectKind, Permission, Plan, Summary, Tool, text::count},
    tools::{
        authorization::Authorization,
        listing::labelled,
        project::{Definition, Told},
        pull::reference::Reference,
        view::{filter, text},
    },
};

/// How the docker CLI labels what belongs to a stack.
const STACK: &str = "com.docker.stack.namespace";
/// Creates a stack's services, networks, secrets and configs in a swarm, or updates them.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct StackDeploy {
    /// Its name.
    stack: String,
    #[serde(flatten)]
    definition: Definition,
    /// Removes services that the files lack. Default: false.
    #[serde(default)]
    prune: bool,
    /// Gives nodes the gateway's credentials. Default: false.
    #[serde(default)]
    registry_auth: bool,
}

/// Removes a stack with its services, networks, secrets and configs. Volumes stay.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StackRm {
    /// Its name.
    stack: String,
}

/// What the CLI told of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Deployed {
    stack: String,
    services: Vec<String>,
    /// What was made, updated and removed.
    changes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip)]
    verb: &'static str,
}

impl Summary for Deployed {
    fn summary(&self) -> String {
        let services = count(self.services.len(), "service");
        let next = if self.verb == "deployed" { "; stack_ps shows how its tasks start" } else { "" };
        format!("stack {} with {services} was {}{next}", quote(&self.stack), self.verb)
    }
}

impl Tool for StackDeploy {
    const NAME: &'static str = "stack_deploy";
    const PROGRAM: Option<Program> = Some(Program::Docker);
    const ACCESS: Access = Access::destroy(PERMISSION).down_to(Effect::Mutate).sometimes(Permission::Networks);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Deployed;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let name = name(&self.stack)?;
        let stack = self.definition.stack(name, reading, call).await?;
        let wanted: BTreeSet<String> = stack.services().map(|service| format!("{name}_{service}")).collect();
        let mut plan = Plan::declared(Self::ACCESS).needing(Permission::Networks);
        let mut removes = false;
        for row in of_stack(reading, Some(name)).await? {
            let service = reading.service("stack", text(&row, "ID")).await?;
            let stays = wanted.contains(&service.name);
            removes |= self.prune && !stays;
            if stays || self.prune {
                plan = plan.on([service]);
            }
        }
        if !removes {
            plan = plan.at_most(Effect::Mutate);
        }
        stack.planned(plan)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Deployed> {
        let stack = self.definition.stack(&self.stack, docker, call).await?;
        stack.is_as_planned(&plan)?;
        let (mut cli, mut warnings) = (stack.deploying(docker, call)?, Vec::new());
        let mut arguments: Vec<String> = ["stack", "deploy", "--compose-file", "-"].map(str::to_owned).into();
        arguments.extend(self.prune.then(|| "--prune".to_owned()));
        if self.registry_auth {
            let registries: Vec<String> =
                stack.images().map(|image| Reference::of(image).registry().to_owned()).collect();
            let registries = registries.iter().map(String::as_str);
            let (logins, notes) = Authorization::logins(registries, false, docker, call).await;
            cli = logins.into_iter().fold(cli, Cli::login);
            warnings.extend(notes);
            arguments.push("--with-registry-auth".to_owned());
        }
        arguments.push(self.stack.clone());
        let services = stack.services().map(str::to_owned).collect();
        let (changes, more) = run(cli, &arguments, call).await?;
        warnings.extend(more);
        Ok(Deployed { stack: self.stack, services, changes, warnings, verb: "deployed" })
    }
}

impl Tool for StackRm {
    const NAME: &'static str = "stack_rm";
    const PROGRAM: Option<Program> = Some(Program::Docker);
    const ACCESS: Access = Access::destroy(PERMISSION).sometimes(Permission::Networks);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Deployed;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let name = name(&self.stack)?;
        let mut plan = Plan::declared(Self::ACCESS).needing(Permission::Networks);
        for row in of_stack(reading, Some(name)).await? {
            plan = plan.on_listed(reading.service("stack", text(&row, "ID")).await)?;
        }
        for row in labelled(reading, "/secrets", STACK, name).await? {
            plan = plan.on_listed(reading.secret("stack", text(&row, "ID")).await)?;
        }
        for row in labelled(reading, "/configs", STACK, name).await? {
            plan = plan.on_listed(reading.swarm_config("stack", text(&row, "ID")).await)?;
        }
        for row in labelled(reading, "/networks", STACK, name).await? {
            plan = plan.on_listed(reading.network("stack", text(&row, "Id")).await)?;
        }
        if plan.objects.is_empty() {
            return Err(
                Error::not_found(format!("there is no stack {}", quote(name))).hint("stack_ls shows what there is")
            );
        }
        Ok(plan)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Deployed> {
        let cli = docker.cli(call.programs(), None)?;
        let (changes, warnings) = run(cli, &["stack".to_owned(), "rm".to_owned(), self.stack.clone()], call).await?;
        let services = plan.objects.iter().filter(|object| object.kind == ObjectKind::Service);
        let services = services.map(|service| service.name.clone()).collect();
        Ok(Deployed { stack: self.stack, services, changes, warnings, verb: "removed" })
    }
}

/// Runs the CLI; what it told of the stack's objects, and what it warned of.
async fn run(cli: Cli, arguments: &[String], call: &Call) -> Result<(Vec<String>, Vec<String>)> {
    let told = Told::to(call);
    let ran = cli.run(arguments, &told.listener()).await?;
    let told = told.lines();
    let (mut changes, mut warnings) = (Vec::new(), ran.notes);
    for line in told.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let is_change = ["Creating ", "Updating ", "Removing "].iter().any(|verb| line.starts_with(verb));
        if is_change { &mut changes } else { &mut warnings }.push(line.to_owned());
    }
    Ok((changes, warnings))
}

/// The name of a stack.
fn name(stack: &str) -> Result<&str> {
    filter("stack", stack)?;
    if stack.chars().any(|letter| !letter.is_ascii_alphanumeric() && !"_-".contains(letter)) {
        return Err(Error::invalid(format!("argument \"stack\": {} cannot be a stack's name", quote(stack)))
            .hint("letters, digits, \"_\" and \"-\""));
    }
    positional("stack", stack)
}
