//! `.dockerignore`, read and matched as docker does: in order, `!` takes back, what is below a match is matched too.

use regex::Regex;

use crate::{
    docker::names::quote,
    error::{Error, Result},
    files::Admit,
};

/// The patterns of a `.dockerignore`, and what became of the directories that a walk is in.
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
    has_exceptions: bool,
    /// The directories on the way to the last entry, and which patterns match each or one above it.
    above: Vec<(String, Vec<bool>)>,
}

struct Pattern {
    text: String,
    is_exception: bool,
    matcher: Matcher,
}

/// How a pattern is matched: the engine's own shortcuts are kept, as they differ from its expressions.
enum Matcher {
    Exact(String),
    /// `dir/**`
    Prefix(String),
    /// `**/name`
    Suffix(String),
    Expression(Regex),
}

impl Ignore {
    /// Reads a file; `kept` are sent whatever it says.
    ///
    /// # Errors
    /// `invalid`, with the pattern that makes no sense.
    pub(super) fn parse(text: &str, kept: &[&str]) -> Result<Self> {
        let mut ignore = Self { patterns: Vec::new(), has_exceptions: false, above: Vec::new() };
        for line in lines(text) {
            ignore.add(&line)?;
        }
        for name in kept {
            let is_left_out = ignore.matches(name);
            if is_left_out {
                ignore.add(&format!("!{name}"))?;
            }
        }
        Ok(ignore)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let (is_exception, text) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let senseless = || {
            Error::invalid(format!(
                "\".dockerignore\" of the context has the pattern {}, which makes no sense",
                quote(line)
            ))
            .hint("mend it, docker refuses it too")
        };
        if text.is_empty() || !is_well_formed(text) {
            return Err(senseless());
        }
        self.has_exceptions |= is_exception;
        let matcher = Matcher::of(text).ok_or_else(senseless)?;
        self.patterns.push(Pattern { text: text.to_owned(), is_exception, matcher });
        Ok(())
    }

    /// Whether a path is left out by itself or by a directory above it, in whatever order paths are asked for.
    fn matches(&self, path: &str) -> bool {
        let mut left_out = false;
        for pattern in &self.patterns {
            if pattern.is_exception != left_out {
                continue;
            }
            let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
            if ends.filter_map(|end| path.get(..end)).any(|path| pattern.matcher.is_match(path)) {
                left_out = !pattern.is_exception;
            }
        }
        left_out
    }

    /// What becomes of the next entry of a walk that goes into each directory before it goes on beside it.
    pub(super) fn admit(&mut self, path: &str, is_directory: bool) -> Admit {
        while self
            .above
            .last()
            .is_some_and(|(above, _)| !path.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/')))
        {
            self.above.pop();
        }
        let mut left_out = false;
        let mut matched = Vec::with_capacity(self.patterns.len());
        for (place, pattern) in self.patterns.iter().enumerate() {
            let above = self.above.last().and_then(|(_, matched)| matched.get(place)).copied().unwrap_or_default();
            // What a pattern says is not asked where it could not change anything, and counts as no match below.
            let fits = above || (pattern.is_exception == left_out && pattern.matcher.is_match(path));
            matched.push(fits);
            if fits {
                left_out = !pattern.is_exception;
            }
        }
        if is_directory {
            self.above.push((path.to_owned(), matched));
        }
        match (left_out, is_directory) {
            (false, _) => Admit::Keep,
            (true, false) => Admit::Skip,
            (true, true) if self.has_exceptions_below(path) => Admit::Skip,
            (true, true) => Admit::SkipTree,
        }
    }

    /// Whether an exception could be for something in a directory; only those that name it are looked for.
    fn has_exceptions_below(&self, directory: &str) -> bool {
        let slashed = format!("{directory}/");
        self.has_exceptions
            && self
                .patterns
                .iter()
                .any(|pattern| pattern.is_exception && format!("{}/", pattern.text).starts_with(&slashed))
    }
}

/// The patterns of a file: no comments, no blanks around them, no `/` in front, every path made plain.
fn lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut patterns = Vec::new();
    for line in text.lines() {
        // A comment begins in the first column.
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let line = line.trim();
        let (mark, pattern) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest.trim()));
        let pattern = if pattern.is_empty() { String::new() } else { clean(pattern) };
        let pattern = if pattern.len() > 1 { pattern.strip_prefix('/').unwrap_or(&pattern) } else { &pattern };
        patterns.push(format!("{mark}{pattern}"));
    }
    patterns
}

