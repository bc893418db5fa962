//! What a tool may do, and what one call of it is going to do: said before anything but reads is sent.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Call, Effect, Object, Permission, Permissions};
use crate::error::{Error, Kind, Result};

/// What a tool may do at worst, how mild a call of it can be, and what it may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The worst it can do.
    pub effect: Effect,
    /// The mildest that a call can be lowered to by its arguments and one look at its objects.
    pub mildest: Effect,
    /// What every call needs.
    pub always: Permissions,
    /// What some calls need, `always` included.
    pub at_most: Permissions,
}

impl Access {
    /// A tool that only reads.
    pub const READ: Self = Self::new(Effect::Read, &[]);

    /// A tool that only reads, and shows what needs more than to be read.
    #[must_use]
    pub const fn read(needs: &[Permission]) -> Self {
        Self::new(Effect::Read, needs)
    }

    const fn new(effect: Effect, needs: &[Permission]) -> Self {
        let needs = Permissions::of(needs);
        Self { effect, mildest: effect, always: needs, at_most: needs }
    }

    /// A tool that changes what the reverse call brings back.
    #[must_use]
    pub const fn mutate(needs: &[Permission]) -> Self {
        Self::new(Effect::Mutate, needs)
    }

    /// A tool that ends what no call brings back.
    #[must_use]
    pub const fn destroy(needs: &[Permission]) -> Self {
        Self::new(Effect::Destroy, needs)
    }

    /// Says that a call can be as mild as this.
    #[must_use]
    pub const fn down_to(mut self, mildest: Effect) -> Self {
        self.mildest = mildest;
        self
    }

    /// Says that every call needs this too, such as a read that shows contents of files.
    #[must_use]
    pub const fn always(mut self, permission: Permission) -> Self {
        self.always = self.always.with(permission);
        self.at_most = self.at_most.with(permission);
        self
    }

    /// Says that some calls need more, by their arguments.
    #[must_use]
    pub const fn sometimes(mut self, permission: Permission) -> Self {
        self.at_most = self.at_most.with(permission);
        self
    }
}

/// What a call is going to do, said before anything but reads is sent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Never above the declared effect.
    pub effect: Effect,
    /// Never beyond the declared ones.
    pub permissions: Permissions,
    /// What it acts on, resolved.
    pub objects: Vec<Object>,
    /// What it was asked to act on and cannot: the answer reports these one by one.
    pub missing: Vec<(String, Error)>,
    /// What will be sent to create or change something: one document, but for a whole project.
    pub bodies: Vec<Body>,
    /// Whether it opens `BuildKit`'s own channel, which nobody can look into.
    pub opens: bool,
    /// Images that it fetches, makes or uses, as they were named.
    pub images: Vec<String>,
    /// Whether it runs code in its containers or puts files into them: then they are judged by what they are.
    pub enters: bool,
    /// Containers that this very call has made: what is theirs is no other's.
    pub made: BTreeSet<String>,
    /// Labels of what will be sent that the caller did not type, by name.
    pub marks: BTreeMap<String, String>,
    /// Whether it loses state that no call brings back, although its tool only changes things.
    pub loses: bool,
}

/// What a call will send to create or change something, as the engine reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// What kind of document it is.
    pub kind: BodyKind,
    /// The document.
    pub document: Value,
}

/// The kinds of documents that are judged before they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// A new container (`ContainerCreateBody`).
    Container,
    /// A container's new limits (`ContainerUpdateBody`).
    Update,
    /// A command in a container (`ExecConfig`).
    Exec,
    /// A new volume (`VolumeCreateRequest`).
    Volume,
    /// A new network (`NetworkCreateRequest`).
    Network,
    /// A container's place in a network (`NetworkConnectRequest`).
    Connection,
    /// An image made of a container, with the changes to its configuration (`ContainerConfig`).
    Commit,
    /// A service of a swarm (`ServiceSpec`).
    Service,
    /// What a build asks for, written as the same of a container: network and hosts in `HostConfig`, arguments in
    /// `Env`, `Labels`, and the `Images` that it takes.
    Build,
    /// What a swarm keeps with a name and labels only: a secret, a config, a node (`SecretSpec`, `ConfigSpec`,
    /// `NodeSpec`), without its payload.
    Labelled,
    /// A plugin and what it is granted: `Remote`, and `Privileges` as the engine lists them.
    Plugin,
    /// New settings of a plugin: `Settings`, a list of `NAME=value`.
    Settings,
}

