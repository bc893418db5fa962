//! The steps of an image's history and of a build: values of variables, build arguments and labels go.

use super::{
    command::{self, Sink},
    known, marks,
    names::Reveal,
};

/// An instruction as it may be shown, where that is another one.
///
/// The classic builder writes `/bin/sh -c #(nop)  ENV A=b` and `|1 A=b /bin/sh -c make`, BuildKit
/// `ENV A=b` and `RUN |1 A=b /bin/sh -c make # buildkit`; neither quotes a value with blanks in it,
/// so what follows a value counts as a part of it unless it looks like the next name.
pub(super) fn shown(instruction: &str, reveal: &Reveal, sink: Sink<'_>) -> Option<String> {
    let body = instruction.trim_start();
    let body = body.strip_prefix("/bin/sh -c #(nop)").unwrap_or(body).trim_start();
    let body = body.strip_prefix("[").and_then(|rest| rest.split_once("] ")).map_or(body, |(_, rest)| rest);
    let body = body.strip_prefix("ONBUILD ").unwrap_or(body).trim_start();
    let (front, _) = instruction.split_at_checked(instruction.len() - body.len())?;
    let is_bare = |keyword: &str| keyword.eq_ignore_ascii_case("ARG");
    if let Some((keyword, rest)) = body.split_once(char::is_whitespace) {
        if keyword.eq_ignore_ascii_case("ENV") || is_bare(keyword) {
            let shown =
                assignments(rest, is_bare(keyword), &mut |name, value| known::variable(name, value, reveal, sink));
            return changed(instruction, format!("{front}{keyword} {shown}"));
        }
        if keyword.eq_ignore_ascii_case("LABEL") {
            let shown = assignments(rest, false, &mut |name, value| known::label(name, value, reveal, sink));
            return changed(instruction, format!("{front}{keyword} {shown}"));
        }
    }
    let arguments = body.strip_prefix("RUN ").unwrap_or(body);
    if let Some(rest) = arguments.strip_prefix('|')
        && let Some((number, rest)) = rest.split_once(' ')
        && number.chars().all(|character| character.is_ascii_digit())
    {
        let run = if arguments.len() < body.len() { "RUN " } else { "" };
        let (given, made) = rest.split_at_checked(shell(rest).unwrap_or(rest.len()))?;
        let shown = assignments(given.trim_end(), false, &mut |name, value| known::variable(name, value, reveal, sink));
        let made = command::line(made, sink).unwrap_or_else(|| made.to_owned());
        let blank = if made.is_empty() { "" } else { " " };
        return changed(instruction, format!("{front}{run}|{number} {shown}{blank}{made}"));
    }
    command::line(instruction, sink)
}

fn changed(before: &str, after: String) -> Option<String> {
    (before != after).then_some(after)
}

/// Masks `A=b C=d e`; with `bare`, words before the first value are names without one.
fn assignments(text: &str, bare: bool, hide: &mut dyn FnMut(&str, &str) -> Option<String>) -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut open: Option<(&str, char, String)> = None;
    let mut close = |(name, sign, value): (&str, char, String)| {
        let value = hide(name, &value).unwrap_or(value);
        if value.is_empty() && sign == ' ' { name.to_owned() } else { format!("{name}{sign}{value}") }
    };
    for word in words(text) {
        let assignment = word.split_once('=').filter(|(name, _)| is_name(name));
        match (assignment, &mut open) {
            (Some((name, value)), _) => {
                shown.extend(open.take().map(&mut close));
                open = Some((name, '=', value.to_owned()));
            }
            (None, Some((_, _, value))) => {
                if !value.is_empty() {
                    value.push(' ');
                }
                value.push_str(word);
            }
            (None, None) if bare && is_name(word) => shown.push(word.to_owned()),
            // `ENV NAME value`, the old form.
            (None, None) if is_name(word) => open = Some((word, ' ', String::new())),
            (None, None) => shown.push(marks::cover(word).unwrap_or_else(|| word.to_owned())),
        }
    }
    shown.extend(open.map(close));
    shown.join(" ")
}

