use serde_json::json;

use super::{words::unsay, *};
use crate::docker::guard;

const VAULT: &str = "5ec2e7005ec2e7005ec2e7005ec2e7005ec2e7005ec2e7005ec2e7005ec2e700";
const WEB: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";

fn globs(allow: &[&str], deny: &[&str]) -> Globs {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Globs::new(&owned(allow), &owned(deny)).unwrap()
}

/// A shown container that runs and a hidden one that runs, on one network, with one volume, of one image.
fn list() -> Value {
    let row = |id: &str, name: &str| {
        json!({"Id": id, "Names": [format!("/{name}")], "ImageID": "sha256:1a6e", "State": "running",
            "Labels": {}, "SizeRw": 10, "HostConfig": {"NetworkMode": "front"},
            "NetworkSettings": {"Networks": {"front": {"NetworkID": "f027"}}},
            "Mounts": [{"Type": "volume", "Name": "data"}, {"Type": "bind", "Source": "/x"}]})
    };
    json!([row(WEB, "web"), row(VAULT, "vault")])
}

fn wire(target: &str) -> Wire {
    guard::classify(&http::Method::GET, &target.parse().unwrap()).unwrap()
}

/// A document as it is left where `vault` is denied.
fn sifted(target: &str, mut document: Value) -> Option<Value> {
    let (containers, images) = (globs(&[], &["vault"]), Globs::default());
    let census = Census::of(&list(), &containers);
    let services = Services::from([("s1".to_owned(), "web".to_owned()), ("s2".to_owned(), "vault".to_owned())]);
    let catalogue = Catalogue::default();
    let (wire, empty, none) = (wire(target), Census::default(), Services::new());
    // Only what the document says that it needs is there.
    let needs = Needs::of(&wire, &document, &containers, &images);
    let sight = Sight {
        containers: &containers,
        images: &images,
        census: if needs.census { &census } else { &empty },
        services: if needs.services { &services } else { &none },
        catalogue: &catalogue,
    };
    let left = sight.sift(&wire, &mut document);
    assert!(!left || !document.to_string().contains(VAULT), "{target}: {document}");
    assert!(!left || !document.to_string().contains("vault"), "{target}: {document}");
    left.then_some(document)
}

#[test]
fn lists_leave_it_out() {
    let rows = sifted("/containers/json", list()).unwrap();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["Id"]), (1, &json!(WEB)));
    let sharing = json!([{"Id": WEB, "Names": ["/web", "/vault/db", "/web/own"], "HostConfig": {"NetworkMode": format!("container:{VAULT}")}}]);
    let row = &sifted("/containers/json", sharing).unwrap()[0];
    assert_eq!(row["HostConfig"]["NetworkMode"], "container:<hidden>");
    assert_eq!(row["Names"], json!(["/web", "/web/own"]));
}

#[test]
fn a_container_says_nothing_of_others() {
    assert!(sifted("/containers/vault/json", json!({"Id": VAULT, "Name": "/vault"})).is_none());
    let other = format!("container:{VAULT}");
    let web = json!({"Id": WEB, "Name": "/web",
        "State": {"Error": format!("cannot join network of a non running container: {VAULT}")},
        "HostConfig": {"NetworkMode": other, "PidMode": "container:vault", "IpcMode": format!("container:{WEB}"),
            "VolumesFrom": ["vault:ro", "web", VAULT], "Links": ["/vault:/web/db", "/web:/web/own"]},
        "NetworkSettings": {"Networks": {"front": {"Links": ["vault:db", "web:own"]}}}});
    let web = sifted("/containers/web/json", web).unwrap();
    assert_eq!(web["HostConfig"]["PidMode"], "container:<hidden>");
    assert_eq!(web["HostConfig"]["IpcMode"], format!("container:{WEB}"));
    assert_eq!(web["HostConfig"]["VolumesFrom"], json!(["web"]));
    assert_eq!(web["HostConfig"]["Links"], json!(["/web:/web/own"]));
    assert_eq!(web["NetworkSettings"]["Networks"]["front"]["Links"], json!(["web:own"]));
    assert_eq!(web["State"]["Error"], "cannot join network of a non running container: <hidden>");
}

