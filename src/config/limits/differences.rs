//! What of a host's limits is worth telling: whatever is not as it would be if nothing had been said.

use super::Limits;
use crate::config::{
    Endpoint, Globs, Mode,
    permission::{Permission, Permissions},
};

impl Limits {
    /// Each setting that is not what holds for such a host by itself, in the words of the configuration.
    #[must_use]
    pub fn differences(&self, mode: Mode, endpoint: &Endpoint) -> Vec<(&'static str, String)> {
        let usual = Self::of(mode, endpoint);
        let differs = |differs: bool, value: String| differs.then_some(value);
        let globs = |globs: &Globs| differs(!globs.is_open(), globs.to_string());
        let Self { permissions, tools, containers, images, confirm, bodies, exec_deny, own_container, .. } = self;
        let Self { reveal, sources, .. } = self;
        let sources: Vec<&str> = sources.patterns().collect();
        let rules: Vec<String> =
            bodies.rules.iter().map(|(rule, verdict)| format!("{rule}={}", verdict.as_str())).collect();
        [
            ("permissions", differs(*permissions != usual.permissions, words(*permissions))),
            ("tools", globs(tools)),
            ("containers", globs(containers)),
            ("images", globs(images)),
            ("confirm", differs(*confirm != usual.confirm, confirm.as_str().to_owned())),
            ("bodies", differs(bodies.profile != usual.bodies.profile, bodies.profile.as_str().to_owned())),
            ("rules", differs(!rules.is_empty(), rules.join(", "))),
            ("binds", differs(!bodies.binds_allow.is_empty(), format!("allow {}", bodies.binds_allow.join(", ")))),
            ("exec", globs(exec_deny)),
            ("own_container", differs(*own_container, "allow".to_owned())),
            ("reveal", differs(!reveal.is_empty(), reveal.join(", "))),
            ("sources", differs(!sources.is_empty(), sources.join(", "))),
        ]
        .into_iter()
        .filter_map(|(setting, value)| Some((setting, value?)))
        .collect()
    }
}

fn words(permissions: Permissions) -> String {
    permissions.iter().map(Permission::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{
        Sources,
        limits::{Bodies, Confirm, Profile, Rule, Verdict},
    };

    #[test]
    fn nothing_is_told_of_what_is_usual() {
        for mode in [Mode::Rw, Mode::Nd, Mode::Ro] {
            for endpoint in [Endpoint::Unix { path: "/x".into() }, Endpoint::Tcp { host: "x".into(), port: 1 }] {
                assert!(Limits::of(mode, &endpoint).differences(mode, &endpoint).is_empty());
            }
        }
    }

    #[test]
    fn everything_else_is_told() {
        let endpoint = Endpoint::Unix { path: "/x".into() };
        let globs = |deny: &str| Globs::new(&[], &[deny.to_owned()]).unwrap();
        let limits = Limits {
            permissions: Permissions::of(&[Permission::Lifecycle]),
            tools: globs("kill_*"),
            containers: globs("*-db"),
            images: globs("evil"),
            confirm: Confirm::Write,
            bodies: Bodies {
                profile: Profile::Strict,
                rules: [(Rule::HostNet, Verdict::Ask), (Rule::Privileged, Verdict::Allow)].into(),
                binds_allow: vec!["/srv".to_owned()],
            },
            exec_deny: globs("*rm*"),
            own_container: true,
            reveal: vec!["LOG_*".to_owned()],
            sources: Sources::new(&["https://a.example/*".to_owned()]).unwrap(),
        };
        let told: Vec<String> =
            limits.differences(Mode::Rw, &endpoint).iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            told.join("; "),
            "permissions: read, lifecycle; tools: deny kill_*; containers: deny *-db; images: deny evil; \
             confirm: write; bodies: strict; rules: privileged=allow, host-net=ask; binds: allow /srv; \
             exec: deny *rm*; own_container: allow; reveal: LOG_*; sources: https://a.example/*"
        );
    }
}
