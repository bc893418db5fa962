//! Variables of a process: typed ones, and the operator's secrets that they name.

use std::collections::BTreeMap;

use super::values::wrong;
use crate::{
    error::{Error, Result},
    secret::{SCHEME, Secrets},
};

/// `NAME=value` of every variable; a value may be `secret://NAME`.
pub(crate) fn variables(given: &BTreeMap<String, String>) -> Result<Vec<String>> {
    for (name, value) in given {
        if name.is_empty() || name.contains('=') || name.chars().any(char::is_control) || value.contains('\0') {
            return Err(wrong("env", name, "no variable", "a name without \"=\", a value without NUL"));
        }
    }
    Ok(given.iter().map(|(name, value)| format!("{name}={value}")).collect())
}

/// The same with every `secret://NAME` replaced by the secret of that name: the last step before sending.
pub(crate) fn resolved(variables: Option<Vec<String>>, secrets: &Secrets) -> Result<Option<Vec<String>>> {
    let Some(variables) = variables else { return Ok(None) };
    let resolve = |variable: String| match named(&variable) {
        None => Ok(variable),
        Some((name, secret)) => {
            let value = secrets.named(secret)?;
            if value.expose().contains('\0') {
                return Err(Error::invalid(format!("the secret {secret:?} has a NUL in it, a variable cannot"))
                    .hint("ask the person to mend it"));
            }
            Ok(format!("{name}={}", value.expose()))
        }
    };
    variables.into_iter().map(resolve).collect::<Result<_>>().map(Some)
}

/// The name of a variable, and of the secret that it stands for.
fn named(variable: &str) -> Option<(&str, &str)> {
    let (name, value) = variable.split_once('=')?;
    Some((name, value.strip_prefix(SCHEME)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn secrets_are_named_and_resolved() {
        let variables = BTreeMap::from([
            ("QUAYMASTER_SECRET_DB".to_owned(), "hunter2=".to_owned()),
            ("QUAYMASTER_SECRET_BAD".to_owned(), "a\0b".to_owned()),
        ]);
        let secrets = Secrets::new(None, &variables);
        let resolve = |text: &str| resolved(Some(vec![text.to_owned()]), &secrets).map(|all| all.unwrap().remove(0));
        assert_eq!(resolve("A=secret://db").unwrap(), "A=hunter2=");
        for literal in ["A=x", "A=", "A", "A=see secret://db", "A=Secret://db", "secret://db=x"] {
            assert_eq!(resolve(literal).unwrap(), literal);
        }
        assert_eq!(resolve("A=secret://none").unwrap_err().kind(), Kind::NotFound);
        for wrong in ["A=secret://", "A=secret://../db", "A=secret://bad"] {
            assert_eq!(resolve(wrong).unwrap_err().kind(), Kind::Invalid, "{wrong}");
        }
        assert_eq!(resolved(None, &secrets).unwrap(), None);
    }

    #[test]
    fn variables_have_names() {
        let one = |name: &str, value: &str| variables(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert_eq!(one("A", "b=c").unwrap(), ["A=b=c"]);
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\n", "x"), ("A", "\0")] {
            assert!(one(name, value).is_err(), "{name:?}");
        }
    }
}
