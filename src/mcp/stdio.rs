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
    sync::Mutex,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// The longest line that is read.
pub const LONGEST_LINE: usize = 4 << 20;
/// What most answers take.
const USUAL_LINE: usize = 4 << 10;

/// The SDK's transport over two streams.
///
/// Its own one ignores lines that it cannot read, so that the client waits for ever.
pub(super) struct Transport<R, W> {
    lines: Lines<R>,
    output: Arc<Mutex<W>>,
    /// The answer to a line that was no message, while it is written: nothing is read meanwhile.
    refusing: Option<JoinHandle<()>>,
    left: CancellationToken,
}

impl<R: AsyncRead + Unpin, W> Transport<R, W> {
    /// Reads and writes these; `left` is cancelled when the input ends.
    pub(super) fn new(input: R, output: W, left: CancellationToken) -> Self {
        Self { lines: Lines::new(input), output: Arc::new(Mutex::new(output)), refusing: None, left }
    }
}

impl<R, W> rmcp::transport::Transport<RoleServer> for Transport<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
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

    /// The next message. The SDK drops this future whenever it has something else to do: all that it has read by
    /// then is kept.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if let Some(refusing) = &mut self.refusing {
                refusing.await.ok();
                self.refusing = None;
            }
            let read = tokio::select! {
                read = self.lines.next() => read,
                () = self.left.cancelled() => return None,
            };
            let line = read.unwrap_or_else(|error| {
                tracing::debug!("the input broke: {error}");
                None
            });
            let refusal = match line {
                None => {
                    self.left.cancel();
                    return None;
                }
                Some(Line::Whole(line)) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Some(Line::Whole(line)) => match understand(&line) {
                    Ok(message) => return Some(message),
                    Err(refusal) => refusal,
                },
                Some(Line::TooLong) => {
                    error(&Value::Null, -32600, &format!("a line is longer than {LONGEST_LINE} bytes"))
                }
            };
            let output = self.output.clone();
            // In a task of its own: half a line must not be left in the output.
            self.refusing = Some(tokio::spawn(async move { drop(write(&output, &refusal).await) }));
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.output.lock().await.flush().await
    }
}

async fn write<W: AsyncWrite + Unpin>(output: &Mutex<W>, message: &impl Serialize) -> io::Result<()> {
    let mut line = Vec::with_capacity(USUAL_LINE);
    serde_json::to_writer(&mut line, message)?;
    line.push(b'\n');
    let mut output = output.lock().await;
    output.write_all(&line).await?;
    output.flush().await
}

/// A line of the input, without its end.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Whole(Vec<u8>),
    /// It was longer than [`LONGEST_LINE`], and has been skipped.
    TooLong,
}

/// Lines as they come, none of which takes more than it may.
struct Lines<R> {
    input: BufReader<R>,
    /// What has come of the line that has not ended yet; nothing where no line has begun.
    begun: Option<Line>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(input: R) -> Self {
        Self { input: BufReader::with_capacity(64 << 10, input), begun: None }
    }

    /// The next line; nothing at the end. A future that is dropped loses nothing of it.
    async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let buffer = self.input.fill_buf().await?;
            if buffer.is_empty() {
                return Ok(self.begun.take());
            }
            let end = memchr::memchr(b'\n', buffer);
            let taken = end.unwrap_or(buffer.len());
            match self.begun.get_or_insert_with(|| Line::Whole(Vec::new())) {
                Line::Whole(line) if line.len() + taken <= LONGEST_LINE => {
                    line.extend_from_slice(buffer.get(..taken).unwrap_or_default());
                }
                line => *line = Line::TooLong,
            }
            self.input.consume(taken + usize::from(end.is_some()));
            if end.is_some() {
                return Ok(self.begun.take());
            }
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
        bytes.extend(b"\nshort\n\nlast");
        let mut lines = Lines::new(bytes.as_slice());
        let whole = |text: &[u8]| Some(Line::Whole(text.to_vec()));
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong));
        for text in [&b"short"[..], b"", b"last"] {
            assert_eq!(lines.next().await.unwrap(), whole(text));
        }
        assert_eq!(lines.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn nothing_is_lost_when_nobody_waits_any_more() {
        let (mut client, server) = tokio::io::duplex(8);
        let mut lines = Lines::new(server);
        for part in ["{\"begin", "ning\": ", "1}\nne", "xt\n"] {
            client.write_all(part.as_bytes()).await.unwrap();
            // Polled once and dropped, as the SDK does.
            let polled = futures_util::poll!(std::pin::pin!(lines.next()));
            if let std::task::Poll::Ready(line) = polled {
                let expected = if part.starts_with('1') { "{\"beginning\": 1}" } else { "next" };
                assert_eq!(line.unwrap(), Some(Line::Whole(expected.as_bytes().to_vec())));
            } else {
                assert!(!part.contains('\n'), "{part}");
            }
        }
        drop(client);
        assert_eq!(lines.next().await.unwrap(), None);
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