/// Words between single blanks; a mark is part of one.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let start = at;
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let Some(next) = rest.find([' ', '<']) else {
                ended = true;
                return text.get(start..);
            };
            at += next;
            if rest.as_bytes().get(next) == Some(&b' ') {
                at += 1;
                return text.get(start..at - 1);
            }
            at = marks::end_at(text, at).unwrap_or(at + 1);
        }
    })
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && word.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character))
}

/// Where the shell of a `RUN` begins: a word with a slash in front, followed by an option.
fn shell(text: &str) -> Option<usize> {
    let mut start = 0;
    let mut candidate = None;
    for word in text.split(' ') {
        if word.starts_with('-') && candidate.is_some() {
            return candidate;
        }
        candidate = word.starts_with('/').then_some(start);
        start += word.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(instruction: &str) -> String {
        let shown = |text: &str| shown(text, &Reveal::default(), &mut |_| {}).unwrap_or_else(|| text.to_owned());
        let once = shown(instruction);
        assert_eq!(shown(&once), once, "twice: {instruction}");
        once
    }

    #[test]
    fn values_go_and_names_stay() {
        for (instruction, secrets, kept) in [
            (
                "/bin/sh -c #(nop)  ENV TOKEN=hunter2 MODE=dev fast",
                &["hunter2", "dev", "fast"][..],
                "#(nop)  ENV TOKEN=",
            ),
            ("ENV PASSPHRASE=correct horse battery", &["correct", "horse", "battery"], "ENV PASSPHRASE="),
            ("ENV OLD hunter2", &["hunter2"], "ENV OLD <"),
            ("ARG NPM_TOKEN=hunter2", &["hunter2"], "ARG NPM_TOKEN="),
            ("|2 A=hunter2 B=x y /bin/sh -c make all", &["hunter2", "x y"], "/bin/sh -c make all"),
            (
                "RUN |1 A=hunter2 /bin/bash -o pipefail -c make # buildkit",
                &["hunter2"],
                "/bin/bash -o pipefail -c make",
            ),
            ("RUN |1 A=hunter2 /bin/sh -c mysql -phunter2 # buildkit", &["hunter2"], "-c mysql -p<"),
            ("RUN |1 A=hunter2 with no shell", &["hunter2", "shell"], "RUN |1 A="),
            ("ONBUILD ENV A=hunter2", &["hunter2"], "ONBUILD ENV A="),
            ("ENV =hunter2", &["hunter2"], "ENV "),
            ("[build 2/3] RUN curl -u a:hunter2 http://x", &["hunter2"], "[build 2/3] RUN curl -u a:<"),
            ("LABEL com.example.secret=hunter2 maintainer=me", &["hunter2"], "maintainer=me"),
            ("RUN /bin/sh -c npm config set //x/:_authToken=hunter2 # buildkit", &["hunter2"], "_authToken=<"),
        ] {
            let shown = masked(instruction);
            assert!(shown.contains(kept), "{instruction}: {shown}");
            assert!(!secrets.iter().any(|secret| shown.contains(secret)), "{instruction}: {shown}");
        }
    }

    #[test]
    fn other_instructions_stay_as_they_are() {
        for instruction in [
            "",
            "COPY a b",
            "/bin/sh -c #(nop) CMD [\"sh\"]",
            "RUN /bin/sh -c A=b make",
            "ENVIRONMENT A=b",
            "ARG ONLY_A_NAME",
            "/bin/sh -c #(nop)  ARG ONLY_A_NAME",
            "ENV PATH=/usr/local/bin:/usr/bin NGINX_VERSION=1.27.0",
            "LABEL maintainer=NGINX Docker Maintainers <docker-maint@nginx.com>",
            "[internal] load metadata for docker.io/library/alpine:3",
        ] {
            assert_eq!(masked(instruction), instruction);
        }
    }
}
