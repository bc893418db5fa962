//! Which names speak of a secret, and which never do.

use globset::{Glob, GlobSet, GlobSetBuilder};

/// What kind of secret a name speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// What a person types.
    Password,
    /// What a program sends.
    Token,
    /// What something is signed or encrypted with, or unlocked.
    Key,
}

/// What may follow the word, without digits behind it: `PASSWORD_HASH`, `token_b64`.
const ENDINGS: [&str; 10] = ["base", "b", "hash", "value", "plain", "raw", "current", "default", "encrypted", "string"];

const WORDS: [(&str, Family); 13] = [
    ("password", Family::Password),
    ("passwd", Family::Password),
    ("passphrase", Family::Password),
    ("passwort", Family::Password),
    ("passcode", Family::Password),
    ("pwd", Family::Password),
    ("userpass", Family::Password),
    ("sshpass", Family::Password),
    ("requirepass", Family::Password),
    ("secret", Family::Token),
    ("token", Family::Token),
    ("credential", Family::Token),
    ("credentials", Family::Token),
];

/// What makes a key a secret one; `public`, `primary` and `foreign` do not.
const KEYS: [&str; 33] = [
    "api",
    "access",
    "secret",
    "private",
    "account",
    "shared",
    "auth",
    "encryption",
    "encrypt",
    "signing",
    "sign",
    "signature",
    "master",
    "session",
    "admin",
    "storage",
    "deploy",
    "jwt",
    "hmac",
    "license",
    "client",
    "consumer",
    "subscription",
    "app",
    "application",
    "service",
    "integration",
    "webhook",
    "hook",
    "cookie",
    "crypt",
    "ssh",
    "unlock",
];

/// What a name means by its last word: `DB_PASSWORD`, `apiKey2`, `spring.datasource.password`, `--auth-token`.
///
/// `PASSWORD_FILE`, `token_url` and `tokens` name something else; so does `PWD`.
pub(super) fn family(name: &str) -> Option<Family> {
    let ended = |name: &str| name.trim_end_matches(|last: char| last.is_ascii_digit() || "_-.".contains(last)).len();
    let mut name = name.get(..ended(name))?;
    if let Some(shorter) = ENDINGS.iter().find_map(|ending| without(name, ending))
        && shorter.ends_with(['_', '-', '.'])
    {
        name = shorter.get(..ended(shorter))?;
    }
    if name == "PWD" || name == "OLDPWD" {
        return None;
    }
    if let Some((_, family)) = WORDS.iter().find(|(word, _)| without(name, word).is_some()) {
        return Some(*family);
    }
    if let Some(before) = without(name, "pass") {
        // `DB_PASS`, `dbPass`, `dbpass`; but neither `bypass` nor `compass`.
        let is_camel = name.get(before.len()..).is_some_and(|word| word.starts_with('P'))
            && before.ends_with(|last: char| last.is_ascii_lowercase());
        let is_known = ["db", "user", "root", "admin", "sql", "redis", "store", "smtp", "mail", "ftp", "http", "mq"]
            .iter()
            .any(|word| without(before, word).is_some());
        return (before.is_empty() || before.ends_with(['_', '-', '.']) || is_camel || is_known)
            .then_some(Family::Password);
    }
    let before = without(name, "key")?;
    let before = before.strip_suffix(['_', '-', '.', ' ']).unwrap_or(before);
    KEYS.iter().any(|word| without(before, word).is_some()).then_some(Family::Key)
}

/// Whether a flag takes a secret: `--password`, `-token`, `--requirepass`.
pub(super) fn flag_takes_secret(name: &str) -> bool {
    const FLAGS: [&str; 10] = [
        "passin",
        "passout",
        "masterauth",
        "bearer",
        "oauth2-bearer",
        "cookie",
        "auth-pass",
        "pat",
        "secretkey",
        "accesskey",
    ];
    let negated = ["no-", "skip-", "without-", "use-", "allow-empty-"].iter().any(|word| name.starts_with(word));
    !negated && (family(name).is_some() || FLAGS.iter().any(|flag| flag.eq_ignore_ascii_case(name)))
}

/// Whether a label or option of this name is masked whatever its value.
pub(super) fn hides_value(name: &str) -> bool {
    const ANYWHERE: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "credential", "apikey"];
    if !has_ascii_letters_of_secrets(name) {
        return false;
    }
    let lower = name.to_ascii_lowercase();
    ANYWHERE.iter().any(|word| lower.contains(word))
        || lower.split(|character: char| !character.is_ascii_alphanumeric()).any(|part| {
            let part = part.trim_end_matches(|last: char| last.is_ascii_digit());
            let is_key = part.strip_suffix('s').unwrap_or(part).ends_with("key") && !part.contains("monkey");
            is_key || part.ends_with("auth") || matches!(part, "pass" | "pwd" | "authorization" | "authtoken")
        })
}

/// Whether one of the words can be in it at all: most names need no closer look.
fn has_ascii_letters_of_secrets(name: &str) -> bool {
    name.as_bytes().windows(3).any(|three| {
        [b"pas", b"sec", b"tok", b"cre", b"key", b"aut", b"pwd"].iter().any(|start| three.eq_ignore_ascii_case(*start))
    })
}

