//! What can go wrong over SSH, told for agents without addresses, users and paths, and for people with them.

use std::{io, time::Duration};

use russh::ChannelOpenFailure;

use super::{known_hosts::Refused, route::Hop};
use crate::{config::Tunnel, docker::connect::ASK_CHECK, error::Error};

fn unreachable(message: impl Into<String>, detail: impl Into<String>) -> Error {
    Error::unreachable(message).hint(ASK_CHECK).detail(detail)
}

/// The host answers, but not in time.
pub(super) fn timed_out(hop: &Hop) -> Error {
    let seconds = hop.connect_timeout.as_secs_f32();
    unreachable("the ssh connection timed out", format!("{}: no connection and login within {seconds} s", hop.shown()))
}

/// Names the machine that an error is about as one on the way.
pub(super) fn at_jump_host(error: &Error) -> Error {
    retold(error, format!("at a jump host: {}", error.message()), "")
}

/// The error of an attempt that is not repeated yet.
pub(super) fn again(error: &Error, pause: Duration) -> Error {
    retold(error, error.message().to_owned(), &format!(" (not tried again for {:.1} s)", pause.as_secs_f32()))
}

fn retold(error: &Error, message: String, also: &str) -> Error {
    let mut told = Error::new(error.kind(), message).retryable(error.is_retryable());
    if let Some(hint) = error.hint_text() {
        told = told.hint(hint);
    }
    told.detail(format!("{}{also}", error.detail_text().unwrap_or_default()))
}

/// No TCP connection.
pub(super) fn not_connected(error: &io::Error, hop: &Hop) -> Error {
    let class = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::TimedOut => "connection timed out",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route",
        _ if error.to_string().contains("lookup") => "name not found",
        _ => "cannot connect",
    };
    unreachable(format!("the ssh server cannot be reached: {class}"), format!("{}: {error}", hop.shown()))
}

/// A jump host did not connect us further.
pub(super) fn not_forwarded(error: &russh::Error, hop: &Hop) -> Error {
    let class = match error {
        russh::Error::ChannelOpenFailure(ChannelOpenFailure::AdministrativelyProhibited) => {
            "the jump host does not allow forwarding"
        }
        russh::Error::ChannelOpenFailure(_) => "the jump host cannot reach it",
        _ => "the connection to the jump host was lost",
    };
    unreachable(
        format!("the ssh server cannot be reached: {class}"),
        format!("{} through the jump host: {}", hop.shown(), plain(&error.to_string())),
    )
}

/// What answers does not get through the key exchange.
pub(super) fn no_handshake(error: &russh::Error, hop: &Hop) -> Error {
    let class = match error {
        russh::Error::NoCommonAlgo { .. } => "no algorithm in common",
        russh::Error::Version => "what answers does not speak ssh",
        russh::Error::HUP | russh::Error::Disconnect | russh::Error::IO(_) => "the far side hung up",
        _ => "the handshake failed",
    };
    unreachable(
        format!("the ssh connection failed: {class}"),
        format!("{}: {}", hop.shown(), plain(&error.to_string())),
    )
}

/// The host key is not the recorded one.
pub(super) fn host_key(refused: Refused) -> Error {
    let (message, detail) = match refused {
        Refused::Unknown(detail) => ("the host key is not known", detail),
        Refused::Changed(detail) => ("the host key has CHANGED", detail),
        Refused::Revoked(detail) => ("the host key is revoked", detail),
    };
    unreachable(message, detail)
}

/// The first channel of a connection was refused.
pub(super) fn channel_refused(tunnel: Tunnel, socket: &str, reason: &ChannelOpenFailure) -> Error {
    match tunnel {
        Tunnel::DialStdio => {
            unreachable("the far side grants no ssh session", format!("opening a session channel: {reason:?}"))
        }
        Tunnel::Streamlocal => unreachable(
            "the far side does not open its engine's socket",
            format!(
                "{socket}: {reason:?}; the socket may be missing or closed to the login, or sshd may forbid it (AllowStreamLocalForwarding, restrictions of the key); tunnel = \"dial-stdio\" does without"
            ),
        ),
    }
}

/// The connection went away under a stream.
pub(super) fn lost() -> Error {
    unreachable("the ssh connection was lost", "the connection closed while a stream was open")
}

/// Our reader let so much pile up that it held up the others.
pub(super) fn too_slow() -> Error {
    Error::unreachable("the answer was read too slowly and was cut off")
        .detail("a stream over ssh had a full buffer and nobody read it")
}

/// The far side refuses to run anything.
pub(super) fn no_command() -> Error {
    unreachable("the far side does not allow the docker command", "the exec request was refused")
}

/// The far side ended a stream that had not answered, or its command failed.
pub(super) fn ended(status: Status, stderr: &[u8], command: bool) -> Error {
    let (message, how) = match status {
        Status::Code(127) => ("the docker command is missing on the far side (exit status 127)".to_owned(), "127"),
        Status::Code(126) => ("the docker command cannot be run on the far side (exit status 126)".to_owned(), "126"),
        Status::Code(1) => ("the far side's docker could not reach its engine (exit status 1)".to_owned(), "1"),
        Status::Code(code) => {
            (format!("the far side's docker ended without an answer (exit status {code})"), "another")
        }
        Status::Signal => ("the far side's docker was killed".to_owned(), "none"),
        Status::Unknown if command => ("the far side's docker ended without an answer".to_owned(), "none"),
        Status::Unknown => ("the far side's engine closed the connection without an answer".to_owned(), "none"),
    };
    let stderr = plain(String::from_utf8_lossy(stderr).trim());
    let said = if stderr.is_empty() { "nothing on stderr".to_owned() } else { format!("stderr: {stderr}") };
    let detail = match status {
        Status::Code(code) => format!("exit status {code}, {said}"),
        _ => format!("exit status {how}, {said}"),
    };
    unreachable(message, detail)
}

/// How a command ended, as far as the far side says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Code(u32),
    Signal,
    Unknown,
}

/// A far machine's words without anything that could steer a terminal or break a log line.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
