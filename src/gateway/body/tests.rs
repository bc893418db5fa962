//! Every rule in every profile, and every disguise of what a rule is about.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::{
    config::limits::Profile,
    tool::{Access, Object},
};

fn plan(kind: BodyKind, document: Value) -> Plan {
    let mut plan = Plan::declared(Access::READ);
    plan.bodies.push(Body { kind, document });
    plan
}

fn hits(plan: &Plan, seen: &Seen) -> Vec<Hit> {
    Judged::all(plan).flat_map(|judged| super::hits(&judged, seen)).collect()
}

fn findings(plan: &Plan, bodies: &Bodies, seen: &Seen) -> Vec<Finding> {
    Judged::all(plan).flat_map(|judged| findings_of(&judged, bodies, seen)).collect()
}

/// An engine of cgroup v2 with `runc`, a few containers and volumes.
fn seen() -> Seen {
    let container = |host: Value, mounts: Value| json!({"Name": "/other", "HostConfig": host, "Mounts": mounts});
    let volume = |name: &str, options: Value, project: &str| {
        let labels = if project.is_empty() { Value::Null } else { json!({"com.docker.compose.project": project}) };
        json!({"Name": name, "Driver": "local", "Options": options, "Labels": labels})
    };
    let user = |volume: &str, project: &str| {
        json!({"Id": format!("id of {volume}"), "Labels": {"com.docker.compose.project": project},
               "Mounts": [{"Type": "volume", "Name": volume}]})
    };
    Seen {
        engine: Some(json!({
            "DefaultRuntime": "runc", "CgroupVersion": "2", "LoggingDriver": "syslog", "DockerRootDir": "/data/docker",
        })),
        own: path::Own { root: Some("/data/docker".into()), socket: Some("/opt/engine/api".into()) },
        containers: BTreeMap::from([
            ("plain".into(), container(json!({}), json!([]))),
            ("privileged".into(), container(json!({"Privileged": true}), json!([]))),
            ("on-host".into(), container(json!({"NetworkMode": "host"}), json!([]))),
            (
                "behind".into(),
                container(json!({"NetworkMode": "container:on-host", "PidMode": "container:pids"}), json!([])),
            ),
            ("pids".into(), container(json!({"PidMode": "host"}), json!([]))),
            ("looped".into(), container(json!({"IpcMode": "container:looped"}), json!([]))),
            ("lost".into(), container(json!({"PidMode": "container:gone"}), json!([]))),
            (
                "mounts".into(),
                container(json!({}), json!([{"Type": "bind", "Source": "/etc", "Destination": "/x", "RW": false}])),
            ),
            (
                "hidden".into(),
                container(json!({}), json!([{"Type": "volume", "Name": "disguised", "Driver": "local", "RW": true}])),
            ),
        ]),
        volumes: vec![
            volume("disguised", json!({"type": "none", "o": "bind", "device": "/etc"}), ""),
            volume("on-device", json!({"type": "ext4", "device": "/dev/sdb"}), ""),
            volume("of-nothing", json!({"o": "password=x"}), ""),
            volume("over-nfs", json!({"type": "nfs", "o": "addr=1.2.3.4", "device": ":/x"}), ""),
            volume("of-shop", Value::Null, "shop"),
            volume("used-by-shop", Value::Null, ""),
            volume("used-by-nobody", Value::Null, ""),
            volume("used-by-somebody", Value::Null, ""),
        ],
        users: vec![user("used-by-shop", "shop"), user("used-by-somebody", "")],
    }
}

fn rules(plan: &Plan) -> Vec<Rule> {
    let mut rules: Vec<Rule> = hits(plan, &seen()).into_iter().map(|hit| hit.rule).collect();
    // What a body lacks is not what these are about.
    rules.retain(|rule| ![Rule::Limits, Rule::Image].contains(rule));
    rules.sort();
    rules.dedup();
    rules
}

fn of_host(host: impl Into<Value>) -> Vec<Rule> {
    rules(&plan(BodyKind::Container, json!({ "HostConfig": host.into() })))
}

