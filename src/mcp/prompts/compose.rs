//! Prompts about compose projects and stacks, with what is there of them put in.

use serde_json::json;

use super::{Argument, Given, Written};
use crate::tool::Json;

const HOST: Argument = Argument { name: "host", about: "The host. Default: the first", required: false };
/// How many containers are looked at for a prompt.
const MOST: usize = 5;

/// Those of the toolset `compose`, and of stacks.
pub(super) const PROMPTS: &[Written] = &[
    Written {
        name: "docker_compose",
        title: "Manage a project with compose",
        about: "Plan and apply what a compose project is to be, from its state now.",
        tool: "compose_up",
        arguments: &[
            Argument { name: "name", about: "The project's name", required: true },
            Argument { name: "containers", about: "What is to run, in words", required: true },
            HOST,
        ],
        text: |_, given| {
            format!(
                "Bring the compose project {}{} to this: {}\n\n\
                 1. Look at what is there (below; compose_ps and compose_config show more), and ask me what you cannot know: \
                 images, ports, data that must stay.\n\
                 2. Write the compose file. Pin image tags, give every service a health check where it has one, name volumes, \
                 put secrets into files or secret stores and not into the text.\n\
                 3. Call compose_up with it as \"yaml\" and dry_run, and show me as a list what would be created, recreated and \
                 removed. Change nothing until I say apply.\n\
                 4. On apply: the same call without dry_run and with wait, then compose_ps. On a failure: compose_logs of what \
                 is not healthy, and say what you would change.\n\
                 5. Keep to this project; remove volumes only when I name them.",
                given.text("name"),
                on(given),
                given.text("containers")
            )
        },
    },
    Written {
        name: "plan_compose_stack",
        title: "Plan a compose project",
        about: "Design a compose project from a description, and check it against a host without running it.",
        tool: "compose_config",
        arguments: &[Argument { name: "description", about: "What it has to do", required: true }, HOST],
        text: |_, given| {
            format!(
                "Plan a compose project{} for this: {}\n\n\
                 1. Call info and list_containers for the host: architecture, memory, ports that are taken, networks and \
                 volumes that exist.\n\
                 2. Choose images (search_images, registry_list_tags) and pin their tags.\n\
                 3. Write the compose file: health checks, limits, restart policies, named volumes, no more ports than needed, \
                 no secret in clear.\n\
                 4. Call compose_config with it as \"yaml\", then compose_up with dry_run; explain_policy tells what a rule of \
                 the host would ask or refuse.\n\n\
                 Show the file, what it would create, and what is still open. Run nothing.",
                on(given),
                given.text("description")
            )
        },
    },
    Written {
        name: "deploy_compose_project",
        title: "Deploy a compose project",
        about: "Bring a project of a directory up, with a look before and after.",
        tool: "compose_up",
        arguments: &[
            Argument { name: "directory", about: "Its directory on the gateway's machine", required: true },
            HOST,
        ],
        text: |_, given| {
            format!(
                "Deploy the compose project in {}{}.\n\n\
                 1. Call compose_config with it: name warnings, variables without a value, and binds that a remote host does \
                 not have.\n\
                 2. Call compose_up with dry_run. Show me what would be created, recreated and removed, and wait for my yes \
                 where something that runs would go.\n\
                 3. Call compose_up with wait. It may answer with a job: get_job waits for it.\n\
                 4. compose_ps; for what is not running and healthy compose_logs with a small tail.\n\n\
                 Report what runs, where it is published, and what is wrong.",
                given.text("directory"),
                on(given)
            )
        },
    },
    Written {
        name: "troubleshoot_compose_project",
        title: "Troubleshoot a compose project",
        about: "Find out why a compose project does not do what it should, from its state now.",
        tool: "compose_ps",
        arguments: &[Argument { name: "project", about: "The project's name", required: true }, HOST],
        text: |_, given| {
            format!(
                "Find out what is wrong with the compose project {}{}.\n\n\
                 1. Begin with what does not run or is unhealthy (below): inspect_container for exit code, out of memory, \
                 restarts; compose_logs with grep for errors, around the time when it began.\n\
                 2. What depends on what: a service that waits may be well itself.\n\
                 3. Networks and names: is each on the network of what it calls? compose_port and inspect_network.\n\
                 4. The host: disk_usage, container_stats, events of the last hour.\n\n\
                 Report the cause with its evidence, then the smallest change that mends it. Change nothing before I say so.",
                given.text("project"),
                on(given)
            )
        },
    },
    Written {
        name: "generate_compose",
        title: "Write a compose file for containers that run",
        about: "Write the compose file that would make the same containers anew.",
        tool: "inspect_container",
        arguments: &[Argument { name: "containers", about: "Their names, separated by commas", required: true }, HOST],
        text: |_, given| {
            format!(
                "Write a compose file for these containers{}: {}\n\n\
                 1. inspect_container with section all for each (the beginning is below); inspect_network and inspect_volume \
                 for what they share.\n\
                 2. Write services, networks and volumes; take over ports, mounts, limits, restart policy, health check, \
                 command. Leave out what the image says already.\n\
                 3. Values of variables are masked: name the variables and let me fill them in, in an env_file.\n\
                 4. Volumes and networks that exist are external, so that no data is lost.\n\
                 5. Call compose_config with it as \"yaml\" to see whether compose takes it.\n\n\
                 Show the file and what differs from what runs. Change nothing.",
                on(given),
                given.text("containers")
            )
        },
    },
    Written {
        name: "deploy_swarm_stack",
        title: "Deploy a stack to a swarm",
        about: "Deploy or update a stack out of a compose file, with a look before and after.",
        tool: "stack_deploy",
        arguments: &[
            Argument { name: "stack", about: "The stack's name", required: true },
            Argument { name: "file", about: "Its compose file on the gateway's machine", required: true },
            HOST,
        ],
        text: |_, given| {
            format!(
                "Deploy the stack {}{} out of {}.\n\n\
                 1. list_nodes: is there a manager, and are enough nodes ready?\n\
                 2. Compare the file with what is there (below): which services come, change and go. Configs and secrets \
                 cannot be changed, only replaced under another name.\n\
                 3. Call explain_policy for the stack_deploy that you would make; show me the plan and wait for my yes. Use \
                 prune only when I ask for it.\n\
                 4. stack_deploy, then wait_for with kind stack until converged; stack_ps for what fails, service_logs for why.\n\n\
                 Report services with running of wanted tasks, and what is wrong.",
                given.text("stack"),
                on(given),
                given.text("file")
            )
        },
    },
];