/// What is in front of a word that ends a name, whatever the case.
fn without<'a>(name: &'a str, word: &str) -> Option<&'a str> {
    let start = name.len().checked_sub(word.len())?;
    name.get(start..)?.eq_ignore_ascii_case(word).then(|| name.get(..start))?
}

/// Variables that describe a process and hold nothing.
const HARMLESS: [&str; 47] = [
    "PATH",
    "HOME",
    "TZ",
    "LANG",
    "LANGUAGE",
    "HOSTNAME",
    "TERM",
    "COLORTERM",
    "SHLVL",
    "PWD",
    "OLDPWD",
    "SHELL",
    "LOGNAME",
    "PUID",
    "PGID",
    "UID",
    "GID",
    "UMASK",
    "UMASK_SET",
    "LOG_LEVEL",
    "LOGLEVEL",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "NODE_ENV",
    "APP_ENV",
    "RAILS_ENV",
    "RACK_ENV",
    "FLASK_ENV",
    "ASPNETCORE_ENVIRONMENT",
    "DOTNET_ENVIRONMENT",
    "GIN_MODE",
    "PORT",
    "DEBIAN_FRONTEND",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "JAVA_HOME",
    "GOPATH",
    "GOROOT",
    "GOTOOLCHAIN",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "PGDATA",
    "CATALINA_HOME",
    "NO_COLOR",
    "DOCKER_VERSION",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
];

/// Names whose values are shown: the harmless ones, and those of the operator's `reveal`.
#[derive(Debug, Clone, Default)]
pub struct Reveal {
    names: Vec<String>,
    globs: GlobSet,
}

impl Reveal {
    /// The harmless names and these: exact ones, or globs such as `APP_*`.
    #[must_use]
    pub fn new(names: &[String]) -> Self {
        let (globs, names): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|name| name.contains(['*', '?', '[', '{']));
        let mut set = GlobSetBuilder::new();
        for glob in globs.iter().filter_map(|pattern| Glob::new(pattern).ok()) {
            set.add(glob);
        }
        Self { names: names.into_iter().cloned().collect(), globs: set.build().unwrap_or_default() }
    }

    /// Whether the value of a variable, label or option of that name is shown.
    ///
    /// What a shown value gives away by its shape is masked all the same.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        is_harmless(name) || self.asked(name)
    }

    /// Whether the operator asked for it.
    pub(super) fn asked(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name) || (!self.globs.is_empty() && self.globs.is_match(name))
    }
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.contains(&name)
        || ((name.ends_with("_VERSION") || name.starts_with("LC_")) && !hides_value(name) && name.len() < 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_name_decides() {
        for name in [
            "password",
            "PGPASSWORD",
            "DB_PASS",
            "dbPass",
            "mysql_pwd",
            "spring.datasource.password",
            "API_KEY",
            "apiKey",
            "x-api-key",
            "aws_secret_access_key",
            "AccountKey",
            "SharedAccessKey",
            "clientSecret",
            "NPM_TOKEN",
            "auth-token",
            "password1",
            "POSTGRES_PASSWORD_2",
            "admin_password_hash",
            "requirepass",
            "TOKEN_B64",
        ] {
            assert!(family(name).is_some(), "{name}");
        }
        for name in [
            "",
            "PWD",
            "OLDPWD",
            "password_file",
            "PASSWORD_FILE",
            "token_url",
            "tokens",
            "max_tokens",
            "secretary",
            "bypass",
            "compass",
            "key",
            "public_key",
            "primary_key",
            "monkey",
            "keyboard",
            "tokenizer",
            "cache_key",
            "é",
        ] {
            assert!(family(name).is_none(), "{name}");
        }
    }

    #[test]
    fn labels_hide_what_their_name_says() {
        for name in [
            "traefik.http.middlewares.x.basicauth.users",
            "com.example.secret",
            "app.token",
            "my-api-key",
            "x.credentials.y",
            "registry.auth",
            "KEYS",
            "ssh_key1",
            "org.x.passwordHint",
        ] {
            assert!(hides_value(name), "{name}");
        }
        for name in [
            "org.opencontainers.image.authors",
            "maintainer",
            "com.docker.compose.project",
            "monkey",
            "keyboard",
            "author",
            "com.docker.compose.depends_on",
            "org.label-schema.vcs-ref",
            "traefik.enable",
            "",
            "é",
        ] {
            assert!(!hides_value(name), "{name}");
        }
    }

    #[test]
    fn harmless_names_and_those_of_the_operator_are_shown() {
        let reveal = Reveal::new(&["APP_MODE".to_owned(), "FEATURE_*".to_owned(), "[".to_owned()]);
        for name in ["PATH", "LC_ALL", "NGINX_VERSION", "APP_MODE", "FEATURE_X"] {
            assert!(reveal.shows(name), "{name}");
        }
        for name in
            ["path", "DB_PASSWORD", "SECRET_VERSION", "app_mode", "XFEATURE_X", "", "NODE_OPTIONS", "DATABASE_URL"]
        {
            assert!(!reveal.shows(name), "{name}");
        }
        assert!(Reveal::default().shows("TZ") && !Reveal::default().shows("APP_MODE"));
    }
}
