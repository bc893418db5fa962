//! Clean-up in two calls: what could go is planned by name, and only what was planned goes, and only unchanged.

mod apply;
mod candidates;
mod used;

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{line, names};
use crate::{
    config::globs::Globs,
    docker::Docker,
    error::{Error, Result},
    tool::{Access, Call, ObjectKind, Permission, Summary, Tool, text::count},
    tools::{
        time::moment,
        view::{bytes, short_id},
    },
};
pub(super) use apply::ApplyPlan;
use candidates::Candidate;
use used::Used;

/// How long the daemon may look for everything, its disk included.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the rows of a plan take, in bytes, where the call does not say how many it wants.
const ROOM: usize = 4_200;
/// What they take at most: everything that is planned is also shown.
const MOST_ROOM: usize = 15_000;
/// The most objects of one plan.
const MOST: usize = 200;
/// The most characters of one name or owner.
const LONGEST: usize = 120;

/// Plans a clean-up: names every object that could go with its size, owner and last use, and removes nothing.
///
/// `apply_plan` with its id removes exactly these, if unchanged, within 20 min. What only planned containers use is
/// planned with them. For build cache: `prune_build_cache`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanCleanup {
    /// Default: all but volumes.
    #[serde(default)]
    kinds: Vec<Kind>,
    /// What stays: globs of names, images or projects.
    #[serde(default)]
    #[schemars(length(max = 200))]
    keep: Vec<String>,
    /// Not used, tagged or made since: so long ago (`7d`), or a time. Default: any age.
    #[serde(default)]
    older_than: Option<String>,
    /// Unused volumes too, with their data. Default: false.
    #[serde(default)]
    include_volumes: bool,
    /// The most objects. Default: about 30.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

// What can go, in the order in which it goes. A comment: documentation of it would be in the input schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Containers,
    Images,
    Networks,
    Volumes,
}

impl Kind {
    const fn object(self) -> ObjectKind {
        match self {
            Self::Containers => ObjectKind::Container,
            Self::Images => ObjectKind::Image,
            Self::Networks => ObjectKind::Network,
            Self::Volumes => ObjectKind::Volume,
        }
    }

    /// What the removal of one needs.
    const fn permission(self) -> Permission {
        match self {
            Self::Containers => Permission::Create,
            Self::Images => Permission::Images,
            Self::Networks => Permission::Networks,
            Self::Volumes => Permission::Volumes,
        }
    }
}

/// One object of a plan, as it is kept until it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Planned {
    kind: Kind,
    id: String,
    name: String,
    /// What makes it what it is.
    digest: String,
    /// What it did last: a container's last end, an image's names.
    state: String,
    /// What comes back with it, in bytes.
    size: Option<u64>,
}

/// What a plan leaves alone.
struct Wish {
    keep: Globs,
    keep_images: Globs,
    before: Option<Timestamp>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Plan {
    /// The id for `apply_plan`; absent where there is nothing to remove.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    objects: Vec<Row>,
    /// What comes back; at most so much where images share layers in a way that the engine does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    reclaimable: Option<String>,
    /// How many more there are, for another plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<usize>,
    /// What is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip)]
    summary: String,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    kind: &'static str,
    name: String,
    /// Left out where it is the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    /// The compose project, the tool that made it here, or the containers that used it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use: Option<String>,
}

impl Summary for Plan {
    fn summary(&self) -> String {
        self.summary.clone()
    }
}

impl PlanCleanup {
    fn kinds(&self) -> Result<Vec<Kind>> {
        let named = |kind| self.kinds.contains(&kind);
        if named(Kind::Volumes) && !self.include_volumes {
            return Err(Error::invalid("argument \"kinds\": volumes hold data and are planned only when asked for")
                .hint("set \"include_volumes\" as well, or leave volumes out"));
        }
        let all = [Kind::Containers, Kind::Images, Kind::Networks, Kind::Volumes];
        let is_wanted = |kind: &Kind| match kind {
            Kind::Volumes => self.include_volumes,
            kind => self.kinds.is_empty() || named(*kind),
        };
        Ok(all.into_iter().filter(is_wanted).collect())
    }

