//! The container that Quaymaster itself runs in, on real engines: it outlives every call.

use quaymaster::gateway::Request;
use serde_json::{Value, json};

use crate::{
    engine::{Scrap, docker},
    rig::{LINKS, Link, Rig, gateway_inside},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_outlives_every_call() {
    for link in LINKS {
        let rig = Rig::new(link);
        let mut scrap = Scrap::on(link);
        let (own, other) = (rig.name("own"), rig.name("other"));
        let id = scrap.run(&own, &[], &["sleep", "600"]);
        scrap.run(&other, &[], &["sleep", "600"]);
        let renamed = rig.name("renamed");
        scrap.container(&renamed);
        docker(link, &["rename", &own, &renamed]);
        let before = picture(link, &id);
        let gateway = gateway_inside(&id, &[format!("lab={}", link.endpoint())]);
        let call = async |tool: &str, arguments: Value| {
            let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
            gateway.call(Request::new(gateway.caller("test"), tool, arguments)).await
        };
        for name in [renamed.as_str(), &id, &id[..12]] {
            for (tool, arguments) in [
                ("stop_container", json!({"containers": [other, name], "grace": 0})),
                ("restart_container", json!({"containers": [name], "grace": 0})),
                ("pause_container", json!({"containers": [name]})),
                ("kill_container", json!({"containers": [name]})),
                ("rename_container", json!({"container": name, "name": rig.name("again")})),
                ("update_container", json!({"container": name, "cpus": 0.5})),
                ("remove_container", json!({"containers": [name], "force": true})),
            ] {
                let refused = format!("{:?}", call(tool, arguments).await.expect_err(tool));
                assert!(refused.contains("Quaymaster itself runs in container"), "{link:?} {tool} {name}: {refused}");
            }
        }
        call("exec_in_container", json!({"container": renamed, "command": ["true"]})).await.unwrap();
        assert_eq!(picture(link, &id), before, "{link:?}");
        assert_eq!(docker(link, &["inspect", "--format", "{{.State.Running}}", &other]), "true");
        call("stop_container", json!({"containers": [other], "grace": 0})).await.unwrap();
        assert_eq!(docker(link, &["inspect", "--format", "{{.State.Running}}", &other]), "false");
    }
}

/// What a call could have changed of it.
fn picture(link: Link, id: &str) -> String {
    docker(link, &["inspect", "--format", "{{.Name}} {{json .State}} {{json .HostConfig}}", id])
}
