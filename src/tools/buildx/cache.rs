//! The cache of a builder: what it takes, and taking it away.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ACCESS, builders::Builders, list::planned};
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    redact,
    tool::{
        Access, Call, Course, Plan, Program, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::view::clipped,
};

/// How long the builder may look through its cache, or clear it.
const PATIENCE: Duration = Duration::from_secs(600);
/// How many rows a page has, where the call does not say.
const ROWS: usize = 50;
/// How much of what buildx lists is read, in bytes.
const LARGEST: usize = 8 << 20;
/// The longest text in a row, in characters.
const LONGEST: usize = 120;

/// Shows what a builder's cache takes: records and sums.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxDu {
    /// Default: the one in use.
    #[serde(default)]
    builder: Option<String>,
    /// Such as `type=regular`, `until=24h`.
    #[serde(default)]
    filter: Vec<String>,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Goes on where it was cut.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// Prunes a builder's cache; `prune_build_cache` does it record by record.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxPrune {
    /// Default: the one in use.
    #[serde(default)]
    builder: Option<String>,
    /// Only says what it would free. Default: true.
    #[serde(default = "yes")]
    dry_run: bool,
    /// Also internal images and what is shared. Default: false.
    #[serde(default)]
    all: bool,
    /// Such as `until=24h`.
    #[serde(default)]
    filter: Vec<String>,
    /// Keeps so much of it, such as `10gb`.
    #[serde(default)]
    keep_storage: Option<String>,
}