    fn wish(&self) -> Result<Wish> {
        let globs = |made: Result<Globs>| {
            made.map_err(|error| {
                Error::invalid(format!("argument \"keep\": {error}")).hint("globs of names, such as \"shop-*\"")
            })
        };
        Ok(Wish {
            keep: globs(Globs::new(&[], &self.keep))?,
            keep_images: globs(Globs::of_images(&[], &self.keep))?,
            before: self.older_than.as_deref().map(|age| moment("older_than", age, Timestamp::now())).transpose()?,
        })
    }
}

impl Tool for PlanCleanup {
    const NAME: &'static str = "plan_cleanup";
    const ACCESS: Access = Access::READ;
    type Output = Plan;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, _: &Docker, _: &Call) -> Result<crate::tool::Plan> {
        self.kinds()?;
        self.wish()?;
        Ok(crate::tool::Plan::declared(Self::ACCESS))
    }

    async fn call(self, docker: &Docker, _: crate::tool::Plan, call: &Call) -> Result<Plan> {
        let (kinds, wish) = (self.kinds()?, self.wish()?);
        let (mut planned, mut rows, mut notes) = (Vec::<Planned>::new(), Vec::new(), Vec::new());
        let mut room = if self.limit.is_some() { MOST_ROOM } else { ROOM };
        let (most, mut left) = (self.limit.unwrap_or(MOST), 0);
        for kind in kinds {
            let used = Used::but_for(docker, &planned).await?;
            let mut found = candidates::of(kind, docker, &wish, &used, &mut notes).await?;
            found.sort_by(|one, other| {
                other.planned.size.cmp(&one.planned.size).then_with(|| one.planned.name.cmp(&other.planned.name))
            });
            for candidate in found {
                let row = Row::of(&candidate, &used);
                let size = serde_json::to_string(&row).map_or(0, |text| text.len() + 1);
                if planned.len() < most && size <= room {
                    room -= size;
                    rows.push(row);
                    planned.push(candidate.planned);
                } else {
                    left += 1;
                }
            }
        }
        let sizes = planned.iter().filter_map(|object| object.size).reduce(u64::saturating_add);
        let reclaimable = sizes.map(bytes);
        let (plan, summary) = if planned.is_empty() {
            (None, "nothing to clean up".to_owned())
        } else {
            let back = reclaimable.as_ref().map(|size| format!(", {size} come back")).unwrap_or_default();
            let summary = format!("{} could go{back}: apply_plan removes just these", count(planned.len(), "object"));
            (Some(call.plans().keep(docker.host(), &planned)?), summary)
        };
        let expires = Timestamp::now().checked_add(crate::tool::plans::GOOD_FOR).ok().filter(|_| plan.is_some());
        Ok(Plan {
            plan,
            expires: expires.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            objects: rows,
            reclaimable,
            left: (left > 0).then_some(left),
            notes,
            summary,
        })
    }
}

impl Row {
    fn of(candidate: &Candidate, used: &Used) -> Self {
        let Candidate { planned, owner, last_use } = candidate;
        let users = || {
            let users = used.by_those_that_go(planned);
            (!users.is_empty()).then(|| format!("container {}", names(&users, 3)))
        };
        Self {
            kind: planned.kind.object().as_str(),
            name: line(&planned.name, LONGEST),
            id: (planned.id != planned.name).then(|| short_id(&planned.id)),
            size: planned.size.map(bytes),
            owner: owner.clone().or_else(users).map(|owner| line(&owner, LONGEST)),
            last_use: last_use.map(|(what, time)| format!("{what} {}", time.strftime("%Y-%m-%dT%H:%M:%SZ"))),
        }
    }
}
