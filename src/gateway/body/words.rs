//! What a body says in words: variables, labels, images, the lines of a commit.

use std::collections::BTreeMap;

use super::{Hit, read};
use crate::{
    config::limits::Rule,
    docker::names::quote,
    redact,
    secret::SCHEME,
    tool::{Object, ObjectKind},
};

/// By labels that begin so, others find what is theirs.
const RESERVED: &[&str] = &["com.docker.compose.", "com.docker.swarm.", "quaymaster.", "traefik."];
/// Where a service has its variables, and those that it had before its last update.
const OF_SERVICE: [&str; 3] = ["Spec", "TaskTemplate", "ContainerSpec"];
const BEFORE: [&str; 3] = ["PreviousSpec", "TaskTemplate", "ContainerSpec"];
/// The last word of a name whose value is a secret.
const SECRET: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "PASSWORDS",
    "SECRETS",
    "TOKENS",
];
/// What stands in front of `KEY` in the name of a secret.
const KEYS: &[&str] = &["API", "ACCESS", "PRIVATE", "SECRET", "AUTH", "ENCRYPTION", "SIGNING", "MASTER", "SSH"];
/// Values of switches, such as `MYSQL_RANDOM_ROOT_PASSWORD=yes`.
const SWITCHES: &[&str] = &["true", "false", "yes", "no", "on", "off", "0", "1", "none"];

/// The variables with a literal secret, but for those that an image or a container of the call has already.
pub(super) fn variables<'a>(given: impl Iterator<Item = &'a str>, objects: &[Object], place: &str) -> Vec<Hit> {
    let known = |variable: &str| {
        let places: [&[&str]; 3] = [&["Config"], &OF_SERVICE, &BEFORE];
        let mut known = objects
            .iter()
            .flat_map(|object| places.map(|place| read::part(&object.facts, place)))
            .flat_map(|place| read::texts(place, "Env"));
        // Whatever was looked at has its values masked.
        let masked = redact::variable(variable);
        known.any(|known| known == variable || known == masked)
    };
    given.filter(|variable| !known(variable)).filter_map(|text| variable(text, place)).collect()
}

/// A variable with a literal secret.
pub(super) fn variable(text: &str, place: &str) -> Option<Hit> {
    let (name, value) = text.split_once('=')?;
    let told = is_secret(name) && !SWITCHES.iter().any(|switch| value.eq_ignore_ascii_case(switch));
    let literal = !value.is_empty() && !value.starts_with(SCHEME);
    let shaped = redact::shown(value) != redact::plain(value) || has_password(value);
    (literal && (told || shaped))
        .then(|| Hit::at(Rule::EnvSecret, format!("variable {} with a literal secret", quote(name)), place))
}

/// Whether a name says that its value is a secret.
fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let mut words = upper.split(['_', '-', '.']).filter(|word| !word.is_empty()).rev();
    // The working directory of a shell.
    if ["PWD", "OLDPWD"].contains(&upper.as_str()) {
        return false;
    }
    match words.next() {
        Some("KEY") => words.next().is_some_and(|word| KEYS.contains(&word)),
        Some(last) => SECRET.iter().any(|known| last == *known || (known.len() > 4 && last.ends_with(known))),
        None => false,
    }
}

/// Whether a value is an address with a password in it.
fn has_password(value: &str) -> bool {
    value.match_indices("://").any(|(at, slashes)| {
        let rest = value.get(at + slashes.len()..).unwrap_or_default();
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        let account = authority.rsplit_once('@').and_then(|(account, _)| account.split_once(':'));
        account.is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
    })
}

/// Labels by which others find their own; those in `marks`, with those values, were not typed by the caller.
pub(super) fn labels<'a>(
    given: impl Iterator<Item = (&'a str, &'a str)>,
    marks: &BTreeMap<String, String>,
    place: &str,
) -> Vec<Hit> {
    let typed = given.filter(|(name, value)| marks.get(*name).is_none_or(|mark| mark != value));
    typed
        .filter(|(name, _)| is_reserved(name))
        .map(|(name, _)| Hit::at(Rule::ReservedLabel, format!("label {}", quote(name)), place))
        .collect()
}

