//! What an engine says of its disk, which engines before 23.0 count for one at a time.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{
    docker::{Docker, Target},
    error::Result,
};

/// How long the count of somebody else is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long there is between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads `/system/df`, once nobody else has the engine count.
///
/// # Errors
/// As [`Docker::json`].
pub(crate) async fn usage(docker: &Docker, target: Target) -> Result<Value> {
    let started = Instant::now();
    loop {
        match docker.json(target.clone()).await {
            Err(error) if error.message().contains("already running") && started.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}
