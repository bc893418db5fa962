//! Where in the fleet something is: one list for each kind and host, matched here.

mod query;

use std::collections::BTreeMap;

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::query::{Query, Rank, Trait};
use super::line;
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Kind as ErrorKind, Result},
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, text::count},
    tools::view::{short_id, text},
};

/// So many hits are shown, the rest is counted.
const SHOWN: usize = 20;
/// The longest text of somebody else's in a hit, in characters.
const LONGEST: usize = 100;

/// Finds on which host something is: containers, images, networks, volumes, services.
///
/// By name, id, image, label, project or stack, compose service, published port, or IP address; exact hits come first.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Find {
    /// Such as grafana, 5432, 10.0.3.7, team=web, or an id.
    query: String,
    /// What to look for. Default: any.
    #[serde(default)]
    kind: Kind,
}

/// A kind of object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
    Service,
    #[default]
    Any,
}

impl Kind {
    /// Those that it stands for.
    const fn each(self) -> &'static [Self] {
        match self {
            Self::Container => &[Self::Container],
            Self::Image => &[Self::Image],
            Self::Network => &[Self::Network],
            Self::Volume => &[Self::Volume],
            Self::Service => &[Self::Service],
            Self::Any => &[Self::Container, Self::Image, Self::Network, Self::Volume, Self::Service],
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Service => "service",
            Self::Any => "any",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Image => "/images/json",
            Self::Network => "/networks",
            Self::Volume => "/volumes",
            Self::Service => "/services",
            Self::Container | Self::Any => "/containers/json",
        }
    }

    /// The engine's documents of this kind, from its list.
    fn documents(self, list: &Value) -> impl Iterator<Item = &Value> {
        let list = if self == Self::Volume { list.get("Volumes") } else { Some(list) };
        list.and_then(Value::as_array).into_iter().flatten()
    }
}

/// What one host has, best first, and which lists of it could not be read.
pub(super) struct Part {
    hits: Vec<(Rank, Hit)>,
    unread: Vec<(Kind, Error)>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Found {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hits: Vec<Hit>,
    /// How many more there are of each kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    more: BTreeMap<&'static str, usize>,
    hosts: Vec<HostStatus>,
    #[serde(skip)]
    summary: String,
}

#[derive(Serialize, JsonSchema)]
struct Hit {
    host: String,
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// By which of its properties it was found.
    matched: String,
}

impl Summary for Found {
    fn summary(&self) -> String {
        self.summary.clone()
    }
}

impl FleetTool for Find {
    const NAME: &'static str = "find";
    const CORE: bool = true;
    const WHOLE_FLEET: bool = true;
    type Part = Part;
    type Output = Found;

