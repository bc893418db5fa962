//! Messages on lines: one JSON-RPC message each, bounded, and whatever is wrong is answered.

use std::{borrow::Cow, io, sync::Arc};

use rmcp::{
    RoleServer,
    model::{CallToolRequest, CallToolRequestMethod, ClientRequest, ConstString, JsonRpcMessage, RequestId},
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Mutex, mpsc},
};
use tokio_util::sync::CancellationToken;

/// The longest line that is read.
pub const LONGEST_LINE: usize = 4 << 20;

/// The SDK's transport over two streams.
///
/// Its own one ignores lines that it cannot read, so that the client waits for ever.
pub(super) struct Transport<W> {
    received: mpsc::Receiver<RxJsonRpcMessage<RoleServer>>,
    output: Arc<Mutex<W>>,
}

impl<W: AsyncWrite + Send + Unpin + 'static> Transport<W> {
    /// Reads in a task of its own; `left` is cancelled when the input ends.
    pub(super) fn new<R>(input: R, output: W, left: CancellationToken) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
    {
        let output = Arc::new(Mutex::new(output));
        let (sender, received) = mpsc::channel(64);
        let errors = output.clone();
        tokio::spawn(async move {
            let reading = read(BufReader::with_capacity(64 << 10, input), sender, errors);
            tokio::select! {
                ended = reading => if let Err(error) = ended {
                    tracing::debug!("the input broke: {error}");
                },
                () = left.cancelled() => {}
            }
            left.cancel();
        });
        Self { received, output }
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> rmcp::transport::Transport<RoleServer> for Transport<W> {
    type Error = io::Error;

    fn name() -> Cow<'static, str> {
        Cow::Borrowed("stdio")
    }

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        let output = self.output.clone();
        async move { write(&output, &message).await }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.received.recv().await
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.output.lock().await.flush().await
    }
}

async fn write<W: AsyncWrite + Unpin>(output: &Mutex<W>, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut output = output.lock().await;
    output.write_all(&line).await?;
    output.flush().await
}

async fn read<R, W>(
    mut input: BufReader<R>,
    sender: mpsc::Sender<RxJsonRpcMessage<RoleServer>>,
    output: Arc<Mutex<W>>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut line = Vec::new();
    while let Some(whole) = next_line(&mut input, &mut line).await? {
        if line.iter().all(u8::is_ascii_whitespace) && whole {
            continue;
        }
        let refusal = if whole {
            match understand(&line) {
                Ok(message) => {
                    if sender.send(message).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
                Err(refusal) => refusal,
            }
        } else {
            error(&Value::Null, -32600, &format!("a line is longer than {LONGEST_LINE} bytes"))
        };
        write(&output, &refusal).await?;
    }
    Ok(())
}

/// The next line: `true` when it is whole, `false` when it was too long and has been skipped.
async fn next_line<R: AsyncRead + Unpin>(input: &mut BufReader<R>, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let mut whole = true;
    let mut begun = false;
    loop {
        let buffer = input.fill_buf().await?;
        if buffer.is_empty() {
            return Ok(begun.then_some(whole));
        }
        begun = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(buffer.len());
        if whole && line.len() + taken <= LONGEST_LINE {
            line.extend_from_slice(buffer.get(..taken).unwrap_or_default());
        } else {
            whole = false;
            line.clear();
            line.shrink_to(64 << 10);
        }
        input.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

/// A message, or the answer that says why it is none.
fn understand(line: &[u8]) -> Result<RxJsonRpcMessage<RoleServer>, Value> {
    let message: Value =
        serde_json::from_slice(line).map_err(|cause| error(&Value::Null, -32700, &format!("not JSON: {cause}")))?;
    if message.is_array() {
        return Err(error(&Value::Null, -32600, "batches are not part of the protocol: send one message on each line"));
    }
    let id = message.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or_default();
    let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
    let understood = if is_call(&message) { called(message) } else { serde_json::from_value(message) };
    understood.map_err(|cause| match method {
        Some(method) => error(&id, -32602, &format!("the parameters of {method:?} cannot be read: {cause}")),
        None => error(&id, -32600, "not a JSON-RPC message"),
    })
}

/// Whether it can be nothing else than the call of a tool.
fn is_call(message: &Value) -> bool {
    let is = |field: &str, text: &str| message.get(field).and_then(Value::as_str) == Some(text);
    is("jsonrpc", "2.0")
        && is("method", CallToolRequestMethod::VALUE)
        && message.get("id").is_some()
        && message.get("result").is_none()
        && message.get("error").is_none()
}

/// The call of a tool, read as such: the SDK would first try the dozen of other requests that it might be.
fn called(message: Value) -> serde_json::Result<RxJsonRpcMessage<RoleServer>> {
    let id = RequestId::deserialize(message.get("id").unwrap_or(&Value::Null))?;
    let call: CallToolRequest = serde_json::from_value(message)?;
    Ok(JsonRpcMessage::request(ClientRequest::CallToolRequest(call), id))
}

fn error(id: &Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_lines_are_skipped_and_the_next_is_read() {
        let mut bytes = vec![b'x'; LONGEST_LINE + 1];
        bytes.extend(b"\nshort\nlast");
        let mut input = BufReader::new(bytes.as_slice());
        let mut line = Vec::new();
        assert_eq!(next_line(&mut input, &mut line).await.unwrap(), Some(false));
        assert_eq!(next_line(&mut input, &mut line).await.unwrap(), Some(true));
        assert_eq!(line, b"short");
        assert_eq!(next_line(&mut input, &mut line).await.unwrap(), Some(true));
        assert_eq!(line, b"last");
        assert_eq!(next_line(&mut input, &mut line).await.unwrap(), None);
    }

    #[test]
    fn a_call_is_read_as_the_sdk_reads_it() {
        for params in [
            json!({"name": "list_hosts"}),
            json!({"name": "list_hosts", "arguments": {"a": [1, {"b": null}]}, "_meta": {"progressToken": 3, "x": "y"}}),
            json!({"name": "list_hosts", "arguments": null, "unknown": 1}),
            json!({"name": 1}),
            json!({"arguments": {}}),
            json!([]),
            Value::Null,
        ] {
            for id in [json!(1), json!("a"), json!(1.5), Value::Null] {
                let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
                assert!(is_call(&message), "{message}");
                let ours = called(message.clone()).ok().map(|call| format!("{call:?}"));
                let theirs = serde_json::from_value::<RxJsonRpcMessage<RoleServer>>(message.clone());
                let theirs = theirs.ok().map(|message| format!("{message:?}"));
                // What is no call to us may be a request of an unknown kind to the SDK; that is refused later.
                let theirs = theirs.filter(|theirs| !theirs.contains("CustomRequest"));
                assert_eq!(ours, theirs, "{message}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_answered_with_its_id() {
        let code = |line: &str| {
            let refusal = understand(line.as_bytes()).err().unwrap();
            (refusal["error"]["code"].as_i64().unwrap(), refusal["id"].clone())
        };
        assert_eq!(code("{"), (-32700, Value::Null));
        assert_eq!(code("[]"), (-32600, Value::Null));
        assert_eq!(code("{\"id\": 3}"), (-32600, json!(3)));
        assert_eq!(
            code("{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"tools/call\",\"params\":{\"name\":\"x\"}}"),
            (-32602, Value::Null)
        );
        assert_eq!(code("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":[]}"), (-32602, json!(7)));
    }
}
