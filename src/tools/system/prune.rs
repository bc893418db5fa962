//! Removing what a daemon can do without: all kinds at once, or the build cache.

use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::Docker,
    error::Result,
    tool::{Access, Call, Effect, Object, ObjectKind, Permission, Plan, Summary, Tool},
    tools::prune::{self, Begun, Facts, Pruned, Wanted, build_cache, containers, images, networks, volumes},
};

/// How many rows of each kind an answer shows.
const MOST_ROWS: usize = 25;

/// Removes what nothing uses: stopped containers, then networks, images and build cache, or lists what would go.
///
/// Volumes only with `volumes`. Without `dry_run: false` it only lists.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneSystem {
    /// Named images and shared cache too. Default: false.
    #[serde(default)]
    all: bool,
    /// Anonymous volumes too, with their data. Default: false.
    #[serde(default)]
    volumes: bool,
    /// Made (cache: used) before: so long ago (`24h`), or a time. Default: any.
    #[serde(default)]
    until: Option<String>,
    /// `key[=value]`, all of them; build cache has none.
    #[serde(default)]
    label: Vec<String>,
    /// Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Swept {
    /// In the order in which they go.
    kinds: Vec<OfKind>,
    #[serde(skip)]
    dry_run: bool,
}

#[derive(Serialize, JsonSchema)]
struct OfKind {
    kind: &'static str,
    #[serde(flatten)]
    pruned: Pruned,
}

impl Summary for Swept {
    fn summary(&self) -> String {
        let kinds = self.kinds.iter().map(|of| of.pruned.counted()).collect::<Vec<_>>().join(", ");
        match (kinds.is_empty(), self.dry_run) {
            (true, _) => "nothing to remove".to_owned(),
            (false, true) => format!("{kinds} would be removed: repeat with dry_run false to do it"),
            (false, false) => format!("removed: {kinds}"),
        }
    }
}

impl Tool for PruneSystem {
    const NAME: &'static str = "prune_system";
    const ACCESS: Access = Access::destroy(&[])
        .down_to(Effect::Read)
        .sometimes(Permission::Create)
        .sometimes(Permission::Images)
        .sometimes(Permission::Networks)
        .sometimes(Permission::System)
        .sometimes(Permission::Volumes);
    type Output = Swept;

    fn deadline(&self) -> Option<Duration> {
        Some(prune::DEADLINE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let wanted = Wanted::of(self.until.as_deref(), &self.label)?;
        let listed = containers::listed(reading).await?;
        let mut going = containers::among(&listed, &wanted);
        let staying = containers::Staying::of(&listed, &going);
        let mut others = networks::candidates(reading, &wanted, &staying).await?;
        others.extend(images::candidates(reading, &wanted, self.all, &staying).await?);
        others.extend(build_cache::candidates(reading, &wanted, self.all).await?);
        let mut permissions = vec![Permission::Create, Permission::Images, Permission::Networks, Permission::System];
        if self.volumes {
            others.extend(volumes::freed(reading, &wanted, &going, &staying).await?);
            permissions.push(Permission::Volumes);
        }
        going.extend(others);
        Ok(prune::plan(Self::ACCESS, &permissions, self.dry_run.unwrap_or(true), going))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Swept> {
        let wanted = Wanted::of(self.until.as_deref(), &self.label)?;
        let typed = &docker.typed().await?;
        let begun = Begun { dry_run: plan.effect == Effect::Read, at: Instant::now() };
        let mut objects = plan.objects;
        let mut of = |kind: ObjectKind| -> Vec<Object> {
            let (these, rest) = std::mem::take(&mut objects).into_iter().partition(|object| object.kind == kind);
            objects = rest;
            these
        };
        let remove = |container| containers::remove(typed, container);
        let stopped = begun.sweep(of(ObjectKind::Container), "container", containers::about, remove).await;
        // Whatever those need that could not go has to stay too.
        let stayed = stopped.stayed();
        let remove = |network| networks::remove(typed, network, stayed);
        let networks = begun.sweep(of(ObjectKind::Network), "network", |_| Facts::default(), remove).await;
        let remove = |image| images::remove(docker, typed, image);
        let images = begun.sweep(of(ObjectKind::Image), "image", images::about, remove).await;
        let cache = build_cache::sweep(begun, docker, of(ObjectKind::BuildCache), &wanted, self.all).await;
        let remove = |volume| volumes::remove(typed, volume);
        let volumes = begun.sweep(of(ObjectKind::Volume), "volume", |_| Facts::default(), remove).await;
        let kinds = [
            ("containers", stopped),
            ("networks", networks),
            ("images", images),
            ("build_cache", cache),
            ("volumes", volumes),
        ];
        let kinds = kinds.into_iter().filter(|(_, pruned)| !pruned.is_empty());
        let kinds = kinds.map(|(kind, pruned)| OfKind { kind, pruned: pruned.shortened(MOST_ROWS) }).collect();
        Ok(Swept { kinds, dry_run: begun.dry_run })
    }
}

/// Removes the build cache that nothing uses, or lists which would go.
///
/// Without `dry_run: false` it only lists it.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneBuildCache {
    /// Also shared and internal cache. Default: false.
    #[serde(default)]
    all: bool,
    /// Last used before: so long ago (`24h`), or a time. Default: any.
    #[serde(default)]
    until: Option<String>,
    /// Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneBuildCache {
    const NAME: &'static str = "prune_build_cache";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::System);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(prune::DEADLINE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let wanted = Wanted::of(self.until.as_deref(), &[])?;
        let unused = build_cache::candidates(reading, &wanted, self.all).await?;
        Ok(prune::plan(Self::ACCESS, &[Permission::System], self.dry_run.unwrap_or(true), unused))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let wanted = Wanted::of(self.until.as_deref(), &[])?;
        let begun = Begun { dry_run: plan.effect == Effect::Read, at: Instant::now() };
        Ok(build_cache::sweep(begun, docker, plan.objects, &wanted, self.all).await)
    }
}
