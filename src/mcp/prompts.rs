//! Prompts: how a person starts a piece of work, with what is known put in.

use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};

use crate::{
    config::Mode,
    docker::names::quote,
    error::{Error, Result, nearest},
    gateway::Gateway,
    redact,
};

const SURVEY_HOSTS: &str = "survey_hosts";
const ABOUT: &str = "Look over every Docker host, local and remote, and report what is wrong where.";

/// The prompts whose tools were not denied.
pub(super) fn list(gateway: &Gateway) -> Vec<Prompt> {
    if gateway.catalogue().find("survey_hosts").is_err() {
        return Vec::new();
    }
    let focus = PromptArgument::new("focus").with_description("What matters most, such as a project or a symptom");
    vec![Prompt::new(SURVEY_HOSTS, Some(ABOUT), Some(vec![focus])).with_title("Survey all Docker hosts")]
}

/// A prompt by name.
pub(super) fn get(gateway: &Gateway, name: &str, arguments: &JsonObject) -> Result<GetPromptResult> {
    let known: Vec<String> = list(gateway).into_iter().map(|prompt| prompt.name).collect();
    if !known.iter().any(|prompt| prompt == name) {
        let near = nearest(name, known.iter().map(String::as_str));
        let hint =
            near.map_or_else(|| format!("prompts: {}", known.join(", ")), |near| format!("did you mean \"{near}\"?"));
        return Err(Error::invalid(format!("there is no prompt {}", quote(name))).hint(hint));
    }
    if let Some(unknown) = arguments.keys().find(|argument| *argument != "focus") {
        return Err(Error::invalid(format!("unknown argument {}", quote(unknown))).hint("allowed: focus"));
    }
    let focus = match arguments.get("focus").map(|focus| focus.as_str().unwrap_or_default()).map(str::trim) {
        None | Some("") => String::new(),
        Some(focus) => format!("\nWhat matters most to me: {focus}"),
    };
    let text = redact::shown(&format!("{}{focus}", survey(gateway)));
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).with_description(ABOUT))
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
