//! Files out of a container: a text inline, anything else into a file of the gateway's machine.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{
        Docker,
        archive::PathStat,
        names::quote,
        stream::{self, Source},
    },
    error::{Error, Result},
    files::{Archived, checked, unwrapped},
    tool::{Access, Answer, Call, Json, LONGEST_JOB, Object, Output, Permission, Plan, Summary, Text, Tool},
    tools::{
        copy::{Fetched, fetched, inside, opened},
        redaction::{Redaction, told},
        transfer::{received, unsound},
        view::bytes,
    },
};

/// The most of a text that is looked at, in bytes.
const LONGEST_TEXT: usize = 64 << 10;
/// The most of it that is answered, in characters.
const SHOWN: usize = 20_000;
/// The most that is answered as base64, in bytes.
const LONGEST_BASE64: usize = 16 << 10;

/// Reads a file or directory of a container, running or not.
///
/// Without `to` the answer holds it, up to 16 KiB.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetContainerArchive {
    /// Name or id.
    container: String,
    /// An absolute path in the container.
    path: String,
    /// A new file below `files.roots`: a file as it is, a directory as a tar.
    #[serde(default)]
    to: Option<String>,
    /// Replaces a file. Default: false.
    #[serde(default)]
    overwrite: bool,
}

/// What was got: in the answer, or in a file.
pub(super) enum Got {
    Inline(Text),
    Kept(Kept),
}

/// What is in a file now.
#[derive(Serialize, JsonSchema)]
pub(super) struct Kept {
    container: String,
    path: String,
    to: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    /// How many links of a tar lead out of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    links_that_lead_out: Option<u64>,
}

impl Summary for Kept {
    fn summary(&self) -> String {
        format!("\"{}\" of container \"{}\" is in \"{}\" ({})", self.path, self.container, self.to, bytes(self.bytes))
    }
}

impl Output for Got {
    fn schema() -> Option<Json> {
        None
    }

    fn answer(self, host: Option<&str>) -> Result<Answer> {
        match self {
            Self::Inline(text) => text.answer(host),
            Self::Kept(kept) => Ok(Answer::new(None, kept.answer(host)?.text)),
        }
    }
}

impl Tool for GetContainerArchive {
    const NAME: &'static str = "get_container_archive";
    const ACCESS: Access = Access::READ.always(Permission::Files);
    type Output = Got;

