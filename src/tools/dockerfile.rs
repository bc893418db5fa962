//! Which images a Dockerfile takes: its `FROM` lines, and what it copies from elsewhere.

use std::collections::{BTreeMap, BTreeSet};

/// What a Dockerfile takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The images, each once.
    pub(crate) images: BTreeSet<String>,
    /// Words that stand for an image, and only the builder knows for which.
    pub(crate) unclear: Vec<String>,
}

/// The images that a Dockerfile takes, its own stages left out.
///
/// `arguments` are those of the build; whoever reads it otherwise than the builder would see other images, so what
/// cannot be read for certain is told as unclear.
pub(crate) fn taken(text: &str, arguments: &BTreeMap<String, String>) -> Taken {
    let mut taken = Taken::default();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut stages: Vec<String> = Vec::new();
    let mut count = 0_usize;
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        match word.to_ascii_uppercase().as_str() {
            // Only what stands before the first stage is known in a FROM.
            "ARG" if count == 0 => {
                for (name, value) in words(rest).iter().map(|word| word.split_once('=').unwrap_or((word, ""))) {
                    let given = arguments.get(name).cloned();
                    let value = given.or_else(|| expand(unquoted(value), &known)).unwrap_or_else(|| "$".to_owned());
                    known.insert(name.to_owned(), value);
                }
            }
            "FROM" => {
                let words: Vec<String> = words(rest).into_iter().filter(|word| !word.starts_with("--")).collect();
                let Some(image) = words.first() else { continue };
                match expand(unquoted(image), &known) {
                    Some(image) if image.is_empty() || image.contains('$') => {
                        taken.unclear.push(unquoted(words.first().map_or("", String::as_str)).to_owned());
                    }
                    Some(image) if image == "scratch" || stages.contains(&image.to_lowercase()) => {}
                    Some(image) => drop(taken.images.insert(image)),
                    None => taken.unclear.push(image.clone()),
                }
                count += 1;
                if let [_, as_word, name] = words.as_slice()
                    && as_word.eq_ignore_ascii_case("as")
                {
                    stages.push(name.to_lowercase());
                }
            }
            "COPY" | "ADD" | "RUN" | "ONBUILD" => {
                for from in froms(rest) {
                    let is_stage =
                        from.parse::<usize>().is_ok_and(|stage| stage < count) || stages.contains(&from.to_lowercase());
                    if from.contains('$') {
                        taken.unclear.push(from);
                    } else if !is_stage && !from.is_empty() {
                        taken.images.insert(from);
                    }
                }
            }
            _ => {}
        }
    }
    taken
}

/// `--from=X` among the flags in front, and `from=X` of a mount; those of a trigger too.
fn froms(rest: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in words(rest) {
        let Some(flag) = word.strip_prefix("--") else {
            // Behind a trigger stands another instruction.
            if ["COPY", "ADD", "RUN"].iter().any(|instruction| word.eq_ignore_ascii_case(instruction)) {
                continue;
            }
            break;
        };
        if let Some(from) = flag.strip_prefix("from=") {
            found.push(unquoted(from).to_owned());
        }
        if let Some(mount) = flag.strip_prefix("mount=") {
            found.extend(
                mount
                    .split(',')
                    .filter_map(|part| part.trim().strip_prefix("from="))
                    .map(|from| unquoted(from).to_owned()),
            );
        }
    }
    found
}

/// The instructions, each on one line: comments left out, what goes on in the next line joined.
fn instructions(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = escape(text);
    let mut instructions = Vec::new();
    let mut whole = String::new();
    for line in text.lines() {
        let is_within = !whole.is_empty();
        let line = if is_within { line } else { line.trim_start() };
        if line.trim_start().starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let trimmed = line.trim_end();
        if let Some(open) = trimmed.strip_suffix(escape) {
            whole.push_str(open);
            continue;
        }
        whole.push_str(trimmed);
        instructions.push(std::mem::take(&mut whole));
    }
    if !whole.is_empty() {
        instructions.push(whole);
    }
    instructions
}

