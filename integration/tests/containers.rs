//! The tools of the toolset `containers`, over every link.

use serde_json::json;

use crate::rig::{LINKS, Rig};

#[tokio::test]
async fn lists_are_answered_over_every_link() {
    for link in LINKS {
        let listed = Rig::new(link).call("list_containers", json!({"all": true})).await.ok();
        assert_eq!(listed["hosts"][0]["status"], "ok", "{link:?}: {listed}");
    }
}