#[test]
fn a_network_has_no_such_member() {
    let network = json!({"Id": "f027", "Containers": {
            WEB: {"Name": "web", "IPv4Address": "10.0.0.2/24"}, VAULT: {"Name": "vault", "IPv4Address": "10.0.0.3/24"},
            // Called otherwise when it was connected, and one that came after the census.
            &VAULT.replace('5', "6"): {"Name": "vault"}},
        "Services": {"vault": {"VIP": "10.0.0.9"}, "web": {"Tasks": [{"Name": "web.1.x"}, {"Name": "vault"}]}}});
    let left = sifted("/networks/f027", network.clone()).unwrap();
    assert_eq!(left["Containers"].as_object().unwrap().keys().collect::<Vec<_>>(), [WEB]);
    assert_eq!(left["Services"], json!({"web": {"Tasks": [{"Name": "web.1.x"}]}}));
    assert_eq!(sifted("/networks", json!([network])).unwrap()[0]["Containers"].as_object().unwrap().len(), 1);
    let renamed = json!({"Containers": {VAULT: {"Name": "old-name"}}});
    assert_eq!(sifted("/networks/f027", renamed).unwrap()["Containers"], json!({}));
}

#[test]
fn counts_are_those_of_what_is_shown() {
    let info =
        json!({"Containers": 2, "ContainersRunning": 2, "ContainersPaused": 0, "ContainersStopped": 0, "Images": 7});
    let info = sifted("/info", info).unwrap();
    assert_eq!((&info["Containers"], &info["ContainersRunning"], &info["Images"]), (&json!(1), &json!(1), &json!(7)));
    let used = json!({"Volumes": [{"Name": "data", "UsageData": {"RefCount": 2, "Size": 3}}, {"Name": "odd", "UsageData": {"RefCount": -1}}]});
    let used = sifted("/volumes", used).unwrap();
    assert_eq!(used["Volumes"][0]["UsageData"]["RefCount"], 1);
    assert_eq!(used["Volumes"][1]["UsageData"]["RefCount"], -1);
    let images = json!([{"Id": "sha256:1a6e", "Containers": 2}, {"Id": "sha256:0000", "Containers": -1}]);
    let images = sifted("/images/json", images).unwrap();
    assert_eq!((&images[0]["Containers"], &images[1]["Containers"]), (&json!(1), &json!(-1)));
}

#[test]
fn disk_usage_of_old() {
    let usage = json!({"LayersSize": 9, "Containers": list(), "Images": [{"Id": "sha256:1a6e", "Containers": 2}],
        "Volumes": [{"Name": "data", "UsageData": {"RefCount": 2, "Size": 3}}]});
    let usage = sifted("/system/df", usage).unwrap();
    assert_eq!(usage["Containers"].as_array().unwrap().len(), 1);
    assert_eq!(usage["Images"][0]["Containers"], 1);
    assert_eq!(usage["Volumes"][0]["UsageData"]["RefCount"], 1);
}

#[test]
fn disk_usage_from_api_1_52() {
    let vault_only = json!({"Name": "data", "UsageData": {"RefCount": 1, "Size": 3}});
    let usage = json!({
        "ContainerUsage": {"TotalCount": 2, "ActiveCount": 2, "TotalSize": 20, "Reclaimable": 0, "Items": list()},
        "ImageUsage": {"TotalCount": 1, "ActiveCount": 1, "TotalSize": 50, "Reclaimable": 0,
            "Items": [{"Id": "sha256:1a6e", "Containers": 1, "Size": 50, "SharedSize": 20}]},
        "VolumeUsage": {"TotalCount": 1, "ActiveCount": 1, "TotalSize": 3, "Reclaimable": 0, "Items": [vault_only]},
    });
    let usage = sifted("/system/df", usage).unwrap();
    let told = |kind: &str| {
        ["TotalCount", "ActiveCount", "TotalSize", "Reclaimable"].map(|field| usage[kind][field].as_u64().unwrap())
    };
    assert_eq!(told("ContainerUsage"), [1, 1, 10, 0]);
    assert_eq!(told("ImageUsage"), [1, 0, 50, 30]);
    assert_eq!(told("VolumeUsage"), [1, 0, 3, 3]);
    let sums = json!({"ContainerUsage": {"TotalCount": 2, "ActiveCount": 2, "TotalSize": 20}, "VolumeUsage": {"ActiveCount": 1}});
    let sums = sifted("/system/df", sums).unwrap();
    assert_eq!(sums, json!({"ContainerUsage": {"TotalCount": 1, "ActiveCount": 1}, "VolumeUsage": {}}));
}

