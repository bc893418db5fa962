//! A volume driver without volumes: the smallest program that an engine takes for a plugin.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    thread,
};

fn main() {
    let listener = UnixListener::bind("/run/docker/plugins/driver.sock").expect("the socket");
    for stream in listener.incoming().flatten() {
        thread::spawn(|| serve(stream));
    }
}

fn serve(mut stream: UnixStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("the stream"));
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            match line.trim().to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().expect("a length"),
                Some(_) => {}
                None => break,
            }
        }
        reader.read_exact(&mut vec![0; length]).expect("the body");
        let answer = match first.split(' ').nth(1) {
            Some("/Plugin.Activate") => r#"{"Implements":["VolumeDriver"]}"#,
            Some("/VolumeDriver.List") => r#"{"Volumes":[]}"#,
            Some("/VolumeDriver.Capabilities") => r#"{"Capabilities":{"Scope":"local"}}"#,
            _ => r#"{"Err":"there are no volumes"}"#,
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\n";
        if write!(stream, "{head}Content-Length: {}\r\n\r\n{answer}", answer.len()).is_err() {
            return;
        }
    }
}
