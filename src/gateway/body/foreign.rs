//! A body that somebody else wrote, read so that the engine cannot read something else in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::LazyLock,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// The largest body that is read.
const LARGEST: usize = 4 << 20;

/// Names of what bodies hold, without regard to case, and how each is written.
///
/// A few are written in two ways, in containers and in services.
static KNOWN: LazyLock<BTreeMap<String, Vec<&'static str>>> = LazyLock::new(|| {
    let mut known: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for name in NAMES.split_whitespace() {
        known.entry(name.to_ascii_lowercase()).or_default().push(name);
    }
    known
});

/// Fields whose entries have names of the caller's choice.
const FREE: &[&str] = &[
    "Annotations",
    "Config",
    "DriverOpts",
    "EndpointsConfig",
    "ExposedPorts",
    "Labels",
    "Options",
    "PortBindings",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Reads a body of at most 4 `MiB` into the one value that it can mean.
///
/// The engine takes names without regard to case, and the last of several: a name that stands twice in one object,
/// or that differs from another or from a known one only by case, is refused, whatever it says.
///
/// # Errors
/// `invalid`, with the name and where it stands.
pub fn foreign(bytes: &[u8]) -> Result<Value> {
    if bytes.len() > LARGEST {
        return Err(Error::invalid("the body is larger than 4 MiB").hint("send less"));
    }
    let refused = |error: serde_json::Error| {
        Error::invalid("the body cannot be read in one way only")
            .hint("write every name once and as the engine's description has it")
            .detail(error.to_string())
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Exact { free: false }.deserialize(&mut reader).map_err(refused)?;
    reader.end().map_err(refused)?;
    Ok(value)
}

/// The first field below `HostConfig` or `TaskTemplate` of which no rule knows what it means.
#[must_use]
pub fn unknown(document: &Value) -> Option<String> {
    ["HostConfig", "TaskTemplate"].into_iter().find_map(|place| unknown_in(document.get(place)?))
}

fn unknown_in(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => items.iter().find_map(unknown_in),
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if !KNOWN.contains_key(&fold(name)) {
                return Some(name.clone());
            }
            // The names in these are the caller's; an object in a list is the engine's again.
            if FREE.contains(&name.as_str()) && value.is_object() { None } else { unknown_in(value) }
        }),
        _ => None,
    }
}

/// Reads one value; `free` where the names of an object are the caller's.
#[derive(Clone, Copy)]
struct Exact {
    free: bool,
}

