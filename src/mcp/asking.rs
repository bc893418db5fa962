//! Questions to the person behind a client, in both eras of the protocol.
//!
//! Up to 2025-11-25 the server sends `elicitation/create` while the call waits. From 2026-07-28 on the
//! call is answered with the question (`input_required`), and the client makes it again with the reply
//! and the state that the question carried. A client that did not declare forms is never asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rmcp::{
    RoleServer,
    model::{
        CallToolRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema,
        InputRequest, InputRequiredResult, PrimitiveSchemaDefinition, ProtocolVersion, StringSchema,
    },
    service::RequestContext,
};

use crate::gateway::confirm::{Form, Reply, Returned, Voice};

/// The name of the question in an `input_required` answer.
const QUESTION: &str = "approval";
/// The one field of the form.
const FIELD: &str = "host";
/// How long a client may take to answer a live question; the gateway itself stops waiting earlier.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the person behind a request can be asked.
pub(super) fn voice(request: &CallToolRequestParams, context: &RequestContext<RoleServer>) -> Voice {
    if !shows_forms(context) {
        return Voice::Silent;
    }
    if !is_stateless(context) {
        let peer = context.peer.clone();
        return Voice::Live(Arc::new(move |form| {
            let peer = peer.clone();
            Box::pin(async move {
                match peer.create_elicitation_with_timeout(question(form), Some(PATIENCE)).await {
                    Ok(result) => reply(&result),
                    Err(error) => {
                        tracing::debug!("the client could not ask: {error}");
                        Reply::Unheard
                    }
                }
            })
        }));
    }
    let returned = request.request_state.clone().map(|state| Returned {
        state,
        reply: request
            .input_responses
            .as_ref()
            .and_then(|responses| responses.get(QUESTION))
            .and_then(|response| serde_json::from_value::<ElicitResult>(response.clone()).ok())
            .map_or(Reply::Dismissed, |result| reply(&result)),
    });
    Voice::Returned(returned)
}

/// The answer that asks.
pub(super) fn required(form: Form, state: String) -> InputRequiredResult {
    let request = InputRequest::Elicitation(ElicitRequest::new(question(form)));
    InputRequiredResult::new(Some(BTreeMap::from([(QUESTION.to_owned(), request)])), Some(state))
}

fn question(Form { message, host }: Form) -> ElicitRequestParams {
    let field =
        StringSchema::new().title("Host").description(format!("Type {host} to approve this call")).length(1, 63);
    let field = PrimitiveSchemaDefinition::String(field);
    ElicitRequestParams::FormElicitationParams {
        meta: None,
        message,
        requested_schema: ElicitationSchema::builder().required_property(FIELD, field).build_unchecked(),
    }
}

fn reply(result: &ElicitResult) -> Reply {
    match result.action {
        ElicitationAction::Accept => {
            let typed = result.content.as_ref().and_then(|content| content.get(FIELD)?.as_str());
            Reply::Accepted { host: typed.unwrap_or_default().to_owned() }
        }
        ElicitationAction::Decline => Reply::Declined,
        // Whatever else a client may say one day is no yes.
        _ => Reply::Dismissed,
    }
}

/// Whether the client declared that it can show a form; one that names no mode means forms.
fn shows_forms(context: &RequestContext<RoleServer>) -> bool {
    let declared = context.client_capabilities().and_then(|capabilities| capabilities.elicitation);
    declared.is_some_and(|elicitation| elicitation.form.is_some() || elicitation.url.is_none())
}

/// Whether the request is of the era without sessions, in which a server sends no requests.
fn is_stateless(context: &RequestContext<RoleServer>) -> bool {
    context.protocol_version().is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str())
}
