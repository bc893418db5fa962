//! Archives out of a container: what a path is there, and its tar.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use serde_json::Value;

use super::{Docker, Target, answer::Reply, names, stream};
use crate::error::{Error, Result};

/// What an engine says of a path in front of its archive: base64 of JSON.
const STAT: &str = "x-docker-container-path-stat";

/// What a path in a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathStat {
    /// Its last name.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// The kind and permissions as Go writes them (`os.FileMode`).
    pub mode: u32,
    /// Of a link: what it leads to in the end, from the container's root.
    pub target: String,
}

impl PathStat {
    /// Go's bits of kinds: everything that is no regular file.
    const DIRECTORY: u32 = 1 << 31;
    const LINK: u32 = 1 << 27;
    const KINDS: u32 = Self::DIRECTORY | Self::LINK | (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21) | (1 << 19);

    fn read(header: &str) -> Option<Self> {
        let document: Value = serde_json::from_slice(&BASE64_STANDARD.decode(header).ok()?).ok()?;
        let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |field: &str| document.get(field).and_then(Value::as_u64);
        Some(Self {
            name: text("name"),
            size: number("size")?,
            mode: u32::try_from(number("mode")?).ok()?,
            target: text("linkTarget"),
        })
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.mode & Self::DIRECTORY != 0
    }

    /// Whether it is a link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        self.mode & Self::LINK != 0
    }

    /// Whether it is a file with contents of its own.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.mode & Self::KINDS == 0
    }
}

impl Docker {
    /// Opens the archive of a path in a container; what the path is comes before a byte of it.
    ///
    /// # Errors
    /// As [`Docker::json`]; `not_found` where the container has no such path.
    pub async fn archive(&self, container: &str, path: &str) -> Result<(PathStat, stream::Bytes)> {
        let target = Target::new(format!("/containers/{}/archive", names::object("container", container)?));
        let Reply { response, .. } = self.ask(Method::GET, target.query("path", path).long()).await?;
        let header = response.headers().get(STAT).and_then(|value| value.to_str().ok());
        let stat = header.and_then(PathStat::read);
        let stat = stat.ok_or_else(|| {
            Error::docker("the daemon does not say what the path is")
                .hint("a proxy in front of it may change its answers; ask the person to run \"quaymaster check\"")
        })?;
        Ok((stat, stream::Bytes::new(response)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_of_a_path_is_read() {
        let header = |json: &str| BASE64_STANDARD.encode(json);
        let directory =
            header(r#"{"name":"etc","size":4096,"mode":2147484141,"mtime":"2026-01-01T00:00:00Z","linkTarget":""}"#);
        assert!(PathStat::read(&directory).unwrap().is_directory());
        let file = PathStat::read(&header(r#"{"name":"hosts","size":174,"mode":420,"linkTarget":""}"#)).unwrap();
        assert!(file.is_file() && !file.is_directory() && !file.is_link());
        assert_eq!((file.name.as_str(), file.size), ("hosts", 174));
        let link = PathStat::read(&header(r#"{"name":"l","size":5,"mode":134218239,"linkTarget":"/usr/x"}"#)).unwrap();
        assert!(link.is_link() && !link.is_file());
        assert_eq!(link.target, "/usr/x");
        for device in ["69206454", "33554880", "16777600"] {
            let device = PathStat::read(&header(&format!(r#"{{"name":"d","size":0,"mode":{device}}}"#))).unwrap();
            assert!(!device.is_file());
        }
        for nonsense in ["", "!", "e30=", "bnVsbA==", &header(r#"{"size":-1,"mode":0}"#)] {
            assert_eq!(PathStat::read(nonsense), None, "{nonsense}");
        }
    }
}
