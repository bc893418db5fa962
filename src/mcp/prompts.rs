//! Prompts: how a person starts a piece of work, with what is known put in.

mod compose;
mod images;

use std::{sync::Arc, time::Duration};

use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};

use crate::{
    config::Mode,
    docker::names::quote,
    error::{Error, Result, nearest},
    gateway::{Failure, Gateway, Request, caller::Caller},
    redact,
};

/// How long a look at what is there may take.
const LOOK: Duration = Duration::from_secs(8);
/// The longest value of an argument, in characters.
const LONGEST: usize = 500;

/// A prompt, declared once.
struct Written {
    name: &'static str,
    title: &'static str,
    about: &'static str,
    /// The tool that it begins with: it goes with that.
    tool: &'static str,
    arguments: &'static [Argument],
    text: fn(&Gateway, &Given<'_>) -> String,
}

/// An argument of a prompt.
struct Argument {
    name: &'static str,
    about: &'static str,
    required: bool,
}

/// What was given for the arguments.
struct Given<'a>(&'a JsonObject);

impl Given<'_> {
    /// The value of an argument; empty where it is not given.
    fn text(&self, argument: &str) -> &str {
        self.0.get(argument).and_then(|value| value.as_str()).unwrap_or_default().trim()
    }
}

/// The prompt that needs nothing.
const SURVEY: Written = Written {
    name: "survey_hosts",
    title: "Survey all Docker hosts",
    about: "Look over every Docker host, local and remote, and report what is wrong where.",
    tool: "survey_hosts",
    arguments: &[Argument {
        name: "focus",
        about: "What matters most, such as a project or a symptom",
        required: false,
    }],
    text: |gateway, given| {
        let focus = match given.text("focus") {
            "" => String::new(),
            focus => format!("\nWhat matters most to me: {focus}"),
        };
        format!("{}{focus}", survey(gateway))
    },
};

/// Those whose tools exist here: they were not denied, what they run is installed, what they see is granted.
fn written(gateway: &Gateway) -> impl Iterator<Item = &'static Written> {
    let exists = |written: &&Written| {
        gateway.catalogue().find(written.tool).is_ok_and(|entry| {
            let is_granted = !entry.card.cli_config || gateway.config().cli_config;
            is_granted && gateway.catalogue().missing(&entry.card).is_none()
        })
    };
    [&SURVEY].into_iter().chain(compose::PROMPTS).chain(images::PROMPTS).filter(exists)
}

/// The prompts whose tools exist here.
pub(super) fn list(gateway: &Gateway) -> Vec<Prompt> {
    let argument = |argument: &Argument| {
        let Argument { name, about, required } = argument;
        let described = PromptArgument::new(*name).with_description(*about);
        if *required { described.with_required(true) } else { described }
    };
    let prompt = |written: &Written| {
        let arguments: Vec<PromptArgument> = written.arguments.iter().map(argument).collect();
        let arguments = (!arguments.is_empty()).then_some(arguments);
        Prompt::new(written.name, Some(written.about), arguments).with_title(written.title)
    };
    written(gateway).map(prompt).collect()
}

/// A prompt by name, with what is there of what it is about.
pub(super) async fn get(
    gateway: &Arc<Gateway>,
    caller: Caller,
    name: &str,
    arguments: &JsonObject,
) -> Result<GetPromptResult> {
    let (written, given) = chosen(gateway, name, arguments)?;
    let mut text = (written.text)(gateway, &given);
    for (tool, arguments) in compose::looks(written.name, &given) {
        let told = tokio::time::timeout(LOOK, gateway.call(Request::new(caller.clone(), tool, arguments))).await;
        let told = match told {
            Ok(Ok(answer)) => answer.text,
            Ok(Err(Failure::Tool(error) | Failure::UnknownTool(error))) => error.to_string(),
            Ok(Err(Failure::Asked { .. })) | Err(_) => "it did not answer in time".to_owned(),
        };
        text.extend(["\n\nAs ", tool, " shows it now:\n", told.as_str()]);
    }
    let text = redact::shown(&text);
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).with_description(written.about))
}

/// A prompt and its arguments, checked.
fn chosen<'a>(gateway: &Gateway, name: &str, arguments: &'a JsonObject) -> Result<(&'static Written, Given<'a>)> {
    let Some(written) = written(gateway).find(|written| written.name == name) else {
        let known: Vec<&str> = written(gateway).map(|written| written.name).collect();
        let near = nearest(name, known.iter().copied());
        let hint =
            near.map_or_else(|| format!("prompts: {}", known.join(", ")), |near| format!("did you mean \"{near}\"?"));
        return Err(Error::invalid(format!("there is no prompt {}", quote(name))).hint(hint));
    };
    let known: Vec<&str> = written.arguments.iter().map(|argument| argument.name).collect();
    if let Some(unknown) = arguments.keys().find(|argument| !known.contains(&argument.as_str())) {
        let allowed =
            if known.is_empty() { "it takes none".to_owned() } else { format!("allowed: {}", known.join(", ")) };
        return Err(Error::invalid(format!("unknown argument {}", quote(unknown))).hint(allowed));
    }
    let given = Given(arguments);
    for argument in written.arguments {
        if argument.required && given.text(argument.name).is_empty() {
            return Err(Error::invalid(format!("argument \"{}\" is missing", argument.name)).hint(argument.about));
        }
        if given.text(argument.name).chars().count() > LONGEST {
            return Err(
                Error::invalid(format!("argument \"{}\" is too long", argument.name)).hint("at most 500 characters")
            );
        }
    }
    Ok((written, given))
}

