//! The page of `proxy-config`: a compose file for each proxy, and all that is to be known as comments in it.

use std::fmt::Write;

use super::{ADDRESS, Advice, DIRECTORY, LOGIN, Proxy, Row, SOCKET};
use crate::config::{Endpoint, HostConfig, Mode};

/// How wide a comment gets.
const WIDTH: usize = 110;

/// One YAML document for each proxy.
pub(super) fn of(host: &HostConfig, proxies: &[Advice]) -> String {
    let mode = if host.mode == Mode::Rw { String::new() } else { format!(" ({})", host.mode.as_str()) };
    let mut page = String::new();
    comment(
        &mut page,
        "",
        &format!(
            "What Quaymaster may send to host \"{}\"{mode}, and as little else as a proxy can tell apart. Written from \
             the guard's own table: write it anew after an upgrade, or when the host's mode or permissions change.",
            host.name
        ),
    );
    comment(&mut page, "", "Then \"quaymaster check --probe-guard\" says whether the endpoint itself refuses writes.");
    for (position, advice) in proxies.iter().enumerate() {
        page.push_str(if position > 0 { "\n---\n" } else { "\n" });
        one(&mut page, host, advice);
    }
    page
}

fn one(page: &mut String, host: &HostConfig, advice: &Advice) {
    comment(page, "", &format!("{} ({}), on the machine of the engine.", name(advice.proxy), advice.proxy.source()));
    page.push_str("#\n");
    list(page, "Stays open although this host is never sent it", &advice.open);
    list(page, "Does not work behind it", &advice.closed);
    comment(page, "", "To be known:");
    for note in &advice.notes {
        comment(page, "- ", note);
    }
    page.push_str("#\n");
    page.push_str(&advice.compose);
    page.push_str("#\n");
    reach(page, host, advice);
}

/// The service.
pub(super) fn compose(advice: &Advice, engine: &str) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    line("services:");
    line("  docker-proxy:");
    line(&format!("    image: {}", advice.image));
    line("    restart: unless-stopped");
    line("    read_only: true");
    line("    security_opt: [\"no-new-privileges:true\"]");
    if advice.proxy == Proxy::Wollomatic {
        line("    cap_drop: [ALL]");
        line("    network_mode: none");
        line(
            "    # Its socket belongs to this group: that of the login or account that is to use it, never \"docker\".",
        );
        line("    user: \"0:${PROXY_GID:?the id of the group that may use the proxy}\"");
        line("    command:");
        for argument in &advice.arguments {
            line(&format!("      - {}", single(argument)));
        }
    } else {
        line("    tmpfs: [/run, /tmp]");
        line("    # Every account of that machine reaches it; never publish it beyond loopback.");
        line(&format!("    ports: [\"{ADDRESS}:2375\"]"));
        line("    environment:");
        for (name, value) in &advice.environment {
            line(&format!("      {name}: \"{value}\""));
        }
    }
    line("    volumes:");
    line("      - type: bind");
    line(&format!("        source: {}", double(engine)));
    line("        target: /var/run/docker.sock");
    line("        read_only: true");
    if advice.proxy == Proxy::Wollomatic {
        line("      - type: bind");
        line(&format!("        source: {DIRECTORY}"));
        line(&format!("        target: {DIRECTORY}"));
        line("        bind: {create_host_path: true}");
    }
    text
}

/// How Quaymaster gets there.
fn reach(page: &mut String, host: &HostConfig, advice: &Advice) {
    let local = matches!(host.endpoint, Endpoint::Unix { .. } | Endpoint::Missing { .. });
    if local {
        comment(page, "", "The host from then on:");
        plain(page, advice.host.iter().map(String::as_str));
        comment(
            page,
            "",
            "Or over ssh, with this line in ~/.ssh/authorized_keys of a login of its own on that machine:",
        );
    } else {
        comment(page, "", "Over ssh, with this line in ~/.ssh/authorized_keys of a login of its own on that machine:");
    }
    plain(page, [advice.authorized_keys.as_str()]);
    comment(
        page,
        "",
        "Whatever the key asks for, sshd runs that command and nothing else: no shell, no forwarding, no terminal. The \
         login must not be in the group \"docker\", nor may it write its own authorized_keys (AuthorizedKeysFile below /etc).",
    );
    if !local {
        comment(page, "", "The host from then on:");
        plain(page, advice.host.iter().take(1).map(String::as_str));
    }
    if advice.proxy == Proxy::Wollomatic {
        streamlocal(page, advice.host.get(1).map(String::as_str));
    }
}

/// The way without a docker CLI on the far machine.
fn streamlocal(page: &mut String, spec: Option<&str>) {
    page.push_str("#\n");
    comment(
        page,
        "",
        "Or as a direct stream to its socket, without a docker CLI there. sshd cannot limit such streams to one path \
         (PermitOpen is for TCP), so that login reaches every socket that its account may open. In sshd_config:",
    );
    plain(
        page,
        [
            &format!("Match User {LOGIN}"),
            "    AllowStreamLocalForwarding local",
            "    AllowTcpForwarding no",
            "    AllowAgentForwarding no",
            "    X11Forwarding no",
            "    PermitTunnel no",
            "    PermitTTY no",
            "    ForceCommand /bin/false",
        ],
    );
    if let Some(spec) = spec {
        comment(page, "", "The host is then:");
        plain(page, [spec]);
    } else {
        comment(page, "", &format!("The host then ends with its path: ssh://{LOGIN}@MACHINE{SOCKET}"));
    }
}

const fn name(proxy: Proxy) -> &'static str {
    match proxy {
        Proxy::Wollomatic => "wollomatic/socket-proxy",
        Proxy::Linuxserver => "linuxserver/socket-proxy",
        Proxy::Tecnativa => "Tecnativa's docker-socket-proxy",
    }
}

fn list(page: &mut String, title: &str, rows: &[Row]) {
    if rows.is_empty() {
        comment(page, "", &format!("{title}: nothing."));
        return;
    }
    comment(page, "", &format!("{title}:"));
    for row in rows {
        let note = row.note.map(|note| format!("  ({note})")).unwrap_or_default();
        let path = row.path;
        writeln!(page, "#   {:<6} {path}{note}", row.method).ok();
    }
}

/// Words as comments of a bearable width.
fn comment(page: &mut String, mark: &str, words: &str) {
    let indent = " ".repeat(mark.len());
    let (mut line, mut lead) = (String::new(), mark);
    for word in one_line(words).split(' ') {
        if !line.is_empty() && line.len() + word.len() > WIDTH {
            writeln!(page, "# {lead}{line}").ok();
            (line, lead) = (String::new(), &indent);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(page, "# {lead}{line}").ok();
}

/// Lines as they are to be copied.
fn plain<'a>(page: &mut String, lines: impl IntoIterator<Item = &'a str>) {
    for line in lines {
        writeln!(page, "#     {}", one_line(line)).ok();
    }
}

/// Nothing of a configuration's words ends a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A scalar in single quotes; compose reads `$$` as `$`.
fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''").replace('$', "$$"))
}

/// A scalar in double quotes, with JSON's escapes, which are YAML's too.
fn double(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_place() {
        let mut page = String::new();
        comment(&mut page, "- ", &format!("a\nservices: {{}} {}", "long words ".repeat(40)));
        plain(&mut page, ["b\r\nprivileged: true"]);
        assert!(page.lines().all(|line| line.starts_with("# ") && line.len() <= WIDTH + 20), "{page}");
        assert_eq!(single("a'b$c"), "'a''b$$c'");
        assert_eq!(double("/a \"b\"\n$c"), r#""/a \"b\"\n$$c""#);
    }
}