/// The sign that takes a line on into the next, as the directives in front say it.
fn escape(text: &str) -> char {
    for line in text.lines() {
        let Some(directive) = line.trim().strip_prefix('#') else { break };
        let Some((name, value)) = directive.split_once('=') else { break };
        if name.trim().eq_ignore_ascii_case("escape") {
            return if value.trim() == "`" { '`' } else { '\\' };
        }
    }
    '\\'
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    for character in text.chars() {
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (character, Some(open)) if character == open => quote = None,
            (character, None) if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            _ => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}

/// A word with its variables in it; `None` for a form of them that is not understood.
fn expand(text: &str, known: &BTreeMap<String, String>) -> Option<String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\', '"', '\'']) {
        expanded.push_str(rest.get(..at)?);
        rest = rest.get(at..)?.strip_prefix('$')?;
        let value = |name: &str| known.get(name).cloned().unwrap_or_default();
        if let Some(inner) = rest.strip_prefix('{') {
            let (inside, behind) = inner.split_once('}')?;
            rest = behind;
            if let Some((name, default)) = inside.split_once(":-") {
                let value = value(name);
                expanded.push_str(&if value.is_empty() { expand(default, known)? } else { value });
            } else if let Some((name, other)) = inside.split_once(":+") {
                expanded.push_str(&if value(name).is_empty() { String::new() } else { expand(other, known)? });
            } else if is_name(inside) {
                expanded.push_str(&value(inside));
            } else {
                return None;
            }
        } else {
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
            let name = rest.get(..end).filter(|name| is_name(name))?;
            expanded.push_str(&value(name));
            rest = rest.get(end..)?;
        }
    }
    expanded.push_str(rest);
    Some(expanded)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str, arguments: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let Taken { images, unclear } = taken(text, &arguments);
        (images.into_iter().collect(), unclear)
    }

    #[test]
    fn images_are_found_and_stages_are_none() {
        let text = "# syntax=docker/dockerfile:1\n# a comment\nARG BASE=debian TAG=\"12\"\n\
            FROM --platform=linux/amd64 ${BASE}:${TAG} AS Build\nRUN echo FROM nothing\n\
            from build as second\nCOPY --from=build /a /a\nCOPY --from=0 /a /b\nCOPY --chown=1:1 --from=busybox:1 /bin /bin\n\
            FROM scratch\nCOPY --from=SECOND /a /a\n";
        assert_eq!(found(text, &[]).0, ["busybox:1", "debian:12"]);
        assert_eq!(found(text, &[("BASE", "evil.test/x"), ("TAG", "1")]).0, ["busybox:1", "evil.test/x:1"]);
    }

    #[test]
    fn lines_go_on_as_the_builder_says() {
        assert_eq!(found("FROM \\\n# a comment\n\n  a.b/c:1 \\\n  AS x\n", &[]).0, ["a.b/c:1"]);
        assert_eq!(found("# escape=`\nFROM `\n a\n", &[]).0, ["a"]);
        assert_eq!(found("FROM a\\\n:1", &[]).0, ["a:1"]);
        assert_eq!(found("\u{feff}FROM a", &[]).0, ["a"]);
        assert_eq!(found("FROM a\r\nFROM b\r\n", &[]).0, ["a", "b"]);
    }

    #[test]
    fn variables_are_put_in_and_what_is_not_understood_is_unclear() {
        for (text, arguments, images) in [
            ("ARG A\nFROM ${A:-x}:1", vec![], vec!["x:1"]),
            ("ARG A\nFROM ${A:-x}:1", vec![("A", "y")], vec!["y:1"]),
            ("ARG A=z\nFROM x${A:+:2}", vec![], vec!["x:2"]),
            ("ARG A=b\nARG C=a.$A\nFROM $C/d", vec![], vec!["a.b/d"]),
            ("FROM \"a:1\"", vec![], vec!["a:1"]),
            // What is not declared is nothing, whoever gives it.
            ("FROM a${B}", vec![("B", "evil")], vec!["a"]),
        ] {
            assert_eq!(
                found(text, &arguments),
                (images.iter().map(|image| (*image).to_owned()).collect(), vec![]),
                "{text}"
            );
        }
        for text in ["FROM ${A%x}", "FROM $", "ARG A\nFROM $A", "FROM a\\b", "FROM x\nCOPY --from=$Y a b", "FROM $1"] {
            assert_eq!(found(text, &[]).1.len(), 1, "{text}");
        }
        assert_eq!(found("FROM x\nONBUILD COPY --from=evil:1 / /", &[]).0, ["evil:1", "x"]);
        assert_eq!(found("FROM x\nRUN --mount=type=bind,from=y:1,target=/a true", &[]).0, ["x", "y:1"]);
    }

    proptest! {
        #[test]
        fn whatever_it_says_it_is_read(text in "(FROM|ARG|COPY|#|\\$|\\{|\\}|[ \\n\\\\\"'=:a-z-]){0,60}") {
            taken(&text, &BTreeMap::new());
        }
    }
}
