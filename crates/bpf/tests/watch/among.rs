//! Only some connections are told.

use sockpulse_bpf::watch::{Happening, Kinds, Wanted, What};
use sockpulse_core::event::Side;
use sockpulse_core::glob::Glob;
use sockpulse_core::protect::{Asked, Mode, Rule, Table};
use sockpulse_core::{NetnsId, Selector};

use crate::common::{Watch, abort, cookie, hz, in_namespace, is_death, netns, own_name, pair};

fn watch(kinds: Kinds, selector: Selector) -> Watch {
    let rule = Rule {
        name: "those that are meant".into(),
        selector,
        asked: Asked::default(),
        mode: Mode::Off,
        include_local: true,
    };
    let table = Table::compile(&[rule]).unwrap();
    Watch::with(&Wanted {
        kinds,
        among: Some(&table),
        cgroup: None,
        hz: hz(),
    })
}

fn port(told: &Happening) -> u16 {
    told.connection.id.local.port
}

#[test]
fn root_by_port() {
    in_namespace(|| {
        let (one, other) = (pair(), pair());
        let meant = one.listener.local_addr().unwrap().port();
        let selector = Selector {
            ports: vec![meant],
            ..Selector::default()
        };
        let mut watch = watch(Kinds::DIED.with(Kinds::CLOSED), selector);
        let client = cookie(&one.client);
        abort(other.server);
        drop(other.client);
        abort(one.server);
        let told = watch.until(is_death);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!((port(&told[0]), &told[0].what), (meant, &What::Closed));
        assert_eq!(told[1].connection.id.cookie, client);
    });
}

#[test]
fn root_by_namespace_and_program() {
    in_namespace(|| {
        let named = |name: &[u8]| Selector {
            programs: vec![Glob::new(std::str::from_utf8(name).unwrap())],
            namespaces: vec![NetnsId(netns())],
            ..Selector::default()
        };
        // The one that connects is known for certain, the one that will accept is not.
        let mut others = watch(Kinds::OPENED.with(Kinds::DIED), named(b"nobody"));
        let mut own = watch(Kinds::OPENED, named(&own_name()));
        let first = pair();
        let told = others.until(|told| told.what == What::Opened(Side::Accepted));
        assert_eq!(told.len(), 1, "{told:?}");
        let told = own.until(|told| told.connection.id.cookie == cookie(&first.server));
        assert_eq!(told.len(), 2, "{told:?}");
        // How one ends is not left out for its name.
        abort(first.server);
        assert_eq!(
            others.next(is_death).connection.id.cookie,
            cookie(&first.client)
        );
    });
}

#[test]
fn root_by_place() {
    in_namespace(|| {
        let at = |path: &str| Selector {
            cgroups: vec![path.into()],
            ..Selector::default()
        };
        let mut nowhere = watch(Kinds::DIED, at("/there/is/none"));
        let mut everywhere = watch(Kinds::DIED, at("/"));
        let pair = pair();
        abort(pair.server);
        assert_eq!(everywhere.until(is_death).len(), 1);
        let mut told = Vec::new();
        nowhere
            .watcher()
            .next(std::time::Duration::ZERO, &mut told)
            .unwrap();
        assert!(told.is_empty(), "{told:?}");
    });
}
