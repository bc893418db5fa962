//! Command lines with secrets in them, and those that only look like it.

use super::*;

fn text(text: &str) -> (String, Vec<String>) {
    let mut found = Vec::new();
    let shown = line(text, &mut |value| found.push(value.to_owned())).unwrap_or_else(|| text.to_owned());
    let again = line(&shown, &mut |_| {}).unwrap_or_else(|| shown.clone());
    assert_eq!(again, shown, "twice: {text}");
    (shown, found)
}

fn words(words: &[&str]) -> String {
    let mut sink = |_: &str| {};
    let mut line = Words::new(&mut sink);
    words.iter().map(|word| line.next(word).unwrap_or_else(|| (*word).to_owned())).collect::<Vec<_>>().join(" ")
}

#[test]
fn values_of_flags_go() {
    let secret = "hunter2Q";
    for command in [
        "server --password hunter2Q --port 80",
        "server --password=hunter2Q --port 80",
        "server --password=\"hunter2Q\" x",
        "server -password hunter2Q",
        "server --api-key hunter2Q --auth-token=hunter2Q",
        "java -Dspring.datasource.password=hunter2Q -jar x",
        "redis-server --requirepass hunter2Q --masterauth hunter2Q",
        "redis-cli -h db -a hunter2Q ping",
        "mysql -uroot -phunter2Q db",
        "/usr/bin/mysqldump -phunter2Q db",
        "mariadb-dump -p'hunter2Q' db",
        "curl -u admin:hunter2Q http://x",
        "curl -uadmin:hunter2Q http://x",
        "curl --user admin:hunter2Q http://x",
        "curl -H 'Authorization: Bearer hunter2Q' http://x",
        "curl -H \"X-Api-Key: hunter2Q\" http://x",
        "curl https://admin:hunter2Q@host/x",
        "PGPASSWORD=hunter2Q psql -h db",
        "env DB_TOKEN=hunter2Q ./run",
        "/bin/sh -c \"exec mysql -phunter2Q && sleep 1\"",
        "sh -c 'cd /x; sshpass -p hunter2Q ssh a@b'",
        "docker login -u me -p hunter2Q registry",
        "rabbitmqctl add_user me hunter2Q",
        "htpasswd -nb me hunter2Q",
        "openssl enc -k hunter2Q -in x",
        "openssl rsa -passin pass:hunter2Q",
        "CMD [\"redis-server\" \"--requirepass\" \"hunter2Q\"]",
        "CMD [\"redis-server\",\"--requirepass\",\"hunter2Q\"]",
        "mongosh -u root -p hunter2Q",
        "smbclient //x/y -U me%hunter2Q",
    ] {
        let (shown, _) = text(command);
        assert!(!shown.contains(secret) && shown.contains("<redacted len="), "{command}: {shown}");
    }
}

#[test]
fn other_words_stay() {
    for command in [
        "",
        "nginx -g daemon off;",
        "docker run -p 8080:80 -u 1000:1000 web",
        "psql -p 5432 -U me",
        "server --password-file /run/secrets/x --token-ttl 1h --no-password",
        "server --password $DB_PASSWORD --token ${TOKEN} --password \"$X\"",
        "mysql -p -uroot",
        "mkdir -p /data && exec app --port 80",
        "sleep 600",
        "it's a 'quote' \"of sorts",
        "ps -ef --keyboard us --author me",
    ] {
        assert_eq!(text(command).0, command);
    }
}

#[test]
fn lists_of_words_are_read_alike() {
    for command in [
        &["server", "--password", "hunter2Q"][..],
        &["mysql", "-phunter2Q"],
        &["sh", "-c", "mysql -phunter2Q"],
        &["sh", "-c", "sh -c \"sh -c 'redis-cli -a hunter2Q'\""],
        &["curl", "-H", "Authorization: Basic hunter2Q", "-u", "a:hunter2Q"],
        &["app", "--password", "two words hunter2Q"],
    ] {
        assert!(!words(command).contains("hunter2Q"), "{}", words(command));
    }
    assert_eq!(text("app --token hunter2Q").1, ["hunter2Q"]);
    assert_eq!(words(&["app", "--password", "--verbose"]), "app --password --verbose");
}
