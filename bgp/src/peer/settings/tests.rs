//! A row for each field of the configuration: what its change asks for.
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::{Authentication, Families, Hops, RemoteAs, Role, Secret};
use crate::ladder::Ladder;
use crate::policy::Policy;

const NOTHING: Consequences = Consequences {
    session: false,
    attempts: false,
    export: false,
    import: false,
    limits: false,
};
const SESSION: Consequences = Consequences {
    session: true,
    ..NOTHING
};
const ATTEMPTS: Consequences = Consequences {
    attempts: true,
    ..NOTHING
};
const EXPORT: Consequences = Consequences {
    export: true,
    ..NOTHING
};
const IMPORT: Consequences = Consequences {
    import: true,
    ..NOTHING
};
const BOTH_WAYS: Consequences = Consequences {
    export: true,
    import: true,
    ..NOTHING
};
const LIMITS: Consequences = Consequences {
    limits: true,
    ..NOTHING
};

type Change = fn(&mut PeerConfig);

const ROWS: [(&str, Consequences, Change); 31] = [
    ("nothing", NOTHING, |_| {}),
    ("address", SESSION, |config| {
        config.address = "10.0.0.9".parse().unwrap()
    }),
    ("scope", SESSION, |config| config.scope = 7),
    ("port", ATTEMPTS, |config| config.port = 1179),
    ("local address", SESSION, |config| {
        config.transport.local_address = Some("10.0.0.1".parse().unwrap());
    }),
    ("local port", SESSION, |config| {
        config.transport.local_port = Some(2000)
    }),
    ("interface", SESSION, |config| {
        config.transport.interface = Some("eth0".to_owned())
    }),
    ("hops", SESSION, |config| config.transport.hops = Hops::Limit(2)),
    ("authentication", SESSION, |config| {
        config.transport.authentication = Some(Authentication::Md5(Secret("word".to_owned())));
    }),
    ("remote AS", ATTEMPTS, |config| {
        config.remote_as = RemoteAs::External
    }),
    ("passive", ATTEMPTS, |config| config.passive = true),
    ("hold time", SESSION, |config| {
        config.hold_time = Duration::from_secs(30)
    }),
    ("hold time of the same seconds", NOTHING, |config| {
        config.hold_time += Duration::from_millis(1);
    }),
    ("connect retry", ATTEMPTS, |config| {
        config.connect_retry = Duration::from_secs(5)
    }),
    ("families", SESSION, |config| config.families = Families::IPV4),
    ("next hops", EXPORT, |config| {
        config.next_hops.ipv4 = Some("10.0.0.3".parse().unwrap())
    }),
    ("ladder", EXPORT, |config| config.ladder = Some(Ladder::default())),
    ("import policy", IMPORT, |config| {
        config.import = Some(Arc::new(Policy::all()))
    }),
    ("export policy", EXPORT, |config| {
        config.export = Some(Arc::new(Policy::all()))
    }),
    ("BFD", NOTHING, |config| config.bfd = BfdMode::On),
    ("BFD in strict mode", ATTEMPTS, |config| {
        config.bfd = BfdMode::Strict
    }),
    ("role", SESSION, |config| config.role = Some(Role::Customer)),
    ("strict role", ATTEMPTS, |config| config.role_strict = true),
    ("graceful restart", SESSION, |config| {
        config.graceful_restart.helper = false
    }),
    ("restarter", SESSION, |config| {
        config.graceful_restart.restarter = true
    }),
    ("restart time", SESSION, |config| {
        config.graceful_restart.restart_time = Duration::from_secs(60);
    }),
    ("ADD-PATH", SESSION, |config| config.add_path = true),
    ("extended messages", SESSION, |config| {
        config.extended_messages = false
    }),
    ("maximum of prefixes", LIMITS, |config| {
        config.max_prefixes.limit = 7
    }),
    ("graceful shutdown", BOTH_WAYS, |config| {
        config.graceful_shutdown = true
    }),
    ("description", NOTHING, |config| {
        config.description = "router".to_owned()
    }),
];

#[test]
fn each_field_asks_for_no_more_than_it_needs() {
    let old = PeerConfig::new("10.0.0.2".parse().unwrap(), 65000);
    for (name, expected, change) in ROWS {
        let mut new = old.clone();
        change(&mut new);
        assert_eq!(consequences(&old, &new), expected, "{name}");
        assert_eq!(consequences(&new, &old), expected, "{name}, back");
    }
}