#[test]
fn services_and_tasks_go_by_their_names() {
    let service = |name: &str| json!({"ID": "s", "Spec": {"Name": name}});
    let left = sifted("/services", json!([service("web"), service("vault")])).unwrap();
    assert_eq!(left, json!([service("web")]));
    assert!(sifted("/services/s2", service("vault")).is_none() && sifted("/services/s1", service("web")).is_some());
    let task = |service: &str, container: &str| json!({"ID": "t", "ServiceID": service, "Slot": 1, "Status": {"ContainerStatus": {"ContainerID": container}}});
    let tasks = json!([task("s1", WEB), task("s2", "x"), task("s1", VAULT), task("gone", "x"),
        {"ID": "a", "Spec": {"NetworkAttachmentSpec": {"ContainerID": VAULT}}}]);
    assert_eq!(sifted("/tasks", tasks).unwrap(), json!([task("s1", WEB)]));
    assert!(sifted("/tasks/t", task("s2", "x")).is_none());
    let exec = |container: &str| json!({"ID": "e", "ContainerID": container, "ProcessConfig": {"entrypoint": "id"}});
    assert!(sifted("/exec/e/json", exec(VAULT)).is_none() && sifted("/exec/e/json", exec(WEB)).is_some());
}

#[test]
fn a_service_lends_its_name_to_its_own_containers_only() {
    let (allow, deny) = (globs(&["web"], &[]), globs(&[], &["vault"]));
    assert!(census::admits(&allow, Some("web.1.abc"), Some("web")));
    assert!(!census::admits(&allow, Some("other"), Some("web")));
    assert!(!census::admits(&allow, Some("webx.1"), Some("web")));
    assert!(!census::admits(&deny, Some("vault.1.abc"), Some("vault")));
    assert!(!census::admits(&allow, None, None) && census::admits(&deny, None, None));
}

#[test]
fn the_beginning_of_an_id_is_resolved_among_what_is_shown() {
    let deny = globs(&[], &["vault"]);
    let other = WEB.replace("ee00", "ee01");
    let census = Census::of(
        &json!([{"Id": WEB, "Names": ["/web"]}, {"Id": other, "Names": ["/vault"]}, {"Id": VAULT, "Names": ["/x"]}]),
        &deny,
    );
    assert!(matches!(census.resolve("c0ff"), census::Found::Several));
    assert!(matches!(census.resolve_shown("c0ff"), census::Found::One(known) if known.name == "web"));
    assert!(matches!(census.resolve_shown("vault"), census::Found::None));
    assert!(matches!(census.resolve_shown(&other), census::Found::None));
    assert!(!census.shows("vault") && !census.shows("gone") && !census.shows("") && census.shows("/web"));
}

#[test]
fn sentences_lose_ids_and_names() {
    let census = Census::of(&list(), &globs(&[], &["vault"]));
    let short = &VAULT[..12];
    for (said, left) in [
        (
            format!("remove data: volume is in use - [{VAULT}, {WEB}]"),
            format!("remove data: volume is in use - [<hidden>, {WEB}]"),
        ),
        (format!("container {short} is using it."), "container <hidden> is using it.".to_owned()),
        (
            "has active endpoints (name:\"vault\" id:\"x\")".to_owned(),
            "has active endpoints (name:\"<hidden>\" id:\"x\")".to_owned(),
        ),
        (
            "The container name \"/vault\" is in use. Ask vault.".to_owned(),
            "The container name \"/<hidden>\" is in use. Ask <hidden>.".to_owned(),
        ),
        ("vault-1 and my.vault stay, so does 5ec2".to_owned(), "vault-1 and my.vault stay, so does 5ec2".to_owned()),
        ("é\u{202e}ü".to_owned(), "é\u{202e}ü".to_owned()),
    ] {
        assert_eq!(unsay(&said, &census, &[]), left);
    }
    // A volume of that name, which the caller itself wrote.
    assert_eq!(unsay("remove vault: in use", &census, &["vault"]), "remove vault: in use");
}