fn yes() -> bool {
    true
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Used {
    builder: String,
    records: Vec<Record>,
    total: String,
    reclaimable: String,
    #[serde(flatten)]
    page: Page,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
struct Record {
    id: String,
    size: String,
    kind: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_use: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    last_used: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    about: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Pruned {
    builder: String,
    dry_run: bool,
    records: usize,
    /// What was freed, or would be at most.
    size: String,
}

impl Summary for Used {
    fn summary(&self) -> String {
        let records = count(self.records.len(), "record");
        format!("{records}, {} in all, {} of it reclaimable{}", self.total, self.reclaimable, self.page.rest())
    }
}

impl Summary for Pruned {
    fn summary(&self) -> String {
        let records = count(self.records, "record");
        if self.dry_run {
            format!("{records} ({}) could go; nothing was removed: set dry_run to false", self.size)
        } else {
            format!("{records} ({}) removed from the cache of builder \"{}\"", self.size, self.builder)
        }
    }
}

impl Tool for BuildxDu {
    const NAME: &'static str = "buildx_du";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    type Output = Used;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        filters(&self.filter)?;
        planned(self.builder.as_deref(), reading, call).await
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Used> {
        let (builder, printed) = usage(self.builder.as_deref(), filters(&self.filter)?, docker, call).await?;
        let listed = Usage::read(&printed);
        let (total, reclaimable) = (listed.sum("Total"), listed.sum("Reclaimable"));
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: ROWS, taken: 200 };
        let (records, page) = paged(listed.records, |record| record.id.clone(), wanted, call.cursors())?;
        Ok(Used { builder, records, total, reclaimable, page })
    }
}

impl Tool for BuildxPrune {
    const NAME: &'static str = "buildx_prune";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.arguments()?;
        planned(self.builder.as_deref(), reading, call).await
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Pruned> {
        if self.dry_run {
            let (builder, printed) = usage(self.builder.as_deref(), filters(&self.filter)?, docker, call).await?;
            let listed = Usage::read(&printed);
            let records = listed.records.iter().filter(|record| !record.in_use && (self.all || !record.shared)).count();
            return Ok(Pruned { builder, dry_run: true, records, size: listed.sum("Reclaimable") });
        }
        let builders = Builders::of(docker, call)?;
        let builder = builders.named(self.builder.as_deref())?.name;
        let mut arguments =
            vec!["prune".to_owned(), format!("--builder={builder}"), "--force".into(), "--verbose".into()];
        arguments.extend(self.arguments()?);
        let ran = builders.cli(docker, call)?.keeping(LARGEST).run(&arguments, &|_, _| {}).await?;
        let listed = Usage::read(&ran.shown());
        Ok(Pruned { builder, dry_run: false, records: listed.records.len(), size: listed.sum("Total") })
    }
}

impl BuildxPrune {
    fn arguments(&self) -> Result<Vec<String>> {
        let mut arguments = filters(&self.filter)?;
        arguments.extend(self.all.then(|| "--all".to_owned()));
        if let Some(size) = &self.keep_storage {
            let unit =
                size.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.').to_ascii_lowercase();
            let is_size = size.starts_with(|first: char| first.is_ascii_digit())
                && ["", "b", "k", "kb", "m", "mb", "g", "gb", "t", "tb"].contains(&unit.as_str());
            if !is_size {
                return Err(Error::invalid(format!("argument \"keep_storage\": {} is no size", quote(size)))
                    .hint("such as \"10gb\""));
            }
            arguments.push(format!("--keep-storage={size}"));
        }
        Ok(arguments)
    }
}

/// `--filter=key=value` of each.
fn filters(given: &[String]) -> Result<Vec<String>> {
    let fits = |filter: &String| {
        let odd = |letter: char| letter.is_control() || letter.is_whitespace() || letter == ',';
        filter.len() <= 200 && filter.contains('=') && !filter.chars().any(odd)
    };
    match given.iter().find(|filter| !fits(filter)) {
        Some(odd) => Err(Error::invalid(format!("argument \"filter\": {} is none", quote(odd)))
            .hint("key=value, such as \"until=24h\" or \"type=regular\"")),
        None => Ok(given.iter().map(|filter| format!("--filter={filter}")).collect()),
    }
}

/// What the builder lists of its cache.
async fn usage(builder: Option<&str>, filters: Vec<String>, docker: &Docker, call: &Call) -> Result<(String, String)> {
    let builders = Builders::of(docker, call)?;
    let builder = builders.named(builder)?.name;
    let mut arguments = vec!["du".to_owned(), format!("--builder={builder}"), "--verbose".to_owned()];
    arguments.extend(filters);
    let ran = builders.cli(docker, call)?.keeping(LARGEST).run(&arguments, &|_, _| {}).await?;
    Ok((builder, ran.shown()))
}

/// Records and sums, as buildx prints them.
#[derive(Debug, Default)]
struct Usage {
    records: Vec<Record>,
    sums: Vec<(String, String)>,
}

impl Usage {
    /// Blocks of lines: each record one, the sums the last.
    fn read(printed: &str) -> Self {
        let mut usage = Self::default();
        for block in printed.split("\n\n") {
            let mut record: Option<Record> = None;
            for (name, value) in block.lines().filter_map(|line| line.split_once(':')) {
                let value = clipped(redact::plain(value).trim(), LONGEST);
                match (name, &mut record) {
                    ("ID", _) => record = Some(Record { id: value, ..Record::default() }),
                    // Prunes print their sum without a blank line in front.
                    (_, None) | ("Total", Some(_)) => usage.sums.push((name.to_owned(), value)),
                    ("Size", Some(record)) => record.size = value,
                    ("Type", Some(record)) => record.kind = value,
                    ("Reclaimable", Some(record)) => record.in_use = value == "false",
                    ("Shared", Some(record)) => record.shared = value == "true",
                    ("Last used", Some(record)) => record.last_used = value,
                    ("Description", Some(record)) => record.about = value,
                    _ => {}
                }
            }
            usage.records.extend(record);
        }
        usage
    }

    fn sum(&self, name: &str) -> String {
        self.sums.iter().find(|(known, _)| known == name).map_or_else(|| "0B".to_owned(), |(_, value)| value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
ID:\t\ts4cbd65nyou7shz1lrd2oy7n9
Created at:\t2026-11-29 20:49:13.105668789 +0000 UTC
Mutable:\ttrue
Reclaimable:\ttrue
Shared:\t\tfalse
Size:\t\t166B
Description:\tlocal source for dockerfile
Usage count:\t1
Last used:\tLess than a second ago
Type:\t\tsource.local

ID:\t\t7e4q4fkrzx4yc4hxmx5sb2pju
Reclaimable:\tfalse
Shared:\t\ttrue
Size:\t\t6B
Description:\tmount / from exec /bin/sh -c echo a: b
Type:\t\tregular

Shared:\t\t10B
Private:\t332B
Reclaimable:\t342B
Total:\t\t342B
";

    #[test]
    fn records_and_sums_are_told_apart() {
        let usage = Usage::read(PRINTED);
        let rows: Vec<_> =
            usage.records.iter().map(|row| (row.id.as_str(), row.size.as_str(), row.kind.as_str())).collect();
        assert_eq!(
            rows,
            [("s4cbd65nyou7shz1lrd2oy7n9", "166B", "source.local"), ("7e4q4fkrzx4yc4hxmx5sb2pju", "6B", "regular")]
        );
        assert_eq!(usage.records[1].about, "mount / from exec /bin/sh -c echo a: b");
        assert_eq!((usage.sum("Total"), usage.sum("Reclaimable")), ("342B".to_owned(), "342B".to_owned()));
        assert_eq!(Usage::read("Total:\t0B\n").sum("Total"), "0B");
    }

    #[test]
    fn filters_and_sizes_are_plain() {
        assert_eq!(filters(&["until=24h".to_owned()]).unwrap(), ["--filter=until=24h"]);
        for odd in ["", "x", "a=b c", "a=b,c=d"] {
            assert!(filters(&[odd.to_owned()]).is_err(), "{odd}");
        }
        let prune = |size: &str| BuildxPrune {
            builder: None,
            dry_run: true,
            all: true,
            filter: Vec::new(),
            keep_storage: Some(size.to_owned()),
        };
        assert_eq!(prune("10gb").arguments().unwrap(), ["--all", "--keep-storage=10gb"]);
        for odd in ["", "-1", "ten", "10 gb", "1x"] {
            assert!(prune(odd).arguments().is_err(), "{odd}");
        }
    }
}