impl Plan {
    /// The declared effect and what every call needs, with no object.
    #[must_use]
    pub fn declared(access: Access) -> Self {
        Self {
            effect: access.effect,
            permissions: access.always,
            objects: Vec::new(),
            missing: Vec::new(),
            bodies: Vec::new(),
            opens: false,
            images: Vec::new(),
            enters: false,
            made: BTreeSet::new(),
            marks: BTreeMap::new(),
            loses: false,
        }
    }

    /// Sets what it acts on.
    #[must_use]
    pub fn on(mut self, objects: impl IntoIterator<Item = Object>) -> Self {
        self.objects.extend(objects);
        self
    }

    /// Adds what a list showed a moment ago; what has gone meanwhile needs nobody's leave.
    ///
    /// # Errors
    /// Those of the look, but for `not_found`.
    pub fn on_listed(mut self, found: Result<Object>) -> Result<Self> {
        match found {
            Ok(object) => self.objects.push(object),
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(self)
    }

    /// Lowers the effect; a higher one changes nothing.
    #[must_use]
    pub fn at_most(mut self, effect: Effect) -> Self {
        self.effect = self.effect.min(effect);
        self
    }

    /// Adds a permission that this call needs.
    #[must_use]
    pub fn needing(mut self, permission: Permission) -> Self {
        self.permissions = self.permissions.with(permission);
        self
    }

    /// Adds what will be sent.
    ///
    /// # Errors
    /// `internal` when it cannot be written.
    pub fn sending(mut self, kind: BodyKind, body: &impl Serialize) -> Result<Self> {
        let document = serde_json::to_value(body)
            .map_err(|error| Error::internal("a request cannot be written").detail(error.to_string()))?;
        self.bodies.push(Body { kind, document });
        Ok(self)
    }

    /// Says that it opens `BuildKit`'s own channel.
    #[must_use]
    pub fn opening(mut self) -> Self {
        self.opens = true;
        self
    }

    /// What will be sent of one document, as it was planned and judged.
    ///
    /// # Errors
    /// `internal` when the plan has no such body.
    pub fn sent<T: DeserializeOwned>(&self) -> Result<T> {
        let document = self.bodies.first().map(|body| body.document.clone()).unwrap_or_default();
        serde_json::from_value(document)
            .map_err(|error| Error::internal("the planned request cannot be read back").detail(error.to_string()))
    }

    /// Names an image that it fetches, makes or uses.
    #[must_use]
    pub fn using(mut self, image: impl Into<String>) -> Self {
        self.images.push(image.into());
        self
    }

    /// Says that it runs code in its containers or puts files into them.
    #[must_use]
    pub fn entering(mut self) -> Self {
        self.enters = true;
        self
    }

    /// Says that it loses state that no call brings back, although its tool only changes things: the policy treats
    /// it as a removal.
    #[must_use]
    pub fn losing(mut self) -> Self {
        self.loses = true;
        self
    }

    /// Whether another plan is for the same: the same objects as they were, and the same that will be sent.
    #[must_use]
    pub fn is_of(&self, other: &Self) -> bool {
        // The engine lists some kinds in another order every time.
        let identities = |plan: &Self| {
            let identity =
                |object: &Object| (object.kind.as_str(), object.id.clone(), object.name.clone(), object.digest.clone());
            let mut all: Vec<_> = plan.objects.iter().map(identity).collect();
            all.sort();
            all
        };
        (self.effect, self.permissions) == (other.effect, other.permissions)
            && identities(self) == identities(other)
            && self.images == other.images
    }

    /// Says which labels of what will be sent are Quaymaster's own, as [`Call::labels`] adds them.
    #[must_use]
    pub fn marked(mut self, call: &Call) -> Self {
        self.marks.extend(call.marks().iter().cloned());
        self
    }

    /// The one object of a call that acts on one.
    ///
    /// # Errors
    /// `internal` when the plan resolved none.
    pub fn object(&self) -> Result<&Object> {
        self.objects.first().ok_or_else(|| Error::internal("the plan of this call resolved nothing"))
    }

    /// Resolves many names, each once: what is found goes to `objects`, what is not to `missing`.
    ///
    /// # Errors
    /// `invalid` for a name that cannot be one, and whatever is about the host and not the name.
    pub async fn resolve<'a, F>(mut self, names: &'a [String], find: impl Fn(&'a str) -> F) -> Result<Self>
    where
        F: Future<Output = Result<Object>>,
    {
        for name in names {
            match find(name).await {
                Ok(object) if self.objects.iter().any(|known| known.id == object.id) => {}
                Ok(object) => self.objects.push(object),
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {
                    self.missing.push((name.clone(), error));
                }
                Err(error) => return Err(error),
            }
        }
        match (self.objects.is_empty(), self.missing.as_slice()) {
            (true, [(_, error)]) => Err(error.clone()),
            _ => Ok(self),
        }
    }
}