/// Readers of labels differ in whether case counts.
fn is_reserved(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    RESERVED.iter().any(|reserved| name.starts_with(reserved))
}

/// An image that may be another one tomorrow.
pub(super) fn image(reference: &str, objects: &[Object]) -> Option<Hit> {
    let is_id = |id: &str| {
        let digits = id.strip_prefix("sha256:").unwrap_or(id);
        let own = reference.strip_prefix("sha256:").unwrap_or(reference);
        own.len() >= 6 && own.chars().all(|digit| digit.is_ascii_hexdigit()) && digits.starts_with(own)
    };
    let mut images = objects.iter().filter(|object| object.kind == ObjectKind::Image);
    let pinned = reference.is_empty()
        || reference.contains("@sha256:")
        || reference.contains("@sha512:")
        || reference.starts_with("sha256:")
        || images.any(|image| is_id(&image.id));
    (!pinned).then(|| Hit::new(Rule::Image, format!("image {} without a digest", quote(reference))))
}

/// The lines that a commit puts on top of an image, as the engine reads a Dockerfile.
pub(super) fn changes<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Hit> {
    let text = lines.collect::<Vec<_>>().join("\n");
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    let mut hits = Vec::new();
    for first in 0..lines.len() {
        // A line can go on in the next one; which sign says so depends on a directive, so both count, and what
        // goes on is read as a line of its own too.
        let mut whole = String::new();
        for line in lines.get(first..).unwrap_or_default() {
            let line = line.trim_end();
            if !whole.is_empty() && (line.is_empty() || line.trim_start().starts_with('#')) {
                continue;
            }
            let open = line.strip_suffix(['\\', '`']);
            whole.push_str(open.unwrap_or(line));
            if open.is_none() {
                break;
            }
        }
        change(&whole, &mut hits);
    }
    hits.dedup();
    hits
}

