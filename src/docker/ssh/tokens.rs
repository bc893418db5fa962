//! The `%` tokens, `${VARIABLE}` and `~` in values of `ssh_config`.

use std::path::{Path, PathBuf};

use crate::config::Environment;

/// What the tokens stand for on one host.
pub(super) struct Tokens<'a> {
    /// `%n`: the name as it was given.
    pub(super) given: &'a str,
    /// `%h`: the name that is connected to.
    pub(super) host: &'a str,
    /// `%p`
    pub(super) port: u16,
    /// `%r`: who logs in there.
    pub(super) remote_user: &'a str,
    /// `%k`: the name of the host key.
    pub(super) key_name: &'a str,
    /// `%u`, `%d`, `%l`, `%L` and variables.
    pub(super) environment: &'a Environment,
}

/// The tokens that paths may have.
pub(super) const IN_PATHS: &str = "hpnrkudlL";
/// The tokens that `ProxyJump` may have.
pub(super) const IN_JUMPS: &str = "hpnr";

impl Tokens<'_> {
    /// Replaces the tokens among `allowed`, and `%%`; any other is refused by name.
    pub(super) fn expand(&self, text: &str, allowed: &str) -> Result<String, String> {
        let mut expanded = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                expanded.push(letter);
                continue;
            }
            match letters.next() {
                Some('%') => expanded.push('%'),
                Some(token) if allowed.contains(token) => expanded.push_str(&self.value(token)?),
                Some(token) => return Err(format!("\"%{token}\" cannot be used in {text:?}")),
                None => return Err(format!("{text:?} ends with a lone \"%\"")),
            }
        }
        Ok(expanded)
    }

    /// A path with its tokens, variables and `~`, made absolute.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, String> {
        let text = variables(&self.expand(text, IN_PATHS)?, self.environment)?;
        absolute(Path::new(&text), self.environment)
    }

    fn value(&self, token: char) -> Result<String, String> {
        let missing = |what: &str| format!("\"%{token}\" cannot be used: {what} is not known");
        Ok(match token {
            'h' => self.host.to_owned(),
            'n' => self.given.to_owned(),
            'p' => self.port.to_string(),
            'r' => self.remote_user.to_owned(),
            'k' => self.key_name.to_owned(),
            'u' => self.environment.user.clone().ok_or_else(|| missing("the account"))?,
            'd' => self.environment.home.as_ref().ok_or_else(|| missing("the home directory"))?.display().to_string(),
            'l' | 'L' => {
                let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
                    .map_err(|_| missing("the name of this machine"))?;
                let name = name.trim();
                if token == 'l' { name } else { name.split('.').next().unwrap_or(name) }.to_owned()
            }
            _ => return Err(format!("\"%{token}\" is not supported")),
        })
    }
}

/// Replaces `${NAME}`; a variable that is not set is an error, as in ssh.
pub(super) fn variables(text: &str, environment: &Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or_else(|| format!("{text:?} has an open \"${{\""))?;
        expanded.push_str(before);
        expanded.push_str(environment.get(name).ok_or_else(|| format!("the variable {name:?} is not set"))?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Expands a leading `~` and puts the rest below the working directory.
pub(super) fn absolute(path: &Path, environment: &Environment) -> Result<PathBuf, String> {
    if let Ok(below) = path.strip_prefix("~") {
        let home = environment.home.as_ref().ok_or("the home directory is not known, so \"~\" cannot be used")?;
        return Ok(home.join(below));
    }
    Ok(environment.working_directory.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str, allowed: &str) -> Result<String, String> {
        let environment = Environment {
            variables: [("KEYS".to_owned(), "/keys".to_owned())].into(),
            home: Some("/home/ann".into()),
            user: Some("ann".into()),
            working_directory: "/desk".into(),
            ..Environment::default()
        };
        let tokens = Tokens {
            given: "prod",
            host: "prod.example.com",
            port: 2222,
            remote_user: "ops",
            key_name: "prod-key",
            environment: &environment,
        };
        if allowed == IN_PATHS {
            return tokens.path(text).map(|path| path.display().to_string());
        }
        tokens.expand(text, allowed)
    }

    #[test]
    fn tokens_are_expanded() {
        assert_eq!(expand("%n-%h:%p %r%%", IN_JUMPS).unwrap(), "prod-prod.example.com:2222 ops%");
        assert_eq!(expand("%d/.ssh/%u@%k", IN_PATHS).unwrap(), "/home/ann/.ssh/ann@prod-key");
        assert_eq!(expand("~/.ssh/%r", IN_PATHS).unwrap(), "/home/ann/.ssh/ops");
        assert_eq!(expand("${KEYS}/%n", IN_PATHS).unwrap(), "/keys/prod");
        assert_eq!(expand("key", IN_PATHS).unwrap(), "/desk/key");
    }

    #[test]
    fn other_tokens_are_refused_by_name() {
        assert!(expand("%C", IN_PATHS).unwrap_err().contains("\"%C\""));
        assert!(expand("%u", IN_JUMPS).unwrap_err().contains("\"%u\""));
        assert!(expand("x%", IN_PATHS).unwrap_err().contains("lone"));
        assert!(expand("${NO}", IN_PATHS).unwrap_err().contains("\"NO\""));
    }
}