    fn check(&self) -> Result<()> {
        Query::new(&self.query).map(drop)
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Part> {
        let query = Query::new(&self.query)?;
        let lists = self.kind.each().iter().map(|kind| async {
            let target = Target::new(kind.path());
            let target = if *kind == Kind::Container { target.query("all", "1") } else { target };
            (*kind, docker.json(target).await)
        });
        let mut part = Part { hits: Vec::new(), unread: Vec::new() };
        for (kind, list) in join_all(lists).await {
            match list {
                Ok(list) => part
                    .hits
                    .extend(kind.documents(&list).filter_map(|document| hit(docker.host(), kind, document, &query))),
                // Only a manager of a swarm has services.
                Err(error) if kind == Kind::Service && error.kind() == ErrorKind::Conflict => {}
                Err(error) => part.unread.push((kind, error)),
            }
        }
        match part.unread.first() {
            Some((_, error)) if part.unread.len() == self.kind.each().len() => Err(error.clone()),
            _ => Ok(part),
        }
    }

    fn combine(self, answers: Vec<HostAnswer<Part>>, _: &Call) -> Result<Found> {
        let mut hosts = HostStatus::of(&answers);
        let mut hits = Vec::new();
        for (status, answer) in hosts.iter_mut().zip(answers) {
            let Ok(part) = answer.answer else { continue };
            if !part.unread.is_empty() {
                let unread = part.unread.iter().map(|(kind, error)| format!("{}s: {error}", kind.as_str()));
                status.status = Some("partial".to_owned());
                status.error = Some(unread.collect::<Vec<_>>().join("; "));
            }
            hits.extend(part.hits);
        }
        // Stable: within a rank the hosts keep their configured order.
        hits.sort_by_key(|(rank, _)| *rank);
        let total = hits.len();
        let mut more = BTreeMap::new();
        for (_, hit) in hits.iter().skip(SHOWN) {
            *more.entry(hit.kind).or_default() += 1;
        }
        let hits = hits.into_iter().take(SHOWN).map(|(_, hit)| hit).collect();
        let summary = summary(&self.query, total, &hosts);
        Ok(Found { hits, more, hosts, summary })
    }
}

/// How many there are, and whether that can be relied on: silence of a host is not absence.
fn summary(query: &str, total: usize, hosts: &[HostStatus]) -> String {
    let silent: Vec<&str> =
        hosts.iter().filter(|host| host.status.as_deref() != Some("ok")).map(|host| host.host.as_str()).collect();
    let unasked = match silent.len() {
        0 => String::new(),
        _ => format!("; not everything could be asked, it may be there too: {}", super::names(&silent, 10)),
    };
    let found = match total {
        0 => format!("nothing matches {} on the hosts that answered", quote(query)),
        1..=SHOWN => format!("{} for {}", count(total, "hit"), quote(query)),
        _ => format!("{SHOWN} of {total} hits for {}: ask for a kind, a host, or more exactly", quote(query)),
    };
    format!("{found}{unasked}")
}

/// A document as a hit, by the best match among its properties.
fn hit(host: &str, kind: Kind, document: &Value, query: &Query) -> Option<(Rank, Hit)> {
    let traits = traits(kind, document);
    let (rank, found) =
        traits.iter().filter_map(|property| Some((query.rank(property)?, property))).min_by_key(|(rank, _)| *rank)?;
    let id = (kind != Kind::Volume).then(|| short_id(id(kind, document)));
    let name = match traits.iter().find_map(Trait::name) {
        Some(name) => line(name, LONGEST),
        None => id.clone().unwrap_or_default(),
    };
    let of_container = |field: &str| (kind == Kind::Container).then(|| line(text(document, field), LONGEST));
    let of_service = || {
        let image = document.pointer("/Spec/TaskTemplate/ContainerSpec/Image").and_then(Value::as_str)?;
        (kind == Kind::Service).then(|| line(image, LONGEST))
    };
    let image = of_container("Image")
        .or_else(of_service)
        .map(|image| if image.starts_with("sha256:") { short_id(&image) } else { image });
    Some((
        rank,
        Hit {
            host: host.to_owned(),
            kind: kind.as_str(),
            name,
            id,
            image,
            state: of_container("State"),
            matched: line(&found.to_string(), LONGEST),
        },
    ))
}

/// Everything that an object can be found by; labels last, for what a label mentions is the weakest sign.
fn traits(kind: Kind, document: &Value) -> Vec<Trait<'_>> {
    let mut traits = match kind {
        Kind::Container | Kind::Any => of_container(document),
        Kind::Image => of_image(document),
        Kind::Network => of_network(document),
        Kind::Volume => vec![Trait::Name(text(document, "Name"))],
        Kind::Service => of_service(document),
    };
    if kind != Kind::Volume {
        traits.push(Trait::Id(id(kind, document)));
    }
    let labels = if kind == Kind::Service { document.pointer("/Spec/Labels") } else { document.get("Labels") };
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        match key.as_str() {
            "com.docker.compose.project" | "com.docker.stack.namespace" => traits.push(Trait::Project(value)),
            "com.docker.compose.service" => traits.push(Trait::Service(value)),
            _ => {}
        }
        traits.push(Trait::Label(key, value));
    }
    traits
}

fn of_container(document: &Value) -> Vec<Trait<'_>> {
    let names = texts(document.get("Names")).map(|name| Trait::Name(name.trim_start_matches('/')));
    let ports = document.get("Ports").and_then(Value::as_array).into_iter().flatten().filter_map(|port| {
        let number = |field: &str| port.get(field).and_then(Value::as_u64);
        Some(Trait::Port {
            public: number("PublicPort"),
            private: number("PrivatePort")?,
            protocol: text(port, "Type"),
        })
    });
    let networks = document.pointer("/NetworkSettings/Networks").and_then(Value::as_object).into_iter().flatten();
    let addresses = networks.flat_map(|(network, settings)| {
        ["IPAddress", "GlobalIPv6Address"]
            .map(|field| Trait::Address { address: text(settings, field), whose: network })
    });
    let image = [Trait::Image(text(document, "Image")), Trait::Id(text(document, "ImageID"))];
    names.chain(ports).chain(addresses).chain(image).collect()
}