fn survey(gateway: &Gateway) -> String {
    let configs = gateway.fleet().configs();
    let mut hosts: Vec<String> = configs
        .iter()
        .take(15)
        .map(|config| {
            let mode = match config.mode {
                Mode::Rw => "",
                Mode::Nd => " (nothing may be destroyed)",
                Mode::Ro => " (read-only)",
            };
            let note = config.note.as_ref().map(|note| format!(" - {note}")).unwrap_or_default();
            format!("- {}{mode}{note}", config.name)
        })
        .collect();
    if configs.len() > hosts.len() {
        hosts.push(format!("- and {} more", configs.len() - hosts.len()));
    }
    format!(
        "Survey all my Docker hosts and tell me what needs attention.\n\n\
         Hosts:\n{}\n\n\
         1. Call survey_hosts once; it asks every host in parallel and answers what is wrong.\n\
         2. For each problem look closer on that host only: inspect_container, container_logs with a small tail.\n\
         3. A host that does not answer is reported with what the tool said; do not try other ways to it.\n\
         4. Change nothing. Where a change would help, say on which host and which call; for a read-only host say what I \
         should run myself.\n\n\
         Report one line for each host, worst first, then the problems with their evidence, then what you suggest.",
        hosts.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use serde_json::json;

    use super::*;
    use crate::config::{Config, Environment, Flags};

    fn gateway(home: &Path, set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
        let environment = Environment {
            variables: [("PATH".to_owned(), home.join("bin").display().to_string())].into(),
            home: Some(home.to_owned()),
            ..Environment::default()
        };
        let flags = Flags { hosts: vec!["local=unix:///nowhere.sock".into()], ..Flags::default() };
        let mut config = Config::load(&environment, &flags).unwrap();
        set(&mut config);
        Gateway::new(config, environment).unwrap()
    }

    fn names(gateway: &Gateway) -> Vec<String> {
        list(gateway).into_iter().map(|prompt| prompt.name).collect()
    }

    #[tokio::test]
    async fn a_prompt_is_there_with_its_tool() {
        let home = tempfile::tempdir().unwrap();
        let few = names(&gateway(home.path(), |config| config.cli_config = true));
        assert_eq!(few, ["survey_hosts", "troubleshoot_compose_project", "generate_compose"]);
        for file in [
            "bin/docker",
            ".docker/cli-plugins/docker-buildx",
            ".docker/cli-plugins/docker-compose",
            ".docker/cli-plugins/docker-scout",
        ] {
            let file = home.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let number = compose::PROMPTS.len() + images::PROMPTS.len();
        assert_eq!(names(&gateway(home.path(), |_| {})).len(), number);
        let all = gateway(home.path(), |config| config.cli_config = true);
        assert_eq!(names(&all).len(), number + 1);
        let denied = gateway(home.path(), |config| {
            config.deny = ["scout", "compose", "swarm", "survey_hosts", "inspect_container"].map(str::to_owned).into();
        });
        assert!(names(&denied).iter().all(|name| name.contains("multiarch")), "{:?}", names(&denied));

        let get = async |name: &str, arguments: serde_json::Value| {
            let got = get(&all, Caller::test(), name, arguments.as_object().unwrap()).await;
            got.map(|prompt| serde_json::to_string(&prompt).unwrap())
        };
        let text = get("compare_image_versions", json!({"old": "lab/web:1", "new": "lab/web:2"})).await.unwrap();
        assert!(text.contains("lab/web:1 (old) with lab/web:2 (new)"), "{text}");
        for (name, arguments) in [
            ("compare_image_versions", json!({"old": "lab/web:1"})),
            ("audit_docker_contexts", json!({"x": "y"})),
            ("audit_image_cves", json!({"image": "x".repeat(501)})),
            ("audit_images", json!({})),
        ] {
            assert!(get(name, arguments).await.is_err(), "{name}");
        }
        // What is there is looked up; a host that does not answer is said, and the prompt is there all the same.
        let text = get("troubleshoot_compose_project", json!({"project": "shop", "host": "local"})).await.unwrap();
        assert!(text.contains("project shop on host local") && text.contains("As compose_ps shows it now"), "{text}");
    }

    #[test]
    fn prompts_name_tools_that_there_are() {
        let home = tempfile::tempdir().unwrap();
        let gateway = gateway(home.path(), |_| {});
        let empty = JsonObject::new();
        for written in [&SURVEY].into_iter().chain(compose::PROMPTS).chain(images::PROMPTS) {
            let text = (written.text)(&gateway, &Given(&empty));
            let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let names = words.filter(|word| {
                word.contains('_') && !["dry_run", "only_fixed", "ignore_unchanged", "env_file"].contains(word)
            });
            let mut found = 0;
            for name in names {
                assert!(gateway.catalogue().find(name).is_ok(), "{}: {name}", written.name);
                found += 1;
            }
            assert!(found > 0 && text.len() < 2_500, "{}", written.name);
        }
    }
}
