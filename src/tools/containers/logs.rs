//! Logs: read through a bounded window, filtered here, never refused for their size.

use crate::{
    docker::{
        Docker, Target,
        stream::{Line, Lines},
    },
    error::Result,
    redact,
    tool::Object,
};

/// The last few lines of a container, stripped, each cut after 200 characters.
pub(super) async fn last_lines(docker: &Docker, container: &Object, tail: usize) -> Result<Vec<String>> {
    let target = Target::new(format!("/containers/{}/logs", container.id))
        .query("stdout", "1")
        .query("stderr", "1")
        .query("tail", tail.to_string());
    let mut stream = docker.bytes(target).await?;
    let mut lines = Lines::new(stream.multiplexed().unwrap_or(!container.is("/Config/Tty")));
    let mut found = Vec::new();
    let mut keep = |line: Line| found.push(redact::plain(&line.text).chars().take(200).collect());
    while let Some(chunk) = stream.next().await? {
        lines.push(&chunk, &mut keep)?;
    }
    lines.finish(keep);
    Ok(found)
}