fn change(line: &str, hits: &mut Vec<Hit>) {
    let (instruction, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    let instruction = instruction.to_ascii_uppercase();
    match instruction.as_str() {
        "ONBUILD" => change(rest, hits),
        "ENV" | "LABEL" => {
            for (name, value) in pairs(rest) {
                if instruction == "ENV" {
                    hits.extend(variable(&format!("{name}={value}"), "Changes"));
                } else if name.contains('$') || is_reserved(&name) {
                    hits.push(Hit::at(Rule::ReservedLabel, format!("label {}", quote(&name)), "Changes"));
                }
            }
        }
        _ => {}
    }
}

/// `a=b "c d"=e`, or `name all of the rest`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut characters = text.trim().chars();
    while let Some(character) = characters.next() {
        let Some(word) = words.last_mut() else { break };
        match (character, quote) {
            ('\\', _) => word.extend(characters.next()),
            ('"' | '\'', None) => quote = Some(character),
            (sign, Some(open)) if sign == open => quote = None,
            (blank, None) if blank.is_whitespace() => words.push(String::new()),
            (character, _) => word.push(character),
        }
    }
    words.retain(|word| !word.is_empty());
    match words.split_first() {
        Some((first, rest)) if !first.contains('=') => vec![(first.clone(), rest.join(" "))],
        _ => words
            .iter()
            .map(|word| word.split_once('=').unwrap_or((word, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_secrets_are_told_by_name_or_by_shape() {
        for text in [
            "DB_PASSWORD=x",
            "password=hunter2",
            "POSTGRES_PASSWORD=a b",
            "GITHUB_TOKEN=x",
            "AWS_SECRET_ACCESS_KEY=x",
            "API_KEY=x",
            "my.api-key=x",
            "DBPASSWORD=x",
            "SSH_PRIVATE_KEY=x",
            "REDIS_PASS=x",
            "DATABASE_URL=postgres://app:hunter2@db/app",
            "X=https://a:b:c@d@host",
            "PASSWORD=secret:/x",
        ] {
            assert!(variable(text, "Env").is_some(), "{text}");
        }
        for text in [
            "DB_PASSWORD=secret://db",
            "DB_PASSWORD=",
            "DB_PASSWORD",
            "POSTGRES_PASSWORD_FILE=/run/secrets/x",
            "MYSQL_RANDOM_ROOT_PASSWORD=yes",
            "PWD=/srv",
            "OLDPWD=/",
            "TOKEN_TTL=60",
            "KEY=x",
            "PUBLIC_KEY=x",
            "COMPASS=x",
            "URL=https://user@host/a:b@c",
            "URL=postgres://app:$PASSWORD@db",
            "PATH=/bin",
            "A=b",
        ] {
            assert!(variable(text, "Env").is_none(), "{text}");
        }
        assert!(!variable("DB_PASSWORD=hunter2", "Env").unwrap().value.contains("hunter2"));
    }

    #[test]
    fn labels_that_belong_to_others() {
        let marks = BTreeMap::from([("quaymaster.managed".to_owned(), "true".to_owned())]);
        let hits = |name: &str, value: &str| labels([(name, value)].into_iter(), &marks, "Labels").len();
        for name in ["com.docker.compose.project", "Com.Docker.Compose.Project", "traefik.enable", "quaymaster.tool"] {
            assert_eq!(hits(name, "x"), 1, "{name}");
        }
        assert_eq!(hits("quaymaster.managed", "true"), 0);
        assert_eq!(hits("quaymaster.managed", "false"), 1);
        for name in ["app", "com.docker.composer", "quaymaster", "x.traefik.enable", "traefikx"] {
            assert_eq!(hits(name, "x"), 0, "{name}");
        }
    }

    #[test]
    fn images_by_digest_or_id_stay_the_same() {
        let id = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let known = Object::listed(ObjectKind::Image, id.clone(), "x".into(), serde_json::Value::Null);
        let objects = [known];
        for pinned in [&format!("nginx@{id}"), &id, &id[7..], &id[7..19], ""] {
            assert!(image(pinned, &objects).is_none(), "{pinned}");
        }
        for moving in ["nginx", "nginx:1.27", "feed12", "0123", "nginx:latest@other"] {
            assert!(image(moving, &objects).is_some(), "{moving}");
        }
    }

    #[test]
    fn lines_of_a_commit_are_read_as_a_dockerfile() {
        let rules = |lines: &[&str]| changes(lines.iter().copied()).iter().map(|hit| hit.rule).collect::<Vec<_>>();
        for line in [
            "LABEL traefik.enable=true",
            "label  traefik.enable=true",
            "LABEL \"traefik.enable\"=x",
            "LABEL a=b traefik.x=y",
            "LABEL traefik.enable true",
            "ONBUILD LABEL quaymaster.managed=x",
            "LABEL tra\"efik\".x=y",
            "LABEL traefi\\k.x=y",
            "LABEL com.docker.${A}=x",
            "\tLABEL\ttraefik.x=y",
            "onbuild onbuild label traefik.x=1",
        ] {
            assert_eq!(rules(&[line]), [Rule::ReservedLabel], "{line}");
        }
        for line in
            ["ENV DB_PASSWORD=x", "env DB_PASSWORD a secret", "ENV A=b DB_PASSWORD='x y'", "ONBUILD ENV API_KEY=x"]
        {
            assert_eq!(rules(&[line]), [Rule::EnvSecret], "{line}");
        }
        assert_eq!(rules(&["LABEL a=b \\", "traefik.enable=true"]), [Rule::ReservedLabel]);
        assert_eq!(rules(&["# escape=`", "ENV A=b\\", "LABEL traefik.x=y"]), [Rule::ReservedLabel]);
        assert_eq!(rules(&["LABEL a=b \\", "# no", "", "traefik.enable=true"]), [Rule::ReservedLabel]);
        assert_eq!(rules(&["# escape=`", "LABEL a=b `", "traefik.x=y"]), [Rule::ReservedLabel]);
        for line in
            ["LABEL a=traefik.x", "ENV A=b", "CMD [\"traefik.x=y\"]", "# LABEL traefik.x=y", "", "LABEL", "EXPOSE 80"]
        {
            assert!(rules(&[line]).is_empty(), "{line}");
        }
    }
}
