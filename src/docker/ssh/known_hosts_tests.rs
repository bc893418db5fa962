//! What `known_hosts` accepts and refuses, case by case as OpenSSH does.

use std::{fmt::Write as _, fs};

use hmac::{Hmac, Mac};
use russh::keys::{
    PrivateKey,
    key::safe_rng,
    ssh_key::certificate::{Builder, CertType},
};

use super::*;

const NOW: u64 = 1_800_000_000;

fn key() -> PrivateKey {
    key_of(Algorithm::Ed25519)
}

fn key_of(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), algorithm).unwrap()
}

fn line(names: &str, key: &PrivateKey) -> String {
    format!("{names} {}\n", key.public_key().to_openssh().unwrap())
}

/// The files' answer for a host.
struct Case {
    known: KnownHosts,
    _directory: tempfile::TempDir,
}

fn case(host: &str, port: u16, text: &str) -> Case {
    aliased(host, port, None, text)
}

fn aliased(host: &str, port: u16, alias: Option<&str>, text: &str) -> Case {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    fs::write(&file, text).unwrap();
    let missing = directory.path().join("missing");
    Case { known: KnownHosts::read(&[missing, file], host, port, alias), _directory: directory }
}

impl Case {
    fn plain(&self, key: &PrivateKey) -> Result<(), Refused> {
        self.known.check(key.public_key(), None, NOW)
    }

    fn certified(&self, key: &PrivateKey, certificate: &Certificate) -> Result<(), Refused> {
        self.known.check(key.public_key(), Some(certificate), NOW)
    }
}

fn unknown(outcome: Result<(), Refused>) -> String {
    match outcome {
        Err(Refused::Unknown(detail)) => detail,
        other => panic!("{other:?}"),
    }
}

