//! The tags of a repository.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    tool::{
        Call, HostlessTool, Summary,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::view::filter,
};

/// Lists the tags of a repository in its registry, the highest numbers first.
///
/// Docker Hub's with dates and sizes: `hub_list_tags`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryListTags {
    /// Repository, such as `ghcr.io/owner/web`.
    image: String,
    /// Only tags that contain this.
    #[serde(default)]
    name: Option<String>,
    /// At most this many. Default: 100.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    repository: String,
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(flatten)]
    page: Page,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        format!("{} of \"{}\"{}", count(self.tags.len(), "tag"), self.repository, self.page.rest())
    }
}

impl HostlessTool for RegistryListTags {
    const NAME: &'static str = "registry_list_tags";
    type Output = Listed;

    async fn call(self, call: &Call) -> Result<Listed> {
        let image = super::image(&self.image)?;
        self.name.iter().try_for_each(|name| filter("name", name))?;
        let found = call.registries().tags(&image).await?;
        let more =
            found.more.then(|| format!("the registry has more than the first {}", count(found.tags.len(), "tag")));
        let fits = |tag: &String| self.name.as_ref().is_none_or(|name| tag.contains(name.as_str()));
        let tags: Vec<String> = found.tags.into_iter().filter(fits).collect();
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: 100, taken: 0 };
        let (tags, page) = paged(tags, |tag| descending(tag), wanted, call.cursors())?;
        Ok(Listed { repository: super::repository(&image), tags, note: more, page })
    }
}

/// A key that puts tags into their order backwards, numbers by what they count.
fn descending(tag: &str) -> String {
    let mut key = String::with_capacity(2 * tag.len());
    let mut rest = tag;
    while let Some(first) = rest.chars().next() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        if digits == 0 {
            // Every letter of a tag is printable ASCII; its counterpart is, too.
            key.push(u8::try_from(first).map_or(first, |byte| char::from(0x9e_u8.saturating_sub(byte))));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let (number, after) = rest.split_at(digits);
        let counted = format!("{:0>12}", number.trim_start_matches('0'));
        key.extend(counted.chars().map(|digit| char::from(b'9' - (u8::try_from(digit).unwrap_or(b'0') - b'0'))));
        rest = after;
    }
    // What goes on comes first.
    key.push('~');
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_comes_first() {
        let mut tags = ["1.9", "1.10", "latest", "1.10.2", "1", "2-alpine", "2", "007", "edge", "1.10-rc1"];
        tags.sort_by_key(|tag| descending(tag));
        assert_eq!(tags, ["latest", "007", "2-alpine", "2", "1.10.2", "1.10-rc1", "1.10", "1.9", "1", "edge"]);
    }
}