#[test]
fn images_are_judged_by_every_name() {
    let images = globs(&[], &["vault*", "ghcr.io/ops/*"]);
    let sift = |image: Value| {
        let mut image = image;
        images::sift(&images, &mut image).then_some(image)
    };
    assert!(sift(json!({"RepoTags": ["vault:1"], "RepoDigests": ["vault@sha256:00"]})).is_none());
    assert!(sift(json!({"RepoTags": ["docker.io/library/vault:1"]})).is_none());
    assert!(sift(json!({"RepoTags": [], "RepoDigests": ["vault@sha256:00"]})).is_none());
    assert!(sift(json!({"RepoTags": ["GHCR.io/ops/x:1"]})).is_none());
    let both = sift(json!({"RepoTags": ["web:1", "vault:1"], "RepoDigests": ["web@sha256:00", "vault@sha256:00"]}));
    assert_eq!(both, Some(json!({"RepoTags": ["web:1"], "RepoDigests": ["web@sha256:00"]})));
    // A digest of a denied tag's repository says what the tag says.
    let tags_only = globs(&[], &["vault:*"]);
    let mut image = json!({"RepoTags": ["vault:1"], "RepoDigests": ["vault@sha256:00"]});
    assert!(!images::sift(&tags_only, &mut image));
    for untagged in
        [json!({"RepoTags": null}), json!({"RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]})]
    {
        assert!(sift(untagged.clone()).is_some());
        assert!(!images::sift(&globs(&["web*"], &[]), &mut untagged.clone()));
    }
}

#[test]
fn an_image_exists_by_the_names_that_are_let_through() {
    let deny = globs(&[], &["vault*"]);
    let answers = |asked: &str, tags: &[&str]| {
        images::answers(
            &deny,
            asked,
            &mut json!({"Id": "sha256:1a6e", "RepoTags": tags, "RepoDigests": ["web@sha256:00"]}),
        )
    };
    assert!(answers("web", &["web:latest", "vault:1"]) && answers("1a6e", &["web:latest", "vault:1"]));
    assert!(!answers("vault:1", &["web:latest", "vault:1"]));
    assert!(!answers("docker.io/library/vault:1", &["web:latest", "vault:1"]));
    assert!(answers("web@sha256:00", &["web:latest"]));
    let hidden = json!({"Id": "sha256:1a6e", "RepoTags": ["vault:1"], "RepoDigests": []});
    for asked in ["vault:1", "1a6e", "sha256:1a6e"] {
        assert!(!images::answers(&deny, asked, &mut hidden.clone()), "{asked}");
    }
}

#[test]
fn events_of_it_are_left_out() {
    let containers = globs(&[], &["vault"]);
    let census = std::sync::Arc::new(Census::of(&list(), &containers));
    let images = globs(&[], &["secret*"]);
    let catalogue = Catalogue::of(&json!([{"Id": "sha256:aa", "RepoTags": ["secret:1"]}]), &images);
    let mut judge = events::Judge::new(&containers, &images, census, catalogue.into());
    let gone = "9".repeat(64);
    let event =
        |kind: &str, id: &str, attributes: Value| json!({"Type": kind, "Actor": {"ID": id, "Attributes": attributes}});
    for (event, told) in [
        (event("container", VAULT, json!({"name": "vault"})), false),
        (event("container", VAULT, json!({"name": "renamed-since"})), false),
        (event("container", WEB, json!({"name": "web", "oldName": "/vault"})), false),
        (event("container", WEB, json!({"name": "web"})), true),
        (event("network", "f027", json!({"name": "front", "container": VAULT})), false),
        (event("network", "f027", json!({"name": "front", "container": WEB})), true),
        (event("network", "f027", json!({"name": "front", "container": gone})), false),
        (event("network", "f027", json!({"name": "front"})), true),
        (event("volume", "data", json!({"container": VAULT, "destination": "/x"})), false),
        (event("container", &gone, json!({"name": "was"})), true),
        (event("network", "f027", json!({"name": "front", "container": gone})), true),
        (event("service", "s", json!({"name": "vault"})), false),
        (event("image", "secret:1", json!({"name": "secret"})), false),
        (event("image", "sha256:aa", json!({"name": "sha256:aa"})), false),
        (event("image", "web:1", json!({"name": "web"})), true),
        (json!({"status": "start", "id": VAULT, "from": "x"}), false),
        (event("daemon", "d", json!({})), true),
    ] {
        assert_eq!(judge.admits(&event), told, "{event}");
    }
}

#[test]
fn documents_of_the_future_are_no_failure() {
    for target in
        ["/containers/json", "/networks", "/system/df", "/info", "/volumes", "/tasks", "/services", "/images/json"]
    {
        for document in
            [json!(null), json!([]), json!({}), json!([null, 3, "x", {"Containers": [1], "Names": 7, "Labels": 3}])]
        {
            sifted(target, document);
        }
    }
}
