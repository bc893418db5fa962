//! Tools, as the protocol shows and calls them.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorCode, ProgressNotificationParam,
        Tool, ToolAnnotations,
    },
    service::RequestContext,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::asking;
use crate::{
    config::Config,
    error::{Error, Result},
    gateway::{Failure, Gateway, PATIENCE, Request, caller::Caller, catalogue::Entry},
    tool::{Effect, Progress},
};

/// A tool as `tools/list` shows it.
pub(super) fn describe(entry: &Entry, config: &Config) -> Tool {
    let card = &entry.card;
    let reads = card.access.effect == Effect::Read;
    let annotations = ToolAnnotations::new()
        .read_only(reads)
        .destructive(card.access.effect == Effect::Destroy)
        .idempotent(reads)
        .open_world(card.open_world);
    let mut tool =
        Tool::new(card.name, card.about().to_owned(), entry.input_schema(config)).with_title(card.title.clone());
    tool.annotations = Some(annotations);
    tool.output_schema = card.output().map(Arc::new);
    tool
}

/// Calls a tool; only an unknown one is an error of the protocol.
pub(super) async fn call(
    gateway: &Arc<Gateway>,
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
    caller: Caller,
    cancelled: CancellationToken,
) -> Result<CallToolResponse, ErrorData> {
    let voice = asking::voice(&request, context);
    let request = Request {
        tool: request.name.into_owned(),
        arguments: request.arguments.unwrap_or_default(),
        caller,
        voice,
        progress: progress(context),
        cancelled,
        patience: Some(PATIENCE),
    };
    match gateway.call(request).await {
        Ok(answer) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text)]);
            result.structured_content = answer.structured.map(Value::Object);
            Ok(result.into())
        }
        Err(Failure::Tool(error)) => {
            let mut result = CallToolResult::error(vec![ContentBlock::text(sentence(&error))]);
            result.structured_content = Some(json!({"error": error.to_json()}));
            Ok(result.into())
        }
        Err(Failure::Asked { form, state }) => Ok(asking::required(form, state).into()),
        Err(Failure::UnknownTool(error)) => {
            Err(ErrorData::new(ErrorCode::INVALID_PARAMS, sentence(&error), Some(error.to_json())))
        }
    }
}

/// An error as text: its kind and host, what happened, and what to do next.
pub(super) fn sentence(error: &Error) -> String {
    let host = error.host().map(|host| format!(" (host \"{host}\")")).unwrap_or_default();
    let hint = error.hint_text().map(|hint| format!("\n{hint}")).unwrap_or_default();
    format!("{}{host}: {}{hint}", error.kind(), error.message())
}

/// Forwards progress to the client, if it asked for it.
fn progress(context: &RequestContext<RoleServer>) -> Arc<dyn Fn(Progress) + Send + Sync> {
    let Some(token) = context.meta.get_progress_token() else { return Arc::new(|_| {}) };
    let peer = context.peer.clone();
    let last = Mutex::new(0.0);
    Arc::new(move |progress: Progress| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        // The protocol wants it to rise, also where the work itself learns of more to do.
        let done = if progress.done > *last { progress.done } else { *last + 1e-3 };
        *last = done;
        let mut notification = ProgressNotificationParam::new(token.clone(), done).with_message(progress.message);
        if let Some(total) = progress.total {
            notification = notification.with_total(total.max(done));
        }
        let peer = peer.clone();
        tokio::spawn(async move { peer.notify_progress(notification).await.ok() });
    })
}
