//! The architecture's dependency picture, read off the sources: edges point downwards only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use quaymaster::gateway::catalogue::{everything, groups};

/// The rooms from the top to the ground; a room may name those on lower floors, and itself.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["mcp", "http", "docs"],
    &["gateway"],
    &["tools"],
    &["tool"],
    &["docker", "files", "registry"],
    &["config"],
    &["redact", "secret"],
    &["error"],
];
/// The parts of the gateway that stand below it and beside each other.
const PARTS_OF_GATEWAY: &[&str] = &["policy", "body", "confirm", "audit", "jobs"];

/// A file of `src` without its comments, strings and tests.
struct Source {
    file: String,
    /// Where it is in the crate: `tools`, `containers`, `list`.
    module: Vec<String>,
    code: String,
    /// Every path that it names, `use` lists unfolded, `super` and `self` resolved to `crate`.
    paths: Vec<Vec<String>>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let sources: Vec<Source> = files
        .into_iter()
        .filter(|file| {
            let inside = file.strip_prefix(&root).unwrap().with_extension("");
            !inside.components().any(|part| part.as_os_str().to_string_lossy().ends_with("tests"))
        })
        .map(|file| {
            let relative = file.strip_prefix(&root).unwrap().with_extension("");
            let module: Vec<String> =
                relative.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            let code = code(&fs::read_to_string(&file).unwrap());
            let at = if module == ["lib"] { &[][..] } else { &module[..] };
            let paths = paths(&code, at);
            Source { file: format!("src/{}.rs", relative.display()), module, code, paths }
        })
        .collect();
    assert!(sources.len() > 40, "only {} files were found", sources.len());
    sources
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Blanks out comments, strings and characters, and drops the tests at the end of a file.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        }
        let skipped = if !is_word && let Some(end) = raw_string(rest) {
            end
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push_str("\"\"");
        rest = &rest[skipped..];
    }
    let mut tests = code.match_indices("#[cfg(test)]\nmod ").map(|(at, _)| at);
    match tests.find(|at| code[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{'))) {
        Some(at) => code[..at].to_owned(),
        None => code,
    }
}

/// The end of a raw or byte string that begins here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let start = text.len() - after.len() + hashes + 1;
    after[hashes..].starts_with('"').then_some(())?;
    let close = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&close).map(|end| start + end + close.len())
}

/// The end of a string or character literal that begins here.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((position, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ if character == quote => return position + quote.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether a quote begins a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

/// Every path with `::` in it, absolute.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut position = 0;
    while let Some(next) = code[position..].find(|character: char| character.is_alphabetic() || character == '_') {
        let start = position + next;
        let mut tree = Vec::new();
        let mut cursor = Cursor { code, position: start };
        cursor.tree(&mut Vec::new(), &mut tree);
        position = cursor.position.max(start + 1);
        found.extend(tree.into_iter().filter(|path| path.len() > 1).map(|path| absolute(path, module)));
    }
    found
}

fn absolute(path: Vec<String>, module: &[String]) -> Vec<String> {
    let mut base = match path[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => return path,
    };
    let mut rest = path.into_iter().peekable();
    while let Some(word) = rest.next_if(|word| ["crate", "self", "super"].contains(&word.as_str())) {
        if word == "super" {
            base.pop();
        }
    }
    ["crate".to_owned()].into_iter().chain(base).chain(rest).collect()
}