fn of_service(document: &Value) -> Vec<Trait<'_>> {
    let at = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let ports = document.pointer("/Endpoint/Ports").and_then(Value::as_array).into_iter().flatten();
    let ports = ports.filter_map(|port| {
        let number = |field: &str| port.get(field).and_then(Value::as_u64);
        let public = number("PublishedPort").filter(|port| *port > 0);
        Some(Trait::Port { public, private: number("TargetPort")?, protocol: text(port, "Protocol") })
    });
    let own = [Trait::Name(at("/Spec/Name")), Trait::Image(at("/Spec/TaskTemplate/ContainerSpec/Image"))];
    own.into_iter().chain(ports).collect()
}

/// The managers of a swarm spell it in another way than engines.
fn id(kind: Kind, document: &Value) -> &str {
    text(document, if kind == Kind::Service { "ID" } else { "Id" })
}

fn of_image(document: &Value) -> Vec<Trait<'_>> {
    // An image without a tag has, on some engines, one that says so.
    let references = texts(document.get("RepoTags")).filter(|tag| *tag != "<none>:<none>").map(Trait::Reference);
    let digests = texts(document.get("RepoDigests")).map(Trait::Digest);
    references.chain(digests).collect()
}

fn of_network(document: &Value) -> Vec<Trait<'_>> {
    let pools = document.pointer("/IPAM/Config").and_then(Value::as_array).into_iter().flatten();
    let addresses = pools.flat_map(|pool| {
        [("Subnet", "subnet"), ("Gateway", "gateway")]
            .map(|(field, whose)| Trait::Address { address: text(pool, field), whose })
    });
    [Trait::Name(text(document, "Name"))].into_iter().chain(addresses).collect()
}