/// A path without `.`, `..` and slashes that say nothing.
fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// Whether Go's `filepath.Match` takes it for a pattern.
fn is_well_formed(pattern: &str) -> bool {
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // The last sign of a pattern hides nothing.
            '\\' if characters.next().is_none() => return false,
            '[' => {
                if characters.peek() == Some(&'^') {
                    characters.next();
                }
                let mut ranges = 0;
                loop {
                    match characters.next() {
                        Some(']') if ranges > 0 => break,
                        None | Some('-' | ']') => return false,
                        Some('\\') if characters.next().is_none() => return false,
                        Some(_) => {}
                    }
                    ranges += 1;
                    if characters.peek() == Some(&'-') {
                        characters.next();
                        match characters.next() {
                            None | Some('-' | ']') => return false,
                            Some('\\') if characters.next().is_none() => return false,
                            Some(_) => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
    true
}

impl Matcher {
    /// As the engine compiles it.
    fn of(pattern: &str) -> Option<Self> {
        enum Kind {
            Exact,
            Prefix,
            Suffix,
            Expression,
        }
        let mut kind = Kind::Exact;
        let mut expression = String::from("^");
        let mut characters = pattern.chars().peekable();
        let mut place = 0;
        let mut within_class = false;
        while let Some(character) = characters.next() {
            match character {
                '*' if characters.peek() == Some(&'*') => {
                    characters.next();
                    // `**/` is `**`.
                    characters.next_if_eq(&'/');
                    if characters.peek().is_some() {
                        expression.push_str("(.*/)?");
                        kind = Kind::Expression;
                    } else if matches!(kind, Kind::Exact) {
                        kind = Kind::Prefix;
                    } else {
                        expression.push_str(".*");
                        kind = Kind::Expression;
                    }
                    if place == 0 {
                        kind = Kind::Suffix;
                    }
                }
                '*' => {
                    expression.push_str("[^/]*");
                    kind = Kind::Expression;
                }
                '?' => {
                    expression.push_str("[^/]");
                    kind = Kind::Expression;
                }
                '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => {
                    expression.push('\\');
                    expression.push(character);
                }
                '\\' => {
                    if let Some(next) = characters.next() {
                        expression.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
                        kind = Kind::Expression;
                    } else {
                        expression.push_str("\\\\");
                    }
                }
                '[' if !within_class => {
                    within_class = true;
                    expression.push('[');
                    kind = Kind::Expression;
                }
                ']' => {
                    within_class = false;
                    expression.push(']');
                    kind = Kind::Expression;
                }
                // What Rust's classes know and Go's do not.
                '[' | '&' | '~' if within_class => {
                    expression.push('\\');
                    expression.push(character);
                }
                other => expression.push(other),
            }
            place += 1;
        }
        Some(match kind {
            Kind::Exact => Self::Exact(pattern.to_owned()),
            Kind::Prefix => {
                Self::Prefix(pattern.strip_suffix("**").or_else(|| pattern.strip_suffix("**/"))?.to_owned())
            }
            Kind::Suffix => Self::Suffix(pattern.strip_prefix("**")?.to_owned()),
            Kind::Expression => Self::Expression(Regex::new(&format!("(?s){expression}$")).ok()?),
        })
    }

    fn is_match(&self, path: &str) -> bool {
        match self {
            Self::Exact(pattern) => path == pattern,
            Self::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path),
            Self::Expression(expression) => expression.is_match(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of some paths is sent; a directory ends with a slash.
    fn sent(ignore: &str, paths: &[&str]) -> Vec<String> {
        let mut ignore = Ignore::parse(ignore, &[".dockerignore", "Dockerfile"]).unwrap();
        let mut skipped: Vec<String> = Vec::new();
        let mut sent = Vec::new();
        for path in paths {
            if skipped.iter().any(|tree| path.starts_with(tree.as_str())) {
                continue;
            }
            match ignore.admit(path.trim_end_matches('/'), path.ends_with('/')) {
                Admit::Keep => sent.push((*path).to_owned()),
                Admit::Skip => {}
                Admit::SkipTree => skipped.push((*path).to_owned()),
            }
        }
        sent
    }

    const TREE: &[&str] = &[
        ".dockerignore",
        "Dockerfile",
        "README.md",
        "a.txt",
        "docs/",
        "docs/README.md",
        "docs/deep/",
        "docs/deep/a.txt",
        "docs/keep.md",
        "src/",
        "src/a.txt",
        "src/main.rs",
        "tmp/",
        "tmp/x",
    ];

    #[test]
    fn what_is_left_out_and_what_comes_back() {
        for (ignore, gone) in [
            ("", vec![]),
            ("# no\n\n  \n", vec![]),
            ("tmp\n", vec!["tmp/", "tmp/x"]),
            ("/tmp/\n", vec!["tmp/", "tmp/x"]),
            ("./tmp/../tmp", vec!["tmp/", "tmp/x"]),
            ("*.md", vec!["README.md"]),
            ("**/*.md", vec!["README.md", "docs/README.md", "docs/keep.md"]),
            ("*/*.txt", vec!["src/a.txt"]),
            ("**/a.txt", vec!["a.txt", "docs/deep/a.txt", "src/a.txt"]),
            ("docs\n!docs/keep.md", vec!["docs/", "docs/README.md", "docs/deep/", "docs/deep/a.txt"]),
            ("docs/**\n!docs/keep.md", vec!["docs/README.md", "docs/deep/", "docs/deep/a.txt"]),
            ("*.md\n!README.md\nREADME.md", vec!["README.md"]),
            (
                "*\n!src",
                vec![
                    "README.md",
                    "a.txt",
                    "docs/",
                    "docs/README.md",
                    "docs/deep/",
                    "docs/deep/a.txt",
                    "docs/keep.md",
                    "tmp/",
                    "tmp/x",
                ],
            ),
            ("Dockerfile\n.dockerignore\n", vec![]),
            ("?.txt", vec!["a.txt"]),
            ("[a-c].txt", vec!["a.txt"]),
            ("[^a].txt", vec![]),
            ("\\a.txt", vec!["a.txt"]),
            ("src/main.r?", vec!["src/main.rs"]),
            ("  tmp  ", vec!["tmp/", "tmp/x"]),
            (" #tmp", vec![]),
            ("! tmp\ntmp", vec!["tmp/", "tmp/x"]),
        ] {
            let expected: Vec<String> =
                TREE.iter().filter(|path| !gone.contains(path)).map(|path| (*path).to_owned()).collect();
            assert_eq!(sent(ignore, TREE), expected, "{ignore:?}");
        }
    }

    #[test]
    fn a_pattern_is_matched_as_the_engine_does() {
        // Out of the tests of moby/patternmatcher.
        for (pattern, path, expected) in [
            ("**", "file", true),
            ("**", "dir/file", true),
            ("**/", "dir/file", true),
            ("**/**", "dir/file", true),
            ("dir/**", "dir/file", true),
            ("dir/**", "dir/dir2/file", true),
            ("**/dir", "dir", true),
            ("**/dir", "dir/file", true),
            ("**/dir2/*", "dir/dir2/file", true),
            ("**/dir2/**", "dir/dir2/dir2/file", true),
            ("**file", "file", true),
            ("**file", "dir/file", true),
            ("**/file", "dir/dir/file", true),
            ("**file*txt", "dir/file.txt", true),
            ("a**", "a", true),
            ("a**/*.txt", "a/file.txt", true),
            ("a**/*.txt", "a/dir/file.txt", true),
            ("a/*.txt", "a/dir/file.txt", false),
            ("a/*.txt", "a/file.txt", true),
            ("a[b-d]e", "ae", false),
            ("a[b-d]e", "ace", true),
            ("a[^b-d]e", "aze", true),
            (".*", ".foo", true),
            (".*", "foo", false),
            ("abc.def", "abcdef", false),
            ("abc.def", "abcZdef", false),
            ("abc?def", "abcZdef", true),
            ("abc?def", "abcdef", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("**/foo/bar", "foo/bar", true),
            ("**/foo/bar", "dir/foo/bar", true),
            ("abc/**", "abc/def", true),
            ("abc/**", "abc", false),
            ("**/.foo", "bar.foo", false),
            ("**/.foo", ".foo", true),
            ("a(b)c/def", "a(b)c/def", true),
            ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
            ("dist/**/*.whl", "dist/proxy.py-2.4.0-py3-none-any.whl", true),
            ("[[]", "[", true),
            ("[&]x", "&x", true),
        ] {
            let ignore = Ignore::parse(pattern, &[]).unwrap();
            assert_eq!(ignore.matches(path), expected, "{pattern} {path}");
        }
        for senseless in ["[", "a[", "[]a]", "[-]", "[a-", "!", "! "] {
            assert!(Ignore::parse(senseless, &[]).is_err(), "{senseless}");
        }
    }
}