struct Cursor<'a> {
    code: &'a str,
    position: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        &self.code[self.position..]
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    fn takes(&mut self, token: &str) -> bool {
        let fits = self.rest().starts_with(token);
        if fits {
            self.position += token.len();
        }
        fits
    }

    /// One `a::b::{c, d::e}`; every leaf is a path.
    fn tree(&mut self, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        let depth = prefix.len();
        loop {
            let rest = self.rest();
            let word = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            if word > 0 {
                prefix.push(rest[..word].to_owned());
                self.position += word;
            } else if self.takes("*") {
                found.push(prefix.clone());
                break;
            } else if depth < prefix.len() && self.takes("{") {
                loop {
                    self.blanks();
                    if self.takes("}") || self.rest().is_empty() {
                        break;
                    }
                    let before = self.position;
                    self.tree(prefix, found);
                    self.blanks();
                    // `a as b` in a list.
                    while self.position < self.code.len() && !self.rest().starts_with([',', '}']) {
                        self.position += self.rest().chars().next().map_or(1, char::len_utf8);
                    }
                    self.takes(",");
                    if self.position == before {
                        break;
                    }
                }
                break;
            } else {
                found.push(prefix.clone());
                break;
            }
            if !self.takes("::") {
                found.push(prefix.clone());
                break;
            }
        }
        prefix.truncate(depth);
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn shown(path: &[String]) -> String {
    path.join("::")
}

#[test]
fn the_reader_of_sources_reads() {
    let text = "use crate::{a::B, c::{self, D as E}};\n// crate::no\nfn f<'a>() { \"crate::no\"; super::g::h('\"', x); }\n#[cfg(test)]\nmod tests {\n use crate::no;\n}";
    let found: Vec<String> =
        paths(&code(text), &["m".to_owned(), "n".to_owned()]).iter().map(|path| shown(path)).collect();
    assert_eq!(found, ["crate::a::B", "crate::c::self", "crate::c::D", "crate::m::g::h"]);
    assert_eq!(code("let a = r#\"x\"y\"#; b\"z\" 'c'"), "let a = \"\"; b\"\" \"\"");
}

#[test]
fn dependencies_point_downwards_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let room = &source.module[0];
        if room == "lib" {
            continue;
        }
        let own = floor(room).unwrap_or_else(|| panic!("{}: which floor is that?", source.file));
        for path in source.paths.iter().filter(|path| path[0] == "crate" && path.len() > 1) {
            let target = &path[1];
            match floor(target) {
                _ if target == room => {}
                Some(floor) if floor > own => {}
                // A private module of `lib.rs` does not exist; a macro or a type at the root would be an edge too.
                _ => wrong.push(format!("{} names {}", source.file, shown(path))),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn domains_of_tools_do_not_know_each_other() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module[0] == "tools" && source.module.len() > 1) {
        let domain = source.module[1].as_str();
        for path in
            source.paths.iter().filter(|path| path[0] == "crate" && path.get(1).is_some_and(|room| room == "tools"))
        {
            let target = path.get(2).map_or("TOOLSETS", String::as_str);
            let is_domain = target == "TOOLSETS" || groups().any(|group| group.name == target);
            if target != domain && is_domain {
                wrong.push(format!("{} names {}", source.file, shown(path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_parts_of_the_gateway_do_not_know_it() {
    for source in sources() {
        let [room, part, ..] = &source.module[..] else { continue };
        if room != "gateway" || !PARTS_OF_GATEWAY.contains(&part.as_str()) {
            continue;
        }
        for path in source.paths.iter().filter(|path| path.len() > 2 && path[0] == "crate" && path[1] == "gateway") {
            let below = path[2] == "caller" || (part == "policy" && path[2] == "body");
            assert!(below || &path[2] == part, "{} names {}", source.file, shown(path));
        }
    }
}

#[test]
fn crates_stay_in_their_rooms() {
    // What speaks a protocol belongs to the room that owns it: there is no second way to a daemon.
    let owners: &[(&str, &[&str])] = &[
        ("rmcp", &["mcp"]),
        ("russh", &["docker"]),
        ("rustls", &["docker", "http", "registry"]),
        ("tokio_rustls", &["docker", "http", "registry"]),
        ("hyper", &["docker", "http", "registry"]),
        ("hyper_util", &["docker", "http", "registry"]),
        ("clap", &["cli", "main"]),
    ];
    let sockets = [["tokio", "net"], ["std", "net"], ["tokio", "process"], ["std", "process"]];
    for source in sources() {
        let room = source.module[0].as_str();
        for path in &source.paths {
            // Its random numbers are everybody's.
            let is_random = path.starts_with(&["rustls".to_owned(), "crypto".to_owned()]);
            if let Some((name, rooms)) = owners.iter().find(|(name, _)| *name == path[0])
                && !is_random
            {
                assert!(rooms.contains(&room), "{} names {name}", source.file);
            }
            if path.len() > 1 && sockets.contains(&[path[0].as_str(), path[1].as_str()]) {
                let is_address = path[2..].iter().any(|word| word.starts_with("Ip") || word == "SocketAddr");
                let may = ["docker", "http", "registry", "cli", "main"].contains(&room) || is_address;
                assert!(may, "{} names {}", source.file, shown(path));
            }
        }
    }
}

#[test]
fn only_the_command_line_knows_the_process() {
    for source in sources() {
        if ["main", "cli"].contains(&source.module[0].as_str()) {
            continue;
        }
        for path in &source.paths {
            let names = |words: &[&str]| path.windows(words.len()).any(|window| window == words);
            let is_process = names(&["std", "env"]) || path.starts_with(&["env".to_owned(), "var".to_owned()]);
            let is_stdout = ["stdout", "Stdout", "stdin"].iter().any(|word| names(&["io", word]));
            assert!(!is_process && !is_stdout, "{} names {}", source.file, shown(path));
        }
        for printing in ["println!", "print!"] {
            let mut before = source.code.match_indices(printing).map(|(at, _)| source.code[..at].chars().last());
            assert!(before.all(|before| before == Some('e')), "{} has {printing}", source.file);
        }
    }
}

#[test]
fn only_the_gateway_raises_a_ceiling() {
    for source in sources() {
        let may = ["src/gateway/decision.rs", "src/docker/host.rs"].contains(&source.file.as_str());
        assert!(may || !source.code.contains("with_ceiling"), "{} hands out connections", source.file);
    }
}

#[test]
fn only_the_command_line_probes() {
    let mut callers = Vec::new();
    for source in sources() {
        let may = source.module[0] == "cli" || source.file == "src/docker/probe.rs";
        assert!(may || !source.code.contains("probe_guard"), "{} sends a write that nobody decided", source.file);
        callers.extend(source.code.matches(".probe_guard()").map(|_| source.file.clone()));
    }
    assert_eq!(callers, ["src/cli/check/probe.rs"]);
}

#[test]
fn no_tool_is_left_out_of_its_slice() {
    let mut declared = Vec::new();
    for source in sources() {
        for kind in [
            "impl Tool for ",
            "impl FleetTool for ",
            "impl OwnTool for ",
            "impl HostlessTool for ",
            "impl ForwardTool for ",
        ] {
            for (at, _) in source.code.match_indices(kind) {
                let name = source.code[at + kind.len()..].split([' ', '<', '{']).next().unwrap_or_default();
                declared.push(format!("{}: {name}", source.file));
            }
        }
    }
    assert_eq!(declared.len(), everything().len(), "{declared:#?}");
}

#[test]
fn files_say_what_they_own() {
    for source in sources() {
        if !["lib", "main"].contains(&source.module[0].as_str()) {
            let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&source.file)).unwrap();
            assert!(text.starts_with("//! "), "{} does not open with a sentence", source.file);
        }
    }
}
