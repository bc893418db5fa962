//! What a person can do about a host that does not answer; agents are told to ask that person.

use crate::{config::Endpoint, error::Error};

/// Words of a cause, and the mend; the first that fits counts.
const MENDS: &[(&str, &str)] = &[
    ("no Docker socket was found", "start Docker, or say where it is: --host, QUAYMASTER_HOSTS, or the file of hosts"),
    ("no such socket", "start the engine there, or correct the path of the socket"),
    ("permission denied", "let your account use the socket: usually \"sudo usermod -aG docker $USER\" and a new login"),
    ("the ssh server cannot be reached: connection refused", "start sshd there, or correct the port"),
    ("connection refused", "nothing listens there: start the engine, or correct the endpoint"),
    ("name not found", "correct the name, or use an address or an alias of ~/.ssh/config"),
    ("host key is not known", "run \"{ssh}\" once, compare the fingerprint with the machine's own, and accept it"),
    (
        "host key has CHANGED",
        "find out why before anything else; only then take the old key out with \"ssh-keygen -R\"",
    ),
    ("host key is revoked", "somebody has revoked that key: do not connect before you know why"),
    ("the key is encrypted", "run \"ssh-add\" for the key, and start Quaymaster where SSH_AUTH_SOCK is set"),
    ("the ssh login failed", "make \"{ssh}\" log in without a question; the detail says which keys were tried"),
    ("ssh configuration cannot be used", "correct what the detail names"),
    ("no route", "see that the machine is on and the network leads there"),
    (
        "did not answer a ping",
        "something accepts connections and stays silent: look at the engine's log, restart it if it hangs",
    ),
    ("timed out", "see that the machine is on, and that no firewall swallows the connection"),
    ("did not accept a connection", "see that the machine is on, and that no firewall swallows the connection"),
    ("did not tell its state", "the engine is slow or stuck: look at its log, and at what \"docker info\" does there"),
    (
        "not from the configured authority",
        "put the certificate of the authority that signed the engine's into ca.pem of the tls directory",
    ),
    ("is for another name", "use the name that is in the engine's certificate, or add this one to it"),
    ("certificate has expired", "renew the engine's certificate"),
    ("certificate is not valid yet", "compare the clocks of both machines"),
    (
        "refuses our certificate",
        "take cert.pem and key.pem from the authority that the engine trusts (its --tlscacert)",
    ),
    ("tls files cannot be used", "correct the file that the detail names"),
    ("does not speak tls", "correct the port, or take (tls=...) away if that engine has none"),
    ("does not speak HTTP", "correct the port; an engine with TLS needs (tls=DIR)"),
    (
        "docker command is missing",
        "install the docker CLI there, or name the engine's socket in the endpoint: ssh://host/var/run/docker.sock",
    ),
    ("could not reach its engine", "make \"{ssh} docker version\" work: the login needs the engine's socket"),
    ("does not allow the docker command", "allow that login to run \"docker system dial-stdio\""),
    ("not a Docker engine", "correct the endpoint: something else answers there"),
    ("is older than", "upgrade that engine to Docker 20.10 or later"),
];

/// The mend for an error of this endpoint; else what the error itself says.
pub(super) fn of(endpoint: &Endpoint, error: &Error) -> Option<String> {
    let known = MENDS.iter().find(|(words, _)| error.message().contains(words)).map(|(_, mend)| *mend);
    known.map(|mend| mend.replace("{ssh}", &login(endpoint))).or_else(|| error.hint_text().map(str::to_owned))
}

/// The command that reaches the machine by hand.
fn login(endpoint: &Endpoint) -> String {
    let Endpoint::Ssh(ssh) = endpoint else { return "ssh".to_owned() };
    let port = ssh.port.map(|port| format!(" -p {port}")).unwrap_or_default();
    let user = ssh.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    format!("ssh{port} {user}{}", ssh.host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SshEndpoint;

    #[test]
    fn the_mend_fits_the_cause() {
        let ssh = Endpoint::Ssh(SshEndpoint {
            host: "prod.example.com".into(),
            user: Some("ops".into()),
            port: Some(2222),
            ..SshEndpoint::default()
        });
        let unknown = Error::unreachable("the host key is not known").hint("ask the person");
        let mend = of(&ssh, &unknown).unwrap();
        assert!(mend.starts_with("run \"ssh -p 2222 ops@prod.example.com\" once"), "{mend}");
        let unix = Endpoint::Unix { path: "/x".into() };
        assert_eq!(of(&unix, &Error::docker("odd").hint("look")), Some("look".into()));
        assert_eq!(of(&unix, &Error::docker("odd")), None);
    }
}