fn texts(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grafana() -> Value {
        json!({
            "Id": "0123456789abcdef", "Names": ["/monitoring-grafana-1"], "Image": "grafana/grafana:11.2",
            "ImageID": "sha256:feed0123", "State": "running",
            "Labels": {"com.docker.compose.project": "monitoring", "com.docker.compose.service": "grafana", "team": "web"},
            "Ports": [{"IP": "0.0.0.0", "PrivatePort": 3000, "PublicPort": 8300, "Type": "tcp"}, {"PrivatePort": 5432, "Type": "tcp"}],
            "NetworkSettings": {"Networks": {"back": {"IPAddress": "10.0.3.7", "GlobalIPv6Address": "fd00::7"}}},
        })
    }

    fn matched(kind: Kind, document: &Value, query: &str) -> Option<(Rank, String)> {
        let (rank, hit) = hit("local", kind, document, &Query::new(query).unwrap())?;
        Some((rank, hit.matched))
    }

    #[test]
    fn a_container_is_found_by_everything_that_it_is_called() {
        let container = grafana();
        for (query, rank, by) in [
            ("monitoring-grafana-1", Rank::Exact, "name"),
            ("/Monitoring-Grafana-1", Rank::Exact, "name"),
            ("grafana", Rank::Exact, "service grafana"),
            ("monitoring", Rank::Exact, "project monitoring"),
            ("grafana/grafana", Rank::Exact, "image grafana/grafana:11.2"),
            ("grafana/grafana:11.2", Rank::Exact, "image grafana/grafana:11.2"),
            ("012345678", Rank::Exact, "id"),
            ("sha256:feed", Rank::Exact, "id"),
            ("8300", Rank::Exact, "port 8300->3000/tcp"),
            (":8300", Rank::Exact, "port 8300->3000/tcp"),
            ("8300/tcp", Rank::Exact, "port 8300->3000/tcp"),
            ("5432", Rank::Partial, "port 5432/tcp, not published"),
            ("10.0.3.7", Rank::Exact, "address 10.0.3.7 (back)"),
            ("FD00:0::7", Rank::Exact, "address fd00::7 (back)"),
            ("team=web", Rank::Exact, "label team=web"),
            ("team", Rank::Exact, "label team=web"),
            ("ring-graf", Rank::Partial, "name"),
            ("11.2", Rank::Partial, "image grafana/grafana:11.2"),
            ("eam=w", Rank::Mentioned, "label team=web"),
        ] {
            assert_eq!(matched(Kind::Container, &container, query), Some((rank, by.to_owned())), "{query}");
        }
        for query in ["8300/udp", "830", "10.0.3", "10.0.3.70", "prometheus", "fee"] {
            assert_eq!(matched(Kind::Container, &container, query), None, "{query}");
        }
    }

    #[test]
    fn the_other_kinds_are_found_too() {
        let image = json!({"Id": "sha256:abcdef012345", "RepoTags": ["nginx:latest", "127.0.0.1:5000/web:2"], "RepoDigests": ["nginx@sha256:9876543210"], "Labels": null});
        for (query, rank) in [
            ("nginx", Rank::Exact),
            ("127.0.0.1:5000/web", Rank::Exact),
            ("abcd", Rank::Exact),
            ("sha256:98765", Rank::Exact),
            ("ngin", Rank::Partial),
        ] {
            assert_eq!(matched(Kind::Image, &image, query).map(|found| found.0), Some(rank), "{query}");
        }
        let untagged = json!({"Id": "sha256:abcdef012345", "RepoTags": ["<none>:<none>"], "RepoDigests": null});
        assert_eq!(matched(Kind::Image, &untagged, "none"), None);
        let (_, found) = hit("local", Kind::Image, &untagged, &Query::new("abcdef").unwrap()).unwrap();
        assert_eq!(found.name, "abcdef012345");
        let network = json!({"Id": "aa", "Name": "back end", "IPAM": {"Config": [{"Subnet": "10.0.3.0/24", "Gateway": "10.0.3.1"}]}});
        for query in ["back end", "10.0.3.0/24", "10.0.3.1"] {
            assert_eq!(matched(Kind::Network, &network, query).map(|found| found.0), Some(Rank::Exact), "{query}");
        }
        let service = json!({"ID": "xk2abcdefabcdef99", "Spec": {"Name": "shop_web", "Labels": {"com.docker.stack.namespace": "shop"},
            "TaskTemplate": {"ContainerSpec": {"Image": "lab/web:1"}}}, "Endpoint": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080, "Protocol": "tcp"}]}});
        for (query, by) in [
            ("shop_web", "name"),
            ("shop", "project shop"),
            ("lab/web", "image lab/web:1"),
            ("8080", "port 8080->80/tcp"),
            ("xk2abc", "id"),
        ] {
            assert_eq!(matched(Kind::Service, &service, query), Some((Rank::Exact, by.into())), "{query}");
        }
        let volume = json!({"Name": "pgdata", "Labels": {"com.docker.compose.project": "shop"}});
        assert_eq!(matched(Kind::Volume, &volume, "shop"), Some((Rank::Exact, "project shop".into())));
        let (_, found) = hit("local", Kind::Volume, &volume, &Query::new("data").unwrap()).unwrap();
        assert_eq!((found.name.as_str(), found.id), ("pgdata", None));
    }

    #[test]
    fn a_document_of_the_future_is_no_hit_and_no_failure() {
        for document in
            [json!(null), json!("x"), json!({"Names": 3, "Labels": [1], "Ports": {"a": 1}, "NetworkSettings": []})]
        {
            for kind in Kind::Any.each() {
                assert_eq!(matched(*kind, &document, "web"), None);
            }
        }
    }

    #[test]
    fn hits_are_cut_and_silence_is_told() {
        let query = Query::new("grafana").unwrap();
        let part = |number| Part {
            hits: (0..3).filter_map(|_| hit(&format!("h{number}"), Kind::Container, &grafana(), &query)).collect(),
            unread: if number == 0 { vec![(Kind::Image, Error::denied("no"))] } else { Vec::new() },
        };
        let mut answers: Vec<_> =
            (0..10).map(|number| HostAnswer { host: format!("h{number}"), answer: Ok(part(number)) }).collect();
        answers.push(HostAnswer { host: "gone".into(), answer: Err(Error::unreachable("away")) });
        let found = Find { query: "grafana".into(), kind: Kind::Any }.combine(answers, &Call::alone()).unwrap();
        assert_eq!((found.hits.len(), found.more.get("container")), (20, Some(&10)));
        assert_eq!(found.hosts[0].status.as_deref(), Some("partial"));
        assert_eq!(
            found.summary,
            "20 of 30 hits for \"grafana\": ask for a kind, a host, or more exactly; \
             not everything could be asked, it may be there too: h0, gone"
        );
    }
}
