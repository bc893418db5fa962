//! Approvals on real engines: what was approved happens once, and to nothing else.

use std::{path::PathBuf, sync::Arc, time::Duration};

use quaymaster::{
    config::limits::Confirm,
    gateway::{
        Failure, Gateway, Request,
        confirm::{
            Reply, Voice,
            tickets::{Tickets, Waiting},
        },
    },
    tool::Answer,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    engine::{Scrap, docker},
    rig::{LINKS, Link, Rig, gateway_with, lab},
};

/// A gateway that asks, and the tickets of its state directory.
pub struct Desk {
    gateway: Arc<Gateway>,
    pub tickets: Tickets,
    _state: TempDir,
}

impl Desk {
    fn new(link: Link, confirm: Confirm) -> Self {
        Self::before(&link.endpoint(), confirm)
    }

    /// One before an engine of the test's own.
    pub fn before(endpoint: &str, confirm: Confirm) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state: PathBuf = directory.path().join("state");
        let gateway = gateway_with(&[format!("lab={endpoint}")], |config| {
            config.state = Some(state.clone());
            config.hosts.iter_mut().for_each(|host| host.limits.confirm = confirm);
        });
        Self { gateway, tickets: Tickets::new(state), _state: directory }
    }

    pub async fn call(&self, voice: Voice, tool: &str, arguments: &Value) -> Result<Answer, Failure> {
        let arguments = arguments.as_object().unwrap().clone();
        self.gateway.call(Request { voice, ..Request::new(self.gateway.caller("test"), tool, arguments) }).await
    }

    /// The call is answered with a ticket.
    pub async fn waits(&self, tool: &str, arguments: &Value) -> Waiting {
        match self.call(Voice::Silent, tool, arguments).await {
            Err(Failure::Tool(error)) => {
                assert_eq!(error.kind().as_str(), "approval_needed", "{error:?}");
                let hint = error.hint_text().unwrap();
                let mut waiting = self.tickets.waiting().unwrap();
                waiting.retain(|waiting| hint.contains(waiting.ticket.as_str()));
                assert_eq!(waiting.len(), 1, "{hint}");
                waiting.remove(0)
            }
            other => panic!("{other:?}"),
        }
    }

    pub async fn passes(&self, tool: &str, arguments: &Value) {
        self.call(Voice::Silent, tool, arguments).await.unwrap();
    }
}

fn volume_exists(link: Link, name: &str) -> bool {
    docker(link, &["volume", "ls", "--format", "{{.Name}}"]).lines().any(|line| line == name)
}

#[tokio::test]
async fn a_volume_goes_once_it_is_approved_and_its_successor_stays() {
    for link in LINKS {
        let (desk, mut scrap) = (Desk::new(link, Confirm::Data), Scrap::on(link));
        let name = Rig::new(link).name("approved");
        scrap.volume(name.clone());
        docker(link, &["volume", "create", &name]);
        let remove = json!({"volumes": [name]});

        let waiting = desk.waits("remove_volume", &remove).await;
        assert!(volume_exists(link, &name));
        assert_eq!((waiting.sheet.objects[0].id.as_str(), waiting.sheet.host.as_str()), (name.as_str(), "lab"));
        desk.tickets.approve(&waiting, None).unwrap();
        desk.passes("remove_volume", &remove).await;
        assert!(!volume_exists(link, &name), "{link:?}");

        // A volume of the same name, made anew, is not the one that was approved - before or after.
        docker(link, &["volume", "create", &name]);
        let second = desk.waits("remove_volume", &remove).await;
        assert!(volume_exists(link, &name));
        desk.tickets.approve(&second, None).unwrap();
        docker(link, &["volume", "rm", &name]);
        // The engine counts a volume's age in seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        docker(link, &["volume", "create", &name]);
        let third = desk.waits("remove_volume", &remove).await;
        assert_ne!(third.ticket, second.ticket);
        assert!(volume_exists(link, &name), "{link:?}");
    }
}

#[tokio::test]
async fn a_container_that_was_changed_is_not_the_one_that_was_approved() {
    for link in LINKS {
        let (desk, mut scrap) = (Desk::new(link, Confirm::Destroy), Scrap::on(link));
        let rig = Rig::new(link);
        let (name, other) = (rig.name("approved"), rig.name("other"));
        scrap.container(other.clone());
        let create = |scrap: &mut Scrap, name: &str| {
            scrap.container(name);
            docker(link, &["create", "--name", name, &lab("LAB_IMAGE"), "sleep", "600"])
        };
        let id = create(&mut scrap, &name);
        let by_name = json!({"containers": [name]});
        let by_id = json!({"containers": [id]});

        // Made anew under the same name.
        desk.tickets.approve(&desk.waits("remove_container", &by_name).await, None).unwrap();
        docker(link, &["rm", &name]);
        let id_of_new = create(&mut scrap, &name);
        desk.waits("remove_container", &by_name).await;
        // Renamed, and named by its id.
        let by_new_id = json!({"containers": [id_of_new]});
        desk.tickets.approve(&desk.waits("remove_container", &by_new_id).await, None).unwrap();
        docker(link, &["rename", &name, &other]);
        desk.waits("remove_container", &by_new_id).await;
        // Given more memory, and what nobody approved is still there.
        docker(link, &["rename", &other, &name]);
        docker(link, &["update", "--memory", "64m", "--memory-swap", "64m", &name]);
        desk.waits("remove_container", &by_new_id).await;
        assert_eq!(docker(link, &["inspect", "--format", "{{.Id}}", &name]), id_of_new, "{link:?}");
        assert_ne!(by_id, by_new_id);

        // What it does at the moment is another matter.
        let force = json!({"containers": [name], "force": true});
        desk.tickets.approve(&desk.waits("remove_container", &force).await, None).unwrap();
        docker(link, &["start", &name]);
        desk.passes("remove_container", &force).await;
        assert_eq!(docker(link, &["ps", "--all", "--quiet", "--filter", &format!("name=^{name}$")]), "");
    }
}

#[tokio::test]
async fn whoever_sits_in_front_of_the_client_is_asked_there() {
    let link = Link::Unix;
    let (desk, mut scrap) = (Desk::new(link, Confirm::Data), Scrap::on(link));
    let name = Rig::new(link).name("asked");
    scrap.volume(name.clone());
    docker(link, &["volume", "create", &name]);
    let remove = json!({"volumes": [name]});
    let says = |reply: Reply| {
        Voice::Live(Arc::new(move |form| {
            assert!(form.message.contains("remove_volume on host \"lab\""), "{form:?}");
            let reply = reply.clone();
            Box::pin(async move { reply })
        }))
    };
    let wrong = says(Reply::Accepted { host: "prod".into() });
    desk.call(wrong, "remove_volume", &remove).await.unwrap_err();
    assert!(volume_exists(link, &name));
    let right = says(Reply::Accepted { host: "lab".into() });
    desk.call(right, "remove_volume", &remove).await.unwrap();
    assert!(!volume_exists(link, &name));
}