#[test]
fn the_table_of_the_profiles() {
    use Verdict::{Allow, Ask, Deny, Note};
    let table: &[(&[Rule], [Verdict; 3])] = &[
        (
            &[
                Rule::Privileged,
                Rule::HostPid,
                Rule::RawDevices,
                Rule::DeviceCgroup,
                Rule::MaskedPaths,
                Rule::DockerSocket,
                Rule::PluginPrivileges,
                Rule::Capability,
                Rule::SecurityOpt,
                Rule::HostUserns,
                Rule::HostCgroup,
                Rule::HostIpc,
                Rule::HostUts,
                Rule::Runtime,
                Rule::DisguisedBind,
                Rule::SensitiveBind,
            ],
            [Deny, Deny, Ask],
        ),
        (
            &[
                Rule::Bind,
                Rule::HostNet,
                Rule::ContainerNamespace,
                Rule::VolumesFrom,
                Rule::Gpu,
                Rule::Sysctl,
                Rule::LogDriver,
                Rule::BuildChannel,
            ],
            [Deny, Ask, Allow],
        ),
        (&[Rule::ForeignVolume, Rule::Port, Rule::HostGateway], [Ask, Note, Allow]),
        (&[Rule::Limits, Rule::RestartAlways, Rule::Oom, Rule::Image], [Note, Note, Allow]),
        (&[Rule::ReservedLabel, Rule::EnvSecret], [Deny, Note, Allow]),
    ];
    let bodies: &[(Rule, BodyKind, Value)] = &[
        (Rule::Privileged, BodyKind::Exec, json!({"Privileged": true})),
        (Rule::HostPid, BodyKind::Container, json!({"HostConfig": {"PidMode": "host"}})),
        (Rule::RawDevices, BodyKind::Container, json!({"HostConfig": {"Devices": [{"PathOnHost": "/dev/kvm"}]}})),
        (Rule::DeviceCgroup, BodyKind::Update, json!({"DeviceCgroupRules": ["a *:* rwm"]})),
        (Rule::MaskedPaths, BodyKind::Container, json!({"HostConfig": {"MaskedPaths": []}})),
        (Rule::DockerSocket, BodyKind::Container, json!({"HostConfig": {"Binds": ["/run/docker.sock:/s"]}})),
        (Rule::PluginPrivileges, BodyKind::Service, json!({"TaskTemplate": {"PluginSpec": {"Remote": "x"}}})),
        (Rule::Capability, BodyKind::Container, json!({"HostConfig": {"CapAdd": ["ALL"]}})),
        (Rule::SecurityOpt, BodyKind::Container, json!({"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}})),
        (Rule::HostUserns, BodyKind::Container, json!({"HostConfig": {"UsernsMode": "host"}})),
        (Rule::HostCgroup, BodyKind::Container, json!({"HostConfig": {"CgroupParent": "/"}})),
        (Rule::HostIpc, BodyKind::Container, json!({"HostConfig": {"IpcMode": "host"}})),
        (Rule::HostUts, BodyKind::Container, json!({"HostConfig": {"UTSMode": "host"}})),
        (Rule::Runtime, BodyKind::Container, json!({"HostConfig": {"Runtime": "other"}})),
        (Rule::DisguisedBind, BodyKind::Volume, json!({"DriverOpts": {"o": "bind", "device": "/srv"}})),
        (Rule::SensitiveBind, BodyKind::Container, json!({"HostConfig": {"Binds": ["/etc:/e"]}})),
        (Rule::Bind, BodyKind::Container, json!({"HostConfig": {"Binds": ["/srv:/s"]}})),
        (Rule::HostNet, BodyKind::Container, json!({"HostConfig": {"NetworkMode": "host"}})),
        (Rule::ContainerNamespace, BodyKind::Container, json!({"HostConfig": {"NetworkMode": "container:plain"}})),
        (Rule::VolumesFrom, BodyKind::Container, json!({"HostConfig": {"VolumesFrom": ["plain"]}})),
        (Rule::ForeignVolume, BodyKind::Container, json!({"HostConfig": {"Binds": ["of-shop:/x"]}})),
        (Rule::Gpu, BodyKind::Container, json!({"HostConfig": {"DeviceRequests": [{"Capabilities": [["gpu"]]}]}})),
        (Rule::Sysctl, BodyKind::Container, json!({"HostConfig": {"Sysctls": {"kernel.shmmax": "1"}}})),
        (Rule::LogDriver, BodyKind::Container, json!({"HostConfig": {"LogConfig": {"Type": "gelf"}}})),
        (Rule::Port, BodyKind::Container, json!({"HostConfig": {"PublishAllPorts": true}})),
        (Rule::HostGateway, BodyKind::Container, json!({"HostConfig": {"ExtraHosts": ["h:host-gateway"]}})),
        (Rule::Limits, BodyKind::Container, json!({})),
        (Rule::RestartAlways, BodyKind::Update, json!({"RestartPolicy": {"Name": "always"}})),
        (Rule::Oom, BodyKind::Container, json!({"HostConfig": {"OomKillDisable": true}})),
        (Rule::Image, BodyKind::Container, json!({"Image": "nginx"})),
        (Rule::ReservedLabel, BodyKind::Network, json!({"Labels": {"com.docker.compose.project": "shop"}})),
        (Rule::EnvSecret, BodyKind::Exec, json!({"Env": ["API_KEY=x"]})),
    ];
    for rule in Rule::ALL {
        let verdicts = table.iter().find(|(rules, _)| rules.contains(rule)).unwrap_or_else(|| panic!("{rule}")).1;
        // The one channel that is no body.
        let body = bodies.iter().find(|(known, ..)| known == rule);
        assert_eq!(body.is_none(), *rule == Rule::BuildChannel, "{rule}");
        for (profile, verdict) in [Profile::Strict, Profile::Guarded, Profile::Open].into_iter().zip(verdicts) {
            assert_eq!(rule.verdict(profile), verdict, "{rule} {profile:?}");
            let Some((_, kind, document)) = body else { continue };
            let findings = findings(&plan(*kind, document.clone()), &Bodies::of(profile), &seen());
            let found = findings.iter().find(|finding| finding.rule == *rule);
            assert_eq!(found.map(|finding| finding.verdict), Some(verdict), "{rule} {profile:?} {document}");
        }
    }
}

#[test]
fn disguises_of_binds_and_sockets() {
    let (socket, sensitive, bind) = (&[Rule::DockerSocket][..], &[Rule::SensitiveBind][..], &[Rule::Bind][..]);
    let both = &[Rule::DockerSocket, Rule::SensitiveBind][..];
    for (source, expected) in [
        ("/etc", sensitive),
        ("//etc", sensitive),
        ("/./etc", sensitive),
        ("/etc/", sensitive),
        ("/srv/../etc", sensitive),
        ("/srv/../../../etc", sensitive),
        ("/srv/./.././/etc/./passwd", sensitive),
        ("/proc/self/root/etc", sensitive),
        ("/proc/1/root", sensitive),
        ("/proc/self/root/srv", sensitive),
        ("/dev/disk/by-id/x", sensitive),
        ("/sys/fs/cgroup", sensitive),
        ("/home/me/.ssh", sensitive),
        ("/home/me/.SSH/id_ed25519", sensitive),
        ("/srv/app/.docker/config.json", sensitive),
        ("/var/lib/docker/volumes/db/_data", sensitive),
        ("/data/docker/volumes", sensitive),
        ("/data", sensitive),
        ("/host_mnt/etc", sensitive),
        ("/private/etc", sensitive),
        ("/lib64", sensitive),
        ("/home", sensitive),
        ("/var/lib", sensitive),
        ("/var/run/secrets", sensitive),
        ("/", both),
        ("/..", both),
        ("//", both),
        ("/var", both),
        ("/run", both),
        ("/var/run", both),
        ("/var/run/../run/", both),
        ("/run/user/1000", both),
        ("/run/containerd", both),
        ("/var/run/docker.sock", socket),
        ("/run/docker.sock", socket),
        ("/var//run/./docker.sock", socket),
        ("/run/containerd/containerd.sock", socket),
        ("/run/podman/podman.sock", socket),
        ("/run/crio/crio.sock", socket),
        ("/run/user/1000/docker.sock", socket),
        ("/srv/copy/docker.sock", socket),
        ("/home/me/.docker/run/docker.sock", socket),
        ("/opt/engine/api", socket),
        ("/opt/engine", socket),
        ("/opt", socket),
        ("//./pipe/docker_engine", socket),
        ("/srv/data", bind),
        ("/srv", bind),
        ("/home/me/code", bind),
        ("/Srv/ETC", bind),
        ("/etcetera", bind),
    ] {
        let as_bind = |options: &str| json!({"HostConfig": {"Binds": [format!("{source}:/x{options}")]}});
        let as_mount = |kind: &str| json!({"Type": kind, "Source": source, "Target": "/x"});
        let in_service = |kind: &str| json!({"TaskTemplate": {"ContainerSpec": {"Mounts": [as_mount(kind)]}}});
        for (kind, body) in [
            (BodyKind::Container, as_bind("")),
            (BodyKind::Container, as_bind(":ro")),
            (BodyKind::Container, as_bind(":rshared,z")),
            (BodyKind::Container, json!({"HostConfig": {"Mounts": [as_mount("bind")]}})),
            (BodyKind::Container, json!({"HostConfig": {"Mounts": [as_mount("volume")]}})),
            (BodyKind::Service, in_service("bind")),
            (BodyKind::Service, in_service("BIND")),
            (BodyKind::Service, in_service("")),
        ] {
            assert_eq!(rules(&plan(kind, body.clone())), expected, "{body}");
        }
    }
}

#[test]
fn what_is_no_path_is_no_mount() {
    for spec in ["~/x:/x", "./x:/x", "../etc:/x", "etc/x:/x", ":/x", "/a:/b:ro:x", "a b:/x", "/a\0:/b", "-x:/x"] {
        assert_eq!(of_host(json!({"Binds": [spec]})), [Rule::Bind], "{spec:?}");
    }
    let bodies = Bodies { binds_allow: vec!["/".into()], ..Bodies::of(Profile::Strict) };
    let verdict = |spec: &str| {
        let body = json!({"HostConfig": {"Binds": [spec], "Memory": 1, "PidsLimit": 1}});
        findings(&plan(BodyKind::Container, body), &bodies, &seen())[0].verdict
    };
    assert_eq!(verdict("~/x:/x"), Verdict::Deny);
    assert_eq!(verdict("/srv:/x"), Verdict::Allow);
    assert_eq!(verdict("/etc:/x"), Verdict::Deny);
    assert_eq!(verdict("/opt/engine:/x"), Verdict::Deny);
    for harmless in ["data:/x", "data:/x:ro", "/x", "data.1:/x:nocopy"] {
        assert!(of_host(json!({"Binds": [harmless]})).is_empty(), "{harmless}");
    }
    for harmless in [json!({"Type": "tmpfs", "Target": "/x"}), json!({"Type": "volume", "Target": "/x"})] {
        assert!(of_host(json!({"Mounts": [harmless], "Tmpfs": {"/etc": ""}})).is_empty());
    }
}

#[test]
fn disguises_on_windows() {
    for (source, rule) in [
        (r"\\.\pipe\docker_engine", Rule::DockerSocket),
        (r"\\.\PIPE\Docker_Engine_windows", Rule::DockerSocket),
        (r"C:\", Rule::SensitiveBind),
        (r"c:/windows/system32", Rule::SensitiveBind),
        (r"C:\data\..\Windows", Rule::SensitiveBind),
        (r"\\?\C:\ProgramData\Docker", Rule::SensitiveBind),
        (r"C:\Users\me\.ssh", Rule::SensitiveBind),
        (r"D:\data", Rule::Bind),
        (r"\\server\share", Rule::Bind),
        (r"\\.\pipe\other", Rule::Bind),
    ] {
        for kind in ["bind", "npipe"] {
            assert_eq!(of_host(json!({"Mounts": [{"Type": kind, "Source": source}]})), [rule], "{source}");
        }
        assert_eq!(of_host(json!({"Binds": [format!(r"{source}:C:\x")]})), [rule], "{source}");
    }
}

#[test]
fn disguises_of_volumes() {
    let disguised = [
        json!({"type": "none", "o": "bind", "device": "/etc"}),
        json!({"o": "bind", "device": "/srv"}),
        json!({"O": "rbind", "Device": "/srv"}),
        json!({"device": "/dev/sda1", "type": "ext4"}),
        json!({"type": "overlay", "o": "lowerdir=/etc,upperdir=/u,workdir=/w", "device": "overlay"}),
        json!({"type": "tmpfs", "o": "size=1m,bind", "device": "/etc"}),
        json!({"type": "tmpfs", "o": " Bind", "device": "/etc"}),
        json!({"type": "nfs", "o": "addr=1.2.3.4,rbind", "device": "/etc"}),
        json!({"type": "nfs", "device": "/etc"}),
        json!({"type": "cifs", "device": "/etc"}),
        json!({"type": "tmpfs", "o": "remount"}),
        json!({"device": "/srv"}),
        json!({"o": "addr=1.2.3.4"}),
        json!({"type": "proc"}),
        json!({"type": "TMPFS", "device": "/srv"}),
        json!({"type": "tmpfs", "Type": "none", "device": "/etc"}),
        json!({" device": "/etc", "type": "none"}),
        json!({"device": 7}),
    ];
    let harmless = [
        json!({}),
        json!({"size": "10m"}),
        json!({"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=7"}),
        json!({"type": "nfs", "o": "addr=1.2.3.4,rw", "device": ":/export"}),
        json!({"type": "nfs4", "device": "server:/export"}),
        json!({"type": "cifs", "o": "username=a,password=b", "device": "//server/share"}),
    ];
    for (options, expected) in
        disguised.iter().map(|options| (options, true)).chain(harmless.iter().map(|options| (options, false)))
    {
        let volume = |driver: Value| json!({"Driver": driver, "DriverOpts": options});
        let inline = |driver: &str| json!([{"Type": "volume", "VolumeOptions": {"DriverConfig": {"Name": driver, "Options": options}}}]);
        for body in [
            plan(BodyKind::Volume, volume(json!("local"))),
            plan(BodyKind::Volume, volume(json!(""))),
            plan(BodyKind::Volume, volume(Value::Null)),
            plan(BodyKind::Volume, volume(json!("Local:latest"))),
            plan(BodyKind::Container, json!({"HostConfig": {"Mounts": inline("local")}})),
            plan(BodyKind::Container, json!({"HostConfig": {"Mounts": inline("")}})),
            plan(BodyKind::Service, json!({"TaskTemplate": {"ContainerSpec": {"Mounts": inline("local")}}})),
        ] {
            assert_eq!(rules(&body).contains(&Rule::DisguisedBind), expected, "{options}");
        }
        assert!(rules(&plan(BodyKind::Volume, volume(json!("plugin")))).is_empty());
    }
    let hits = hits(&plan(BodyKind::Volume, json!({"DriverOpts": {"type": "x", "o": "password=hunter2"}})), &seen());
    assert!(!hits[0].value.contains("hunter2"), "{hits:?}");
}

#[test]
fn disguises_of_rights() {
    for (host, expected) in [
        (json!({"Privileged": true}), Rule::Privileged),
        (json!({"CapAdd": ["SYS_ADMIN"]}), Rule::Capability),
        (json!({"CapAdd": ["cap_sys_admin"]}), Rule::Capability),
        (json!({"CapAdd": ["CHOWN", "Cap_Sys_Ptrace"]}), Rule::Capability),
        (json!({"CapAdd": ["all"]}), Rule::Capability),
        (json!({"CapAdd": ["CAP_ALL"]}), Rule::Capability),
        (json!({"CapAdd": ["NET_ADMIN"]}), Rule::Capability),
        (json!({"PidMode": "host"}), Rule::HostPid),
        (json!({"PidMode": "ns:/proc/1/ns/pid"}), Rule::HostPid),
        (json!({"NetworkMode": "host"}), Rule::HostNet),
        (json!({"NetworkMode": "ns:/proc/1/ns/net"}), Rule::HostNet),
        (json!({"IpcMode": "host"}), Rule::HostIpc),
        (json!({"IpcMode": "shareable"}), Rule::HostIpc),
        (json!({"UTSMode": "host"}), Rule::HostUts),
        (json!({"UsernsMode": "host"}), Rule::HostUserns),
        (json!({"CgroupnsMode": "host"}), Rule::HostCgroup),
        (json!({"CgroupParent": "/system.slice"}), Rule::HostCgroup),
        (json!({"SecurityOpt": ["seccomp=unconfined"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["seccomp:unconfined"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["apparmor=unconfined"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["apparmor:unconfined"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["label=disable"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["label:disable"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["disable"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["label=type:spc_t"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["systempaths=unconfined"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["no-new-privileges=false"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["no-new-privileges:0"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["unmask=ALL"]}), Rule::SecurityOpt),
        (json!({"SecurityOpt": ["writable-cgroups=true"]}), Rule::SecurityOpt),
        (json!({"MaskedPaths": []}), Rule::MaskedPaths),
        (json!({"MaskedPaths": ["/proc/kcore"]}), Rule::MaskedPaths),
        (json!({"ReadonlyPaths": []}), Rule::MaskedPaths),
        (json!({"Sysctls": {"kernel.core_pattern": "|/x"}}), Rule::Sysctl),
        (json!({"Sysctls": {"kernel/core_pattern": "|/x"}}), Rule::Sysctl),
        (json!({"Sysctls": {"net/../kernel/core_pattern": "|/x"}}), Rule::Sysctl),
        (json!({"Sysctls": {"vm.swappiness": "1"}}), Rule::Sysctl),
        (json!({"Runtime": "runsc"}), Rule::Runtime),
        (json!({"Devices": [{"PathOnHost": "/dev/sda"}]}), Rule::RawDevices),
        (json!({"DeviceCgroupRules": ["a *:* rwm"]}), Rule::DeviceCgroup),
        (json!({"DeviceRequests": [{"Driver": "nvidia", "Count": -1, "Capabilities": [["gpu"]]}]}), Rule::Gpu),
        (json!({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]}), Rule::Gpu),
        (json!({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["x.com/disk=0"]}]}), Rule::RawDevices),
        (
            json!({"DeviceRequests": [{"Driver": "CDI", "DeviceIDs": ["nvidia.com/gpu=0", "x.com/disk=0"]}]}),
            Rule::RawDevices,
        ),
        (json!({"DeviceRequests": [{"Driver": "other"}]}), Rule::RawDevices),
        (json!({"LogConfig": {"Type": "gelf", "Config": {"gelf-address": "udp://x"}}}), Rule::LogDriver),
        (json!({"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "udp://x"}}}), Rule::LogDriver),
        (json!({"ExtraHosts": ["h:Host-Gateway"]}), Rule::HostGateway),
        (json!({"ExtraHosts": ["h=host-gateway"]}), Rule::HostGateway),
        (json!({"Links": ["db:db"]}), Rule::ContainerNamespace),
        (json!({"OomScoreAdj": -1}), Rule::Oom),
        (json!({"OomKillDisable": true}), Rule::Oom),
        (json!({"RestartPolicy": {"Name": "unless-stopped"}}), Rule::RestartAlways),
    ] {
        assert_eq!(of_host(host.clone()), [expected], "{host}");
    }
    assert_eq!(
        rules(&plan(BodyKind::Container, json!({"NetworkingConfig": {"EndpointsConfig": {"host": {}}}}))),
        [Rule::HostNet]
    );
}

#[test]
fn falsy_and_usual_values_pass() {
    for host in [
        json!({"Privileged": false, "CapAdd": null, "PidMode": "", "NetworkMode": "bridge", "IpcMode": "private"}),
        json!({"CapAdd": ["CHOWN", "cap_net_bind_service", "Kill"], "CapDrop": ["ALL"]}),
        json!({"SecurityOpt": ["no-new-privileges", "no-new-privileges:true", "apparmor=docker-default"]}),
        json!({"MaskedPaths": null, "ReadonlyPaths": null, "Devices": [], "DeviceRequests": []}),
        json!({"Sysctls": {"net.core.somaxconn": "1", "net/ipv4/ip_forward": "1"}, "Runtime": "io.containerd.runc.v2"}),
        json!({"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}}, "Runtime": "runc", "OomScoreAdj": 5}),
        json!({"LogConfig": {"Type": "syslog", "Config": {}}, "CgroupnsMode": "private", "UTSMode": ""}),
        json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "ExtraHosts": ["h:1.2.3.4"]}),
        json!({"NetworkMode": "my-host", "PublishAllPorts": false, "PortBindings": {}}),
    ] {
        assert!(of_host(host.clone()).is_empty(), "{host}: {:?}", of_host(host.clone()));
    }
}

#[test]
fn unknown_settings_of_the_engine_count_as_the_worst() {
    let blind = |host: Value| {
        let hits = hits(&plan(BodyKind::Container, json!({ "HostConfig": host })), &Seen::default());
        hits.first().map(|hit| hit.rule)
    };
    assert_eq!(blind(json!({"Runtime": "runc"})), Some(Rule::Runtime));
    assert_eq!(blind(json!({"CgroupnsMode": "host"})), Some(Rule::HostCgroup));
    assert_eq!(blind(json!({"LogConfig": {"Type": "syslog"}})), Some(Rule::LogDriver));
}

#[test]
fn namespaces_and_volumes_of_others() {
    use Rule::{ContainerNamespace, DisguisedBind, HostNet, HostPid, Privileged, SensitiveBind, VolumesFrom};
    for (host, expected) in [
        (json!({"NetworkMode": "container:plain"}), &[ContainerNamespace][..]),
        (json!({"NetworkMode": "container:privileged"}), &[Privileged, ContainerNamespace]),
        (json!({"PidMode": "container:pids"}), &[HostPid, ContainerNamespace]),
        (json!({"IpcMode": "container:plain"}), &[ContainerNamespace]),
        (json!({"NetworkMode": "container:on-host"}), &[HostNet, ContainerNamespace]),
        (json!({"NetworkMode": "container:behind"}), &[HostPid, HostNet, ContainerNamespace]),
        (json!({"IpcMode": "container:looped"}), &[HostPid, ContainerNamespace]),
        (json!({"PidMode": "container:lost"}), &[HostPid, ContainerNamespace]),
        (json!({"VolumesFrom": ["plain"]}), &[VolumesFrom]),
        (json!({"VolumesFrom": ["mounts:ro"]}), &[SensitiveBind, VolumesFrom]),
        (json!({"VolumesFrom": ["hidden"]}), &[DisguisedBind, VolumesFrom]),
        (json!({"VolumesFrom": ["privileged"]}), &[Privileged, VolumesFrom]),
    ] {
        assert_eq!(of_host(host.clone()), expected, "{host}");
    }
}

#[test]
fn what_the_call_itself_has_made_is_no_others() {
    let mut plan = plan(
        BodyKind::Container,
        json!({"HostConfig": {"NetworkMode": "container:plain", "VolumesFrom": ["privileged", "plain:ro"]}}),
    );
    assert_eq!(shared_by(&plan.bodies[0].document).collect::<Vec<_>>(), ["plain", "privileged", "plain"]);
    plan.made = ["plain".to_owned()].into();
    let rules = rules(&plan);
    assert!(rules.contains(&Rule::VolumesFrom) && !rules.contains(&Rule::ContainerNamespace), "{rules:?}");
}

#[test]
fn volumes_of_others() {
    let rules = |volume: &str, project: &str| {
        let labels = if project.is_empty() { Value::Null } else { json!({"com.docker.compose.project": project}) };
        let host = json!({"Binds": [format!("{volume}:/x")]});
        let mut plan = plan(BodyKind::Container, json!({"HostConfig": host, "Labels": labels}));
        plan.marks = BTreeMap::from([("com.docker.compose.project".to_owned(), project.to_owned())]);
        rules(&plan)
    };
    for (volume, project, foreign) in [
        ("of-shop", "", true),
        ("of-shop", "blog", true),
        ("of-shop", "shop", false),
        ("used-by-shop", "", true),
        ("used-by-shop", "blog", true),
        ("used-by-shop", "shop", false),
        ("used-by-somebody", "", true),
        ("used-by-somebody", "shop", true),
        ("used-by-nobody", "", false),
        ("new", "", false),
    ] {
        let expected = if foreign { &[Rule::ForeignVolume][..] } else { &[] };
        assert_eq!(rules(volume, project), expected, "{volume} {project}");
    }
    assert_eq!(rules("disguised", ""), [Rule::DisguisedBind]);
    assert_eq!(rules("on-device", ""), [Rule::DisguisedBind]);
    assert!(rules("over-nfs", "").is_empty());
    // Whoever is made anew may keep what it used.
    let mut renewed = plan(BodyKind::Container, json!({"HostConfig": {"Binds": ["used-by-somebody:/x"]}}));
    renewed.objects.push(Object::listed(
        ObjectKind::Container,
        "id of used-by-somebody".into(),
        "x".into(),
        Value::Null,
    ));
    assert!(super::tests::rules(&renewed).is_empty());
}

#[test]
fn services_spell_it_in_their_own_way() {
    let of_container = |container: Value| json!({"TaskTemplate": {"ContainerSpec": container}});
    for (spec, expected) in [
        (of_container(json!({"CapabilityAdd": ["CAP_SYS_ADMIN"]})), Rule::Capability),
        (of_container(json!({"Privileges": {"Seccomp": {"Mode": "unconfined"}}})), Rule::SecurityOpt),
        (of_container(json!({"Privileges": {"Seccomp": {"Mode": "custom"}}})), Rule::SecurityOpt),
        (of_container(json!({"Privileges": {"AppArmor": {"Mode": "disabled"}}})), Rule::SecurityOpt),
        (of_container(json!({"Privileges": {"SELinuxContext": {"Disable": true}}})), Rule::SecurityOpt),
        (of_container(json!({"Privileges": {"CredentialSpec": {"File": "x"}}})), Rule::SecurityOpt),
        (of_container(json!({"Sysctls": {"kernel.x": "1"}})), Rule::Sysctl),
        (of_container(json!({"Hosts": ["host-gateway h"]})), Rule::HostGateway),
        (of_container(json!({"Env": ["DB_PASSWORD=x"]})), Rule::EnvSecret),
        (of_container(json!({"Labels": {"traefik.enable": "true"}})), Rule::ReservedLabel),
        (json!({"Labels": {"com.docker.swarm.x": "y"}}), Rule::ReservedLabel),
        (
            of_container(json!({"Mounts": [{"Type": "volume", "VolumeOptions": {"Labels": {"quaymaster.x": "y"}}}]})),
            Rule::ReservedLabel,
        ),
        (of_container(json!({"Mounts": [{"Type": "Volume", "Source": "of-shop"}]})), Rule::ForeignVolume),
        (of_container(json!({"OomScoreAdj": -5})), Rule::Oom),
        (json!({"TaskTemplate": {"Networks": [{"Target": "host"}]}}), Rule::HostNet),
        (json!({"Networks": [{"Target": "host"}]}), Rule::HostNet),
        (json!({"TaskTemplate": {"LogDriver": {"Name": "splunk"}}}), Rule::LogDriver),
        (json!({"TaskTemplate": {"Runtime": "plugin"}}), Rule::PluginPrivileges),
        (json!({"EndpointSpec": {"Ports": [{"TargetPort": 80, "PublishedPort": 8080}]}}), Rule::Port),
        (
            json!({"TaskTemplate": {"Resources": {"Reservations": {"GenericResources":
                [{"NamedResourceSpec": {"Kind": "NVIDIA-GPU"}}]}}}}),
            Rule::Gpu,
        ),
    ] {
        assert_eq!(rules(&plan(BodyKind::Service, spec.clone())), [expected], "{spec}");
    }
    let limited = json!({"TaskTemplate": {"Resources": {"Limits": {"MemoryBytes": 1, "Pids": 1}},
        "ContainerSpec": {"Image": "x@sha256:0", "Privileges": {"Seccomp": {"Mode": "default"}}}}});
    assert!(hits(&plan(BodyKind::Service, limited), &seen()).is_empty());
    // By its id it is the machine's network as well.
    let mut on_host = plan(BodyKind::Service, json!({"TaskTemplate": {"Networks": [{"Target": "0a1b"}]}}));
    on_host.objects.push(Object::listed(ObjectKind::Network, "0a1b".into(), "host".into(), Value::Null));
    assert_eq!(rules(&on_host), [Rule::HostNet]);
}

#[test]
fn updates_take_nothing_away_unseen() {
    let all = |body: Value| hits(&plan(BodyKind::Update, body), &seen()).iter().map(|hit| hit.rule).collect::<Vec<_>>();
    assert!(all(json!({"Memory": 0, "NanoCpus": 5})).is_empty());
    assert!(all(json!({"Memory": 1, "PidsLimit": 7, "RestartPolicy": {"Name": "no"}})).is_empty());
    assert_eq!(all(json!({"PidsLimit": -1})), [Rule::Limits]);
    assert_eq!(all(json!({"PidsLimit": 0})), [Rule::Limits]);
    assert_eq!(all(json!({"Devices": [{"PathOnHost": "/dev/sda"}]})), [Rule::RawDevices]);
    assert_eq!(all(json!({"CgroupParent": "/x"})), [Rule::HostCgroup]);
}

#[test]
fn what_is_entered_is_judged_by_what_it_is() {
    let entered = |facts: Value| {
        let object = Object::listed(ObjectKind::Container, "id".into(), "web".into(), facts);
        rules(&Plan::declared(Access::READ).on([object]).entering())
    };
    let bind = |source: &str, writable: bool| json!({"Name": "/web", "Mounts": [{"Type": "bind", "Source": source, "RW": writable}]});
    let volume = |name: &str, writable: bool| json!({"Mounts": [{"Type": "volume", "Name": name, "RW": writable}]});
    let none: &[Rule] = &[];
    assert_eq!(entered(json!({"HostConfig": {"Privileged": true}})), [Rule::Privileged]);
    assert_eq!(entered(json!({"HostConfig": {"PidMode": "host"}})), [Rule::HostPid]);
    assert_eq!(entered(json!({"HostConfig": {"PidMode": "container:pids"}})), [Rule::HostPid]);
    assert_eq!(entered(json!({"HostConfig": {"PidMode": "container:gone"}})), [Rule::HostPid]);
    assert_eq!(entered(json!({"HostConfig": {"PidMode": "container:plain"}})), none);
    assert_eq!(entered(bind("/etc", true)), [Rule::SensitiveBind]);
    assert_eq!(entered(bind("/etc", false)), none);
    assert_eq!(entered(bind("/run/docker.sock", false)), [Rule::DockerSocket]);
    assert_eq!(entered(bind("/var/run", false)), [Rule::DockerSocket]);
    assert_eq!(entered(bind("/srv", true)), none);
    assert_eq!(entered(volume("disguised", true)), [Rule::SensitiveBind]);
    assert_eq!(entered(volume("disguised", false)), none);
    assert_eq!(entered(volume("on-device", true)), [Rule::SensitiveBind]);
    assert_eq!(entered(volume("over-nfs", true)), none);
    assert_eq!(entered(volume("of-nothing", true)), none);
    // What else a container may break does not keep anybody out of it.
    assert_eq!(entered(json!({"HostConfig": {"CapAdd": ["ALL"], "NetworkMode": "host"}})), none);
    assert_eq!(
        entered(json!({"Mounts": [{"Type": "npipe", "Source": r"\\.\pipe\docker_engine", "RW": true}]})),
        [Rule::DockerSocket]
    );
}

#[test]
fn what_engines_fill_in_is_no_breach() {
    for (version, inspect) in
        [("20.10", include_str!("inspect-20.10.json")), ("26.1", include_str!("inspect-26.1.json"))]
    {
        let facts: Value = serde_json::from_str(inspect).unwrap();
        let mut known = facts.clone();
        crate::redact::document(&mut known, &crate::redact::Reveal::default());
        let old = Object::listed(ObjectKind::Container, "old".into(), "web".into(), known);
        let mut body = facts["Config"].clone();
        body["HostConfig"] = facts["HostConfig"].clone();
        let v1 = Seen { engine: Some(json!({"DefaultRuntime": "runc", "CgroupVersion": "1"})), ..Seen::default() };
        let renewed = plan(BodyKind::Container, body.clone()).on([old.clone()]);
        let rules: Vec<Rule> = hits(&renewed, &v1).into_iter().map(|hit| hit.rule).collect();
        assert_eq!(rules, [Rule::Limits, Rule::Image], "{version}");
        // Nor is it what the engine adds to one that may do everything.
        let host = &mut body["HostConfig"];
        host["Privileged"] = json!(true);
        host["SecurityOpt"] = json!(["label=disable"]);
        host["MaskedPaths"] = Value::Null;
        host["ReadonlyPaths"] = Value::Null;
        let rules: Vec<Rule> =
            hits(&plan(BodyKind::Container, body).on([old]), &v1).into_iter().map(|hit| hit.rule).collect();
        assert_eq!(rules, [Rule::Privileged, Rule::Limits, Rule::Image], "{version}");
    }
}

#[test]
fn sentences_name_what_they_are_about() {
    let body = json!({"Image": "nginx", "HostConfig": {
        "Binds": ["/srv/../etc:/x"], "CapAdd": ["SYS_ADMIN"], "NetworkMode": "container:privileged",
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}, "PidsLimit": 5,
    }});
    let values: Vec<String> = findings(&plan(BodyKind::Container, body), &Bodies::of(Profile::Guarded), &seen())
        .into_iter()
        .map(|finding| format!("{} {}", finding.verdict.as_str(), finding.value))
        .collect();
    assert_eq!(
        values,
        [
            "deny capability \"SYS_ADMIN\" at \"HostConfig.CapAdd\"",
            "deny a bind of \"/srv/../etc\", which is \"/etc\", at \"HostConfig.Binds\"",
            "deny container \"other\", which has privileged mode at \"HostConfig.Privileged\"",
            "ask a namespace of container \"privileged\" at \"HostConfig.NetworkMode\"",
            "note port \"8080\" on all interfaces at \"HostConfig.PortBindings\"",
            "note no limit of memory",
            "note image \"nginx\" without a digest",
        ]
    );
}

#[test]
fn labels_of_our_own_are_no_breach() {
    let mut marked = plan(BodyKind::Volume, json!({"Labels": {"quaymaster.managed": "true", "quaymaster.x": "y"}}));
    marked.marks = BTreeMap::from([("quaymaster.managed".to_owned(), "true".to_owned())]);
    let hits = hits(&marked, &seen());
    assert_eq!(hits.len(), 1);
    assert!(hits[0].value.contains("quaymaster.x"));
}

#[test]
fn command_lines_are_those_of_an_exec() {
    let body = |kind| Body { kind, document: json!({"Cmd": ["rm", "-rf", "/"]}) };
    assert_eq!(command_line(&body(BodyKind::Exec)).as_deref(), Some("rm -rf /"));
    assert_eq!(command_line(&body(BodyKind::Container)), None);
}