/// The calls that show what is there of what a prompt is about; they only read.
pub(super) fn looks(prompt: &str, given: &Given<'_>) -> Vec<(&'static str, Json)> {
    let mut looks = match prompt {
        "docker_compose" => vec![("compose_ps", json!({"project": given.text("name"), "all": true}))],
        "troubleshoot_compose_project" => {
            vec![("compose_ps", json!({"project": given.text("project"), "all": true}))]
        }
        "deploy_swarm_stack" => vec![("stack_services", json!({"stack": given.text("stack")}))],
        "generate_compose" => {
            let names = given.text("containers").split(',').map(str::trim).filter(|name| !name.is_empty());
            names.take(MOST).map(|name| ("inspect_container", json!({ "container": name }))).collect()
        }
        _ => Vec::new(),
    };
    let host = given.text("host");
    for (_, arguments) in looks.iter_mut().filter(|_| !host.is_empty()) {
        arguments["host"] = host.into();
    }
    let fields = |value: serde_json::Value| match value {
        serde_json::Value::Object(fields) => fields,
        _ => Json::new(),
    };
    looks.into_iter().map(|(tool, arguments)| (tool, fields(arguments))).collect()
}

/// ` on host x`, where one is named.
fn on(given: &Given<'_>) -> String {
    match given.text("host") {
        "" => String::new(),
        host => format!(" on host {host}"),
    }
}
