//! A channel as a byte stream: bounded both ways, with stderr and exit status in the error.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client::Msg};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    failure::{self, Status},
    session::Open,
};
use crate::{docker::connect::Slot, error::Error};

/// What may pile up before the channel is no longer drained.
const BUFFER: usize = 8 << 20;
/// What a message costs beside its bytes.
const OVERHEAD: usize = 128;
/// While its buffer is full, a stream must take [`LEAST`] within this time, or it is cut off.
///
/// russh opens a channel's window whatever happens to the data, so a full buffer holds up
/// every other stream of the host.
const FULL: Duration = Duration::from_secs(3);
/// About half of the window: what may be on its way before an answer to somebody else.
const LEAST: u64 = 1 << 20;
/// What is kept of stderr.
const STDERR: usize = 4096;
/// How long the far command gets to end at our end of file before it is sent a signal.
const LINGER: Duration = Duration::from_millis(100);
/// How long the far side's close is waited for, and how long a command may outlive it.
const CLOSING: Duration = Duration::from_secs(1);
/// What a far command may still send while it is asked to end.
const REST: usize = 256 << 10;

/// Both ends of a channel, as seen by whoever uses the stream.
pub(super) struct ChannelStream {
    shared: Arc<Shared>,
    writer: Writer,
}

type Writer = Pin<Box<dyn AsyncWrite + Send>>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// The reader took something, or left.
    taken: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Bytes that were read, ever.
    taken: u64,
    end: Option<Result<(), Error>>,
    left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, end: Result<(), Error>) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn push(&self, data: Bytes) {
        let mut state = self.state();
        if state.left {
            return;
        }
        state.queued += data.len() + OVERHEAD;
        state.queue.push_back(data);
        let waker = state.reader.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl ChannelStream {
    /// Takes a channel over; the slot is given back when the far side has closed it.
    pub(super) fn new(channel: Channel<Msg>, open: Open, slot: Slot) -> Self {
        let shared = Arc::new(Shared::default());
        let (reading, writing) = channel.split();
        let writer = Box::pin(writing.make_writer());
        let pump = Pump {
            shared: shared.clone(),
            reading,
            writing,
            answered: false,
            status: Status::Unknown,
            stderr: Vec::new(),
        };
        tokio::spawn(async move {
            pump.run(open.runs_command()).await;
            // sshd counts a session until it has taken our own close in.
            open.settle().await;
            drop(open);
            drop(slot);
        });
        Self { shared, writer }
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.left = true;
        state.queue.clear();
        state.queued = 0;
        drop(state);
        self.shared.taken.notify_one();
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.shared.state();
        let mut taken = false;
        while buffer.remaining() > 0
            && let Some(data) = state.queue.front_mut()
        {
            let bytes = data.len().min(buffer.remaining());
            buffer.put_slice(&data.split_to(bytes));
            let done = !data.has_remaining();
            if done {
                state.queue.pop_front();
            }
            state.queued -= bytes + if done { OVERHEAD } else { 0 };
            state.taken += bytes as u64;
            taken = true;
        }
        if taken {
            drop(state);
            self.shared.taken.notify_one();
            return Poll::Ready(Ok(()));
        }
        match &state.end {
            Some(Ok(())) => Poll::Ready(Ok(())),
            Some(Err(error)) => Poll::Ready(Err(io::Error::other(error.clone()))),
            None => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl ChannelStream {
    /// A writer waits for the far side's window, which nobody opens once the channel is gone.
    fn unless_ended<T>(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        write: impl FnOnce(&mut Writer, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let stream = self.get_mut();
        let mut state = stream.shared.state();
        match &state.end {
            Some(Ok(())) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(Err(error)) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, error.clone()))),
            None => state.writer = Some(context.waker().clone()),
        }
        drop(state);
        write(&mut stream.writer, context)
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.unless_ended(context, |writer, context| writer.as_mut().poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was taken is on its way to the connection, which flushes by itself.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.state().end.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.unless_ended(context, |writer, context| writer.as_mut().poll_shutdown(context))
    }
}

/// Carries a channel's messages to the stream until the far side has closed it.
struct Pump {
    shared: Arc<Shared>,
    reading: ChannelReadHalf,
    writing: ChannelWriteHalf<Msg>,
    /// Whether a byte of stdout has come.
    answered: bool,
    status: Status,
    stderr: Vec<u8>,
}

/// What a message means for the pump.
enum Step {
    On,
    /// The far side has let go of the channel.
    Closed,
}

impl Pump {
    async fn run(mut self, command: bool) {
        // Since when, and since how many bytes, the reader is being watched.
        let mut watched: Option<(Instant, u64)> = None;
        loop {
            let (full, left, taken) = {
                let state = self.shared.state();
                (state.queued >= BUFFER, state.left, state.taken)
            };
            if left {
                return self.close(command).await;
            }
            if full {
                let (since, before) = *watched.get_or_insert((Instant::now(), taken));
                if since.elapsed() < FULL {
                    timeout_at(since + FULL, self.shared.taken.notified()).await.ok();
                } else if taken - before < LEAST {
                    self.shared.end(Err(failure::too_slow()));
                    return self.close(command).await;
                } else {
                    watched = None;
                }
                continue;
            }
            watched.take_if(|(since, _)| since.elapsed() > FULL);
            let message = tokio::select! {
                message = self.reading.wait() => message,
                () = self.shared.taken.notified() => continue,
            };
            match message {
                None => return self.shared.end(Err(failure::lost())),
                Some(message) => {
                    if let Step::Closed = self.take(message, command) {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, message: ChannelMsg, command: bool) -> Step {
        match message {
            ChannelMsg::Data { data } if !data.is_empty() => {
                self.answered = true;
                self.shared.push(data);
            }
            ChannelMsg::ExtendedData { data, ext: 1 } => {
                let room = STDERR.saturating_sub(self.stderr.len());
                self.stderr.extend(data.iter().take(room));
            }
            ChannelMsg::ExitStatus { exit_status } => self.status = Status::Code(exit_status),
            ChannelMsg::ExitSignal { .. } => self.status = Status::Signal,
            ChannelMsg::Failure => self.shared.end(Err(failure::no_command())),
            // Without a command nothing more is to come that would explain the end.
            ChannelMsg::Eof if !command => self.finish(command),
            ChannelMsg::Close => {
                self.finish(command);
                return Step::Closed;
            }
            _ => {}
        }
        Step::On
    }

    fn finish(&self, command: bool) {
        let well = self.answered && matches!(self.status, Status::Unknown | Status::Code(0));
        self.shared.end(if well { Ok(()) } else { Err(failure::ended(self.status, &self.stderr, command)) });
    }

    /// Nobody reads any more: ends the far side, and waits until it has let go.
    async fn close(&mut self, command: bool) {
        let Self { reading, writing, .. } = self;
        let flood = Notify::new();
        let forced = AtomicBool::new(false);
        let ask = async {
            // An end of file ends an idle command and its connection to the engine, in order.
            if writing.eof().await.is_err() {
                return;
            }
            if command {
                timeout(LINGER, flood.notified()).await.ok();
                // A command that waits for the engine may never notice that nobody listens.
                // sshd passes the signal on for every login but root's.
                if writing.signal(Sig::KILL).await.is_err() {
                    return;
                }
                timeout(CLOSING, flood.notified()).await.ok();
            }
            forced.store(true, Ordering::Relaxed);
            if writing.close().await.is_ok() {
                sleep(CLOSING).await;
            }
        };
        // Meanwhile what still comes is thrown away: left alone it would hold the connection up.
        let listen = async {
            let mut thrown = 0_usize;
            loop {
                match reading.wait().await {
                    None | Some(ChannelMsg::Close) => return,
                    Some(ChannelMsg::Data { data }) => thrown = thrown.saturating_add(data.len()),
                    Some(_) => {}
                }
                if thrown > REST {
                    flood.notify_one();
                }
            }
        };
        tokio::select! {
            () = ask => {}
            () = listen => {}
        }
        if command && forced.into_inner() {
            // sshd confirms at once but counts the session until its command has ended.
            sleep(CLOSING).await;
        }
    }
}
