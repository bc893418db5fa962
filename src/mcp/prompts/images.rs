//! Prompts about images of several platforms, what Docker Scout knows of images, and the docker CLI's contexts.

use super::{Argument, Written};

const IMAGE: Argument = Argument { name: "image", about: "Reference of the image", required: true };

/// Those of the toolsets `buildx`, `scout` and `context`.
pub(super) const PROMPTS: &[Written] = &[
    Written {
        name: "plan_multiarch_build",
        title: "Plan a build for several platforms",
        about: "Find out what a build of an image for several platforms needs here, and plan it.",
        tool: "buildx_build",
        arguments: &[IMAGE, Argument { name: "platforms", about: "Such as linux/amd64,linux/arm64", required: true }],
        text: |_, given| {
            format!(
                "Plan a build of {} for {}. Build nothing yet.\n\n\
                 1. Call buildx_ls on the host that should build: a builder in a container can build for several \
                 platforms, the host's own mostly for its own. Where there is none, say that buildx_create makes one in a \
                 privileged container, which a person may have to approve.\n\
                 2. Read the Dockerfile: base images with buildx_imagetools_inspect (is every platform there?), downloads \
                 and compilers that are for one architecture, what cross-compiles and what would be emulated.\n\
                 3. Call explain_policy for the buildx_build that you would make, to see what is asked or refused.\n\n\
                 Report which platforms work as they are, what has to change for the others, the buildx_build call with all \
                 its arguments, and what it publishes.",
                given.text("image"),
                given.text("platforms")
            )
        },
    },
    Written {
        name: "inspect_multiarch_manifest",
        title: "Inspect an image of several platforms",
        about: "Show which platforms an image is there for in its registry, and what stands out.",
        tool: "buildx_imagetools_inspect",
        arguments: &[IMAGE],
        text: |_, given| {
            format!(
                "Tell me what the registry has under {}.\n\n\
                 1. Call buildx_imagetools_inspect with it; where the registry is refused, registry_inspect_manifest.\n\
                 2. Compare with the hosts: info shows the architecture of each. Is there a platform for every host?\n\
                 3. registry_get_config for each platform: are they of the same build (created, labels, user, command)?\n\n\
                 Report one line for each platform with its digest, then what is missing or differs. Change nothing.",
                given.text("image")
            )
        },
    },
    Written {
        name: "create_multiarch_manifest",
        title: "Put an image of several platforms together",
        about: "Put one image together of images that are in registries already, with a look before and after.",
        tool: "buildx_imagetools_create",
        arguments: &[
            Argument { name: "target", about: "The name that it gets, with registry and tag", required: true },
            Argument { name: "sources", about: "References of what it is put together of", required: true },
        ],
        text: |_, given| {
            format!(
                "Put {} together of {}.\n\n\
                 1. Call buildx_imagetools_inspect with every source: each must be there, and no platform twice.\n\
                 2. Inspect the target: say what is there now and would be replaced.\n\
                 3. Call buildx_imagetools_create with dry_run, and show me the platforms. It publishes and cannot be undone: \
                 wait for my yes.\n\
                 4. Call it without dry_run, then inspect the target and report its digest and platforms.",
                given.text("target"),
                given.text("sources")
            )
        },
    },
    Written {
        name: "audit_image_cves",
        title: "Audit an image for known vulnerabilities",
        about: "Find the known vulnerabilities of an image that matter, where it runs, and what mends them.",
        tool: "scout_cves",
        arguments: &[IMAGE],
        text: |_, given| {
            format!(
                "Audit {} for known vulnerabilities.\n\n\
                 1. Call scout_quickview for the sums, then scout_cves with severity critical and high.\n\
                 2. Once more with only_fixed: what mends itself by an update?\n\
                 3. Find where it runs: find with the image's name over all hosts; inspect_container for published ports and \
                 users, since what is reachable matters first.\n\n\
                 Report the findings that matter, worst first: package, version, the version that mends it, which containers \
                 on which hosts. Then the shortest way to mend most of them. Change nothing.",
                given.text("image")
            )
        },
    },
    Written {
        name: "compare_image_versions",
        title: "Compare two versions of an image",
        about: "Compare two images: packages, vulnerabilities, configuration; and whether the new one can take over.",
        tool: "scout_compare",
        arguments: &[
            Argument { name: "old", about: "Reference of the old image", required: true },
            Argument { name: "new", about: "Reference of the new image", required: true },
        ],
        text: |_, given| {
            format!(
                "Compare the image {} (old) with {} (new).\n\n\
                 1. Call scout_compare with image = the new one and to = the old one, ignore_unchanged set.\n\
                 2. registry_get_config of both: user, command, ports, volumes, variables.\n\
                 3. Find containers of the old one over all hosts.\n\n\
                 Report vulnerabilities that go and that come, changes of configuration that a container could trip over, and \
                 whether the new one can take over. Change nothing.",
                given.text("old"),
                given.text("new")
            )
        },
    },
    Written {
        name: "recommend_base_image",
        title: "Recommend a better base image",
        about: "Find a base image with fewer vulnerabilities for an image, and what the change would cost.",
        tool: "scout_recommendations",
        arguments: &[IMAGE],
        text: |_, given| {
            format!(
                "Recommend a better base image for {}.\n\n\
                 1. Call scout_recommendations with it, and scout_quickview for where it stands.\n\
                 2. For the best two candidates: buildx_imagetools_inspect or registry_inspect_manifest (platforms, size).\n\
                 3. Look at image_history for what is installed on the present base: would it be there on the new one?\n\n\
                 Report one recommendation with its reason, the line of the Dockerfile to change, and what to test. Change \
                 nothing.",
                given.text("image")
            )
        },
    },
    Written {
        name: "audit_docker_contexts",
        title: "Audit the docker CLI's contexts",
        about: "Look over the docker CLI's contexts on the gateway's machine: what leads where, and what is careless.",
        tool: "context_ls",
        arguments: &[],
        text: |_, _| {
            "Audit the docker CLI's contexts on the gateway's machine.\n\n\
             1. Call context_ls, then context_inspect for each.\n\
             2. Look for: TCP without TLS beyond this machine, endpoints whose certificate nobody verifies, an \
             unexpected context in use, two names of one endpoint, contexts that report an error.\n\
             3. Compare with list_hosts: which endpoints does Quaymaster not know, and which of its hosts have no context?\n\n\
             Report one line for each context, then what should change and the call or command for it. Change nothing."
                .to_owned()
        },
    },
];