    fn deadline(&self) -> Option<Duration> {
        self.to.is_some().then_some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        inside("path", &self.path)?;
        let container = reading.container("container", &self.container).await?;
        if let Some(to) = &self.to {
            call.files().can_create("to", to, self.overwrite).await?;
        }
        Ok(Plan::declared(Self::ACCESS).on([container]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Got> {
        let container = plan.object()?;
        let (stat, archive) = opened(docker, container, &self.path).await?;
        match &self.to {
            Some(to) => {
                let fetched = fetched(&stat, archive, to, self.overwrite, call).await?;
                Ok(Got::Kept(self.kept(container, to, &fetched)))
            }
            None => self.inline(container, &stat, archive).await.map(Got::Inline),
        }
    }
}

impl GetContainerArchive {
    fn kept(&self, container: &Object, to: &str, fetched: &Fetched) -> Kept {
        Kept {
            container: container.name.clone(),
            path: self.path.clone(),
            to: to.to_owned(),
            bytes: fetched.bytes,
            entries: fetched.entries,
            links_that_lead_out: fetched.links,
        }
    }

    async fn inline(&self, container: &Object, stat: &PathStat, archive: stream::Bytes) -> Result<Text> {
        let source = format!("{} of container {}", self.path, container.name);
        let too_large = |what: &str| {
            Error::invalid(format!("{} is {what} of more than {} KiB", quote(&self.path), LONGEST_BASE64 >> 10))
                .hint("give \"to\", a file below \"files.roots\", to get it there")
        };
        if stat.is_directory() {
            let (tar, seen) = checked(received(archive), Archived::Files);
            let (tar, is_whole) = beginning(tar, LONGEST_BASE64).await?;
            if !is_whole {
                return Err(too_large("a directory"));
            }
            let summary =
                format!("a directory as a tar of {} entries, in base64 ({})", seen.entries(), bytes(tar.len() as u64));
            return Ok(Text { source, body: lines_of(&BASE64_STANDARD.encode(tar)), summary });
        }
        let (_, contents) = unwrapped(received(archive)).await.map_err(unsound)?;
        let (contents, is_whole) = beginning(contents, LONGEST_TEXT).await?;
        if let Some(text) = as_text(&contents, is_whole) {
            let whole = if is_whole { contents.len() as u64 } else { stat.size };
            let (body, summary) = shown(text, is_whole, whole, container);
            return Ok(Text { source, body, summary });
        }
        if !is_whole || contents.len() > LONGEST_BASE64 {
            return Err(too_large("no text, but a file"));
        }
        let summary = format!("no text: {} in base64", bytes(contents.len() as u64));
        Ok(Text { source, body: lines_of(&BASE64_STANDARD.encode(contents)), summary })
    }
}

/// The first bytes of a stream, and whether those are all.
async fn beginning(bytes: impl Stream<Item = Result<Bytes>>, most: usize) -> Result<(Vec<u8>, bool)> {
    let (mut bytes, mut read) = (std::pin::pin!(bytes), Vec::new());
    while let Some(piece) = bytes.next().await {
        read.extend_from_slice(&piece.map_err(unsound)?);
        if read.len() > most {
            read.truncate(most);
            return Ok((read, false));
        }
    }
    Ok((read, true))
}

/// The text that a file begins with, up to its last whole line where more follows; `None` where it is no text.
fn as_text(bytes: &[u8], is_whole: bool) -> Option<&str> {
    if bytes.contains(&0) {
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // A character may have been cut in two.
        Err(error) if !is_whole && error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    if is_whole { Some(text) } else { text.rfind('\n').and_then(|end| text.get(..=end)) }
}

/// A text without what must not be seen, as many of its lines as an answer has room for, and what is to be said of it.
fn shown(text: &str, is_whole: bool, size: u64, container: &Object) -> (String, String) {
    let mut redaction = Redaction::new(&Arc::clone(&container.masks), true);
    let (mut body, mut room, mut is_cut) = (String::new(), SHOWN, false);
    for line in text.lines() {
        let line = redaction.line(Source::Stdout, line, 0).text;
        let length = line.chars().count() + 1;
        if length > room {
            is_cut = true;
            if body.is_empty() {
                body.extend(line.chars().take(room));
            }
            break;
        }
        room -= length;
        body.push_str(&line);
        body.push('\n');
    }
    let masked = told(redaction.masked());
    let summary = if is_cut || !is_whole {
        format!("the beginning of {}{masked}; \"to\" gets the whole file", bytes(size))
    } else {
        format!("{}{masked}", bytes(size))
    };
    (body, summary)
}

/// Base64 as mail writes it: in lines that no terminal breaks.
fn lines_of(base64: &str) -> String {
    let bytes: Vec<char> = base64.chars().collect();
    bytes.chunks(76).map(|line| line.iter().collect::<String>()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::ObjectKind;

    #[test]
    fn text_is_told_from_bytes() {
        assert_eq!(as_text(b"", true), Some(""));
        assert_eq!(as_text("grün\n".as_bytes(), true), Some("grün\n"));
        assert_eq!(as_text(b"a\0b", true), None);
        assert_eq!(as_text(&[0xff, 0xfe], true), None);
        // Cut in the middle of a character, and of a line.
        let cut = "one\ntwo ü".as_bytes();
        assert_eq!(as_text(&cut[..cut.len() - 1], false), Some("one\n"));
        assert_eq!(as_text(&cut[..cut.len() - 1], true), None);
        assert_eq!(as_text(b"one line without an end", false), None);
    }

    #[test]
    fn what_does_not_fit_is_cut_at_a_line() {
        let container = Object::listed(ObjectKind::Container, "x".into(), "web".into(), json!({}));
        let (body, summary) = shown(&"0123456789\n".repeat(3000), true, 33_000, &container);
        assert!(body.len() <= SHOWN && body.ends_with("0123456789\n") && summary.contains("the beginning of 32.2 KiB"));
        let (body, summary) = shown("password=hunter2-and-more\nplain\n", true, 32, &container);
        assert!(!body.contains("hunter2") && body.ends_with("plain\n"), "{body}");
        assert!(summary.contains("1 value redacted"), "{summary}");
        let (body, _) = shown(&"x".repeat(50_000), true, 50_000, &container);
        assert_eq!(body.len(), SHOWN);
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_shown() {
        let pieces = || futures_util::stream::iter((0..5).map(|_| Ok(Bytes::from_static(b"0123456789"))));
        assert_eq!(beginning(pieces(), 50).await.unwrap(), (b"0123456789".repeat(5), true));
        assert_eq!(beginning(pieces(), 15).await.unwrap(), (b"012345678901234".to_vec(), false));
    }
}