fn changed(outcome: Result<(), Refused>) -> String {
    match outcome {
        Err(Refused::Changed(detail)) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_listed_key_is_accepted() {
    let key = key();
    assert_eq!(case("a.example", 22, &line("a.example", &key)).plain(&key), Ok(()));
    assert_eq!(case("a.example", 22, &line("x,a.example,10.0.0.1", &key)).plain(&key), Ok(()));
    assert_eq!(case("a.example", 22, &line("A.Example", &key)).plain(&key), Ok(()));
    assert_eq!(case("a.example", 2222, &line("[a.example]:2222", &key)).plain(&key), Ok(()));
    assert_eq!(case("::1", 2222, &line("[::1]:2222", &key)).plain(&key), Ok(()));
}

#[test]
fn a_hashed_name_is_found() {
    let key = key();
    let hashed = |name: &str| {
        let salt = [7_u8; 20];
        let hash = Hmac::<Sha1>::new_from_slice(&salt).unwrap().chain_update(name).finalize().into_bytes();
        HostPatterns::HashedName { salt: salt.to_vec(), hash: hash.into() }.to_string()
    };
    assert_eq!(case("a.example", 22, &line(&hashed("a.example"), &key)).plain(&key), Ok(()));
    assert_eq!(case("a.example", 2222, &line(&hashed("[a.example]:2222"), &key)).plain(&key), Ok(()));
    unknown(case("a.example", 22, &line(&hashed("b.example"), &key)).plain(&key));
}

#[test]
fn a_line_that_ssh_keygen_hashed_is_found() {
    // Made with "ssh-keygen -H" of OpenSSH 9.2.
    let text = "|1|99yyRi6y/qExo/dzsWLw2hYtibM=|gEpNPNVMrMFHjV63gLhp7d4HgVE= \
                ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII43zIgAdSBqyT0E1nDb8nxP4hCumXbtOzVNU7ILFJr9";
    let recorded = PublicKey::from_openssh(text.split_once(' ').unwrap().1).unwrap();
    assert_eq!(case("hashed.example", 22, text).known.check(&recorded, None, NOW), Ok(()));
    assert_eq!(case("other.example", 22, text).known.entries.len(), 0);
}

#[test]
fn another_key_has_changed_and_is_shown_with_its_place() {
    let (old, new) = (key(), key());
    let text = format!("# a comment\n\n{}", line("a.example", &old));
    let detail = changed(case("a.example", 22, &text).plain(&new));
    assert!(detail.contains("known_hosts:3"), "{detail}");
    for key in [&old, &new] {
        assert!(detail.contains(&key.fingerprint(HashAlg::Sha256).to_string()), "{detail}");
    }
    // Two recorded keys: either will do.
    let both = line("a.example", &old) + &line("a.example", &new);
    assert_eq!(case("a.example", 22, &both).plain(&new), Ok(()));
}

#[test]
fn an_unlisted_host_is_unknown() {
    let key = key();
    assert!(unknown(case("a.example", 22, "").plain(&key)).contains("none of"));
    unknown(case("a.example", 22, &line("b.example", &key)).plain(&key));
    let missing = KnownHosts::read(&["/nonexistent/known_hosts".into()], "a.example", 22, None);
    assert!(matches!(missing.check(key.public_key(), None, NOW), Err(Refused::Unknown(_))));
    assert!(missing.warnings.is_empty());
}

#[test]
fn a_port_is_part_of_the_name() {
    let (key, other) = (key(), key_of(Algorithm::Ed25519));
    unknown(case("a.example", 22, &line("[a.example]:2222", &key)).plain(&key));
    unknown(case("a.example", 2200, &line("[a.example]:2222", &key)).plain(&key));
    // A bare name also serves another port, unless the port has an entry of its own.
    assert_eq!(case("a.example", 2222, &line("a.example", &key)).plain(&key), Ok(()));
    let both = line("a.example", &key) + &line("[a.example]:2222", &other);
    changed(case("a.example", 2222, &both).plain(&key));
    assert_eq!(case("a.example", 2222, &both).plain(&other), Ok(()));
    // A bare name with another key is no proof of a change.
    assert!(unknown(case("a.example", 2222, &line("a.example", &other)).plain(&key)).contains("without the port"));
}

#[test]
fn a_revoked_key_is_refused_wherever_it_is_also_listed() {
    let key = key();
    let text = line("a.example", &key) + &line("@revoked *", &key);
    assert!(matches!(case("a.example", 22, &text).plain(&key), Err(Refused::Revoked(_))));
    let text = line("@revoked a.example", &key) + &line("[a.example]:2222", &key);
    assert!(matches!(case("a.example", 2222, &text).plain(&key), Err(Refused::Revoked(_))));
    let elsewhere = line("a.example", &key) + &line("@revoked b.example", &key);
    assert_eq!(case("a.example", 22, &elsewhere).plain(&key), Ok(()));
}

#[test]
fn known_algorithms_are_asked_for_first() {
    let ecdsa = key_of(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
    let known = case("a.example", 22, &line("a.example", &ecdsa)).known;
    assert_eq!(known.algorithms().first(), Some(&Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }));
    assert_eq!(known.algorithms().len(), 6);
    assert!(!known.algorithms().contains(&Algorithm::Rsa { hash: None }));
    assert!(known.certificate_algorithms().is_empty());
    // A key of another kind than the recorded one is a change, never an unknown key.
    changed(known_check(&known, &key()));
}

fn known_check(known: &KnownHosts, key: &PrivateKey) -> Result<(), Refused> {
    known.check(key.public_key(), None, NOW)
}

#[test]
fn patterns_negation_tabs_and_aliases() {
    let key = key();
    assert_eq!(case("web.example.com", 22, &line("*.example.com", &key)).plain(&key), Ok(()));
    unknown(case("web.example.com", 22, &line("*.example.com,!web.example.com", &key)).plain(&key));
    assert_eq!(case("web.example.com", 2222, &line("[*.example.com]:2222", &key)).plain(&key), Ok(()));
    let tabs = line("a.example", &key).replace(' ', "\t");
    assert_eq!(case("a.example", 22, &tabs).plain(&key), Ok(()));
    assert_eq!(case("a.example", 22, &format!("  {}", line("a.example", &key))).plain(&key), Ok(()));
    assert_eq!(aliased("10.0.0.1", 2222, Some("prod"), &line("prod", &key)).plain(&key), Ok(()));
    unknown(aliased("10.0.0.1", 22, Some("prod"), &line("10.0.0.1", &key)).plain(&key));
}

#[test]
fn bad_lines_are_skipped_and_told() {
    let key = key();
    let mut text = "a.example ssh-ed25519 not-base64!\n@gibberish a.example ssh-ed25519 AAAA\nshort\n".to_owned();
    write!(text, "|1|bad {}", line("", &key).trim_start()).unwrap();
    text += &line("a.example", &key);
    text += "\u{0}\u{1}\u{ffff}\n";
    let case = case("a.example", 22, &text);
    assert_eq!(case.plain(&key), Ok(()));
    assert_eq!(case.known.warnings.len(), 1);
    assert!(case.known.warnings[0].ends_with("line 1, 2, 3, 4, 6"), "{:?}", case.known.warnings);
}

fn certificate(host: &PrivateKey, authority: &PrivateKey, change: impl FnOnce(&mut Builder)) -> Certificate {
    certificate_of(CertType::Host, host, authority, change)
}

fn certificate_of(
    kind: CertType,
    host: &PrivateKey,
    authority: &PrivateKey,
    change: impl FnOnce(&mut Builder),
) -> Certificate {
    let mut builder =
        Builder::new_with_random_nonce(&mut safe_rng(), host.public_key().key_data().clone(), NOW - 100, NOW + 100)
            .unwrap();
    builder.cert_type(kind).unwrap();
    change(&mut builder);
    builder.sign(authority).unwrap()
}

fn for_host(builder: &mut Builder) {
    builder.valid_principal("a.example").unwrap();
}

#[test]
fn a_certificate_of_a_recorded_authority_is_accepted() {
    let (host, authority) = (key(), key());
    let certificate = certificate(&host, &authority, for_host);
    let text = line("@cert-authority *.example,a.example", &authority);
    let listed = case("a.example", 22, &text);
    assert_eq!(listed.known.certificate_algorithms().len(), 6);
    assert_eq!(listed.certified(&host, &certificate), Ok(()));
    // Also for another port, by the bare name.
    assert_eq!(case("a.example", 2222, &text).certified(&host, &certificate), Ok(()));
    // The key alone is not known.
    unknown(listed.plain(&host));
}

#[test]
fn a_certificate_that_does_not_hold_is_no_proof() {
    let (host, authority, other) = (key(), key(), key());
    let text = line("@cert-authority a.example", &authority);
    let refused = |certificate: &Certificate| unknown(case("a.example", 22, &text).certified(&host, certificate));

    assert!(refused(&certificate(&host, &other, for_host)).contains("authority"));
    assert!(
        refused(&certificate(&host, &authority, |builder| {
            builder.valid_principal("b.example").unwrap();
        }))
        .contains("b.example")
    );
    let user = certificate_of(CertType::User, &host, &authority, for_host);
    assert!(refused(&user).contains("no host certificate"));
    let limited = certificate(&host, &authority, |builder| {
        for_host(builder);
        builder.critical_option("only", "x").unwrap();
    });
    assert!(refused(&limited).contains("critical"));

    let good = certificate(&host, &authority, for_host);
    let known = case("a.example", 22, &text).known;
    for now in [NOW - 101, NOW + 100] {
        assert!(matches!(known.check(host.public_key(), Some(&good), now), Err(Refused::Unknown(_))));
    }
    // A revoked authority, and a certificate beside a recorded plain key.
    let revoked = text.clone() + &line("@revoked *", &authority);
    assert!(matches!(case("a.example", 22, &revoked).certified(&host, &good), Err(Refused::Revoked(_))));
    let expired_but_listed = text.clone() + &line("a.example", &host);
    let known = case("a.example", 22, &expired_but_listed).known;
    assert_eq!(known.check(host.public_key(), Some(&good), NOW + 1000), Ok(()));
}