impl<'de> DeserializeSeed<'de> for Exact {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Exact {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Self { free: false })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        let mut folded = BTreeSet::new();
        while let Some(name) = access.next_key::<String>()? {
            let fold = fold(&name);
            let known = KNOWN.get(&fold);
            if !self.free && known.is_some_and(|known| !known.contains(&name.as_str())) {
                return Err(A::Error::custom(format!("{name:?} is not how the engine writes it")));
            }
            if !folded.insert(fold) {
                return Err(A::Error::custom(format!("{name:?} stands twice in one object")));
            }
            let free = !self.free && FREE.contains(&name.as_str());
            let value = access.next_value_seed(Self { free })?;
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

/// A name as the engine compares it: its language takes two signs beyond ASCII for letters of it.
fn fold(name: &str) -> String {
    name.chars()
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            letter => letter,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

/// Every name of the engine's description in the bodies that are judged.
const NAMES: &str = "
AccessMode AccessibilityRequirements Aliases Annotations AppArmor Architecture Args ArgsEscaped AttachStderr
AttachStdin AttachStdout Attachable AutoRemove AuxiliaryAddresses Availability BindOptions Binds
BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeight BlkioWeightDevice
CapAdd CapDrop Capabilities CapabilityAdd CapabilityDrop CapacityRange Cgroup CgroupParent CgroupPermissions
CgroupnsMode ClusterVolumeSpec Cmd Command Condition Config ConfigFrom ConfigID ConfigName ConfigOnly Configs
Consistency ConsoleSize Constraints Container ContainerID ContainerIDFile ContainerSpec Count CpuCount
CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus CpusetMems
CreateMountpoint CredentialSpec DNSConfig DNSNames Delay Description DetachKeys DeviceCgroupRules DeviceIDs
DeviceRequests Devices Dir Disable Disabled DiscreteResourceSpec Dns DnsOptions DnsSearch Domainname Driver
DriverConfig DriverOpts EnableIPv4 EnableIPv6 EndpointConfig EndpointID EndpointSpec EndpointsConfig
Entrypoint Env ExposedPorts ExtraHosts FailureAction File ForceUpdate GID Gateway GenericResources Global
GlobalIPv6Address GlobalIPv6PrefixLen GlobalJob Group GroupAdd Groups GwPriority Hard HealthCheck Healthcheck
HostConfig HostIp HostPort Hostname Hosts IOMaximumBandwidth IOMaximumIOps IPAM IPAMConfig IPAddress
IPPrefixLen IPRange IPv4Address IPv6Address IPv6Gateway Image ImageOptions Ingress Init Internal Interval
IpcMode Isolation Key Kind Labels Level LimitBytes Limits LinkLocalIPs Links LogConfig LogDriver MacAddress
MaskedPaths MaxAttempts MaxConcurrent MaxFailureRatio MaxReplicas MaximumRetryCount Memory MemoryBytes
MemoryReservation MemorySwap MemorySwappiness Mode Monitor MountVolume Mounts Name NamedResourceSpec
Nameservers NanoCPUs NanoCpus Network NetworkAttachmentSpec NetworkDisabled NetworkID NetworkMode
NetworkingConfig Networks NoCopy NoNewPrivileges NonRecursive OS OnBuild OomKillDisable OomScoreAdj OpenStdin
Options Order Parallelism Path PathInContainer PathOnHost PidMode Pids PidsLimit Placement Platforms
PluginPrivilege PluginSpec PortBindings Ports Preferences Preferred Privileged Privileges Profile Propagation
Protocol PublishAllPorts PublishMode PublishedPort Rate ReadOnly ReadOnlyForceRecursive ReadOnlyNonRecursive
ReadonlyPaths ReadonlyRootfs Registry Remote Replicas Replicated ReplicatedJob RequiredBytes Requisite
Reservations Resources RestartPolicy Retries Role RollbackConfig Runtime SELinuxContext Scope Search Seccomp
Secret SecretID SecretName Secrets SecurityOpt Segments Sharing Shell ShmSize SizeBytes Soft Source Spread
SpreadDescriptor StartInterval StartPeriod StdinOnce StopGracePeriod StopSignal StopTimeout StorageOpt Subnet
Subpath SwapBytes Sysctls TTY Target TargetPort TaskTemplate Test Timeout Tmpfs TmpfsOptions TotalCompletions
Tty Type UID UTSMode Ulimits UpdateConfig User UsernsMode Value VolumeDriver VolumeOptions Volumes VolumesFrom
Weight Window WorkingDir
";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn one_name_has_one_spelling() {
        for body in [
            r#"{"HostConfig":{"Privileged":false,"privileged":true}}"#,
            r#"{"hostconfig":{}}"#,
            r#"{"HostConfig":{"Privileged":false,"Privileged":true}}"#,
            r#"{"HostConfig":{"PRIVILEGED":true}}"#,
            r#"{"HostConfig":{"Mount\u017f":[]}}"#,
            r#"{"Networ\u212aingConfig":{}}"#,
            r#"{"HostConfig":{"Mounts":[{"VolumeOptions":{"DriverConfig":{"options":{}}}}]}}"#,
            r#"{"Labels":{"a":"1","a":"2"}}"#,
            r#"{"Labels":{"a":"1","A":"2"}}"#,
            r#"{"HostConfig":{"PortBindings":{"80/tcp":[{"hostip":""}]}}}"#,
            r#"{"a":[[{"b":1,"B":2}]]}"#,
            r#"{"Image":"x"} {}"#,
            r#"{"Image":"x""#,
            "",
        ] {
            assert!(foreign(body.as_bytes()).is_err(), "{body}");
        }
        assert!(foreign(&vec![b' '; LARGEST + 1]).is_err());
        assert!(foreign("[".repeat(100_000).as_bytes()).is_err());
        assert!(foreign(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn what_no_rule_knows_is_named() {
        let unknown = |document: Value| unknown(&document);
        assert_eq!(unknown(json!({"Anything": 1, "HostConfig": {"Privileged": true, "Binds": ["/a:/b"]}})), None);
        assert_eq!(unknown(json!({"HostConfig": {"Sysctls": {"net.x": "1"}, "PortBindings": {"80/tcp": []}}})), None);
        let host = json!({"HostConfig": {"Mounts": [{"Type": "bind", "Shortcut": true}]}});
        assert_eq!(unknown(host).unwrap(), "Shortcut");
        assert_eq!(unknown(json!({"TaskTemplate": {"ContainerSpec": {"Backdoor": 1}}})).unwrap(), "Backdoor");
    }

    #[test]
    fn what_is_written_as_it_should_be_stays() {
        let body = json!({"Image": "x", "Labels": {"image": "x", "hostconfig": "y"}, "HostConfig": {
            "Binds": ["/a:/b"], "Memory": 1.5, "Init": null, "PidsLimit": -1, "Privileged": false,
            "Tmpfs": {"/privileged": ""}, "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "1"}]},
        }});
        assert_eq!(foreign(body.to_string().as_bytes()).unwrap(), body);
    }

    #[test]
    fn every_field_that_can_be_sent_is_known() {
        use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig, ServiceSpec, VolumeCreateRequest};
        // Fields are left out where nothing is in them: those that are always written are enough to see that
        // names are spelled as the client spells them.
        let documents = [
            serde_json::to_value(ContainerCreateBody {
                host_config: Some(HostConfig::default()),
                ..Default::default()
            }),
            serde_json::to_value(ExecConfig::default()),
            serde_json::to_value(ServiceSpec::default()),
            serde_json::to_value(VolumeCreateRequest::default()),
        ];
        for document in documents {
            let text = document.unwrap().to_string();
            assert!(foreign(text.as_bytes()).is_ok(), "{text}");
        }
        for name in
            ["Privileged", "HostConfig", "CapAdd", "ContainerSpec", "DeviceCgroupRules", "MaskedPaths", "Mounts"]
        {
            assert_eq!(KNOWN[&name.to_lowercase()], [name]);
        }
    }

    proptest! {
        #[test]
        fn a_known_name_in_another_case_is_refused(
            name in prop::sample::select(NAMES.split_whitespace().collect::<Vec<_>>()),
            flips in prop::collection::vec(any::<bool>(), 40),
        ) {
            let other: String = name
                .chars()
                .zip(flips)
                .map(|(letter, flip)| match (flip, letter.is_ascii_uppercase()) {
                    (false, _) => letter,
                    (true, true) => letter.to_ascii_lowercase(),
                    (true, false) => letter.to_ascii_uppercase(),
                })
                .collect();
            let body = json!({"HostConfig": {"Other": [{other.as_str(): 1}]}}).to_string();
            let known = NAMES.split_whitespace().any(|known| known == other);
            prop_assert_eq!(foreign(body.as_bytes()).is_ok(), known, "{}", other);
            let both = format!("{{\"x\":{{\"{name}\":1,\"{other}\":2}}}}");
            prop_assert!(foreign(both.as_bytes()).is_err());
        }

        #[test]
        fn whatever_is_read_means_what_it_says(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = foreign(&bytes) {
                prop_assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), value);
            }
        }
    }
}
