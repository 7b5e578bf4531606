//! From selectors to clauses.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use ipnet::IpNet;

use super::{
    CLAUSES, Clause, Counted, EndClause, GLOB_BYTES, Net, NetFamily, PLACE_BYTES, PLACES, PROGRAMS,
    PlacePattern, RULES, RuleEntry, Table, TableError,
};
use crate::glob::Glob;
use crate::protect::Rule;
use crate::selector::{EndPattern, Selector};

pub(super) fn compile(rules: &[Rule]) -> Result<Table, TableError> {
    if rules.len() > RULES {
        return Err(TableError::Rules {
            count: rules.len(),
            limit: RULES,
        });
    }
    let mut table = Table::default();
    for (number, rule) in (0..).zip(rules) {
        table.add(number, rule)?;
    }
    Ok(table)
}

/// The selectors that say nothing about connections to come, if they are used.
fn only_existing(selector: &Selector) -> Option<&'static str> {
    [
        (!selector.states.is_empty(), "--state"),
        (selector.silent_for.is_some(), "--silent-for"),
        (!selector.exposures.is_empty(), "--exposure"),
    ]
    .into_iter()
    .find_map(|(used, name)| used.then_some(name))
}

impl Table {
    fn add(&mut self, number: u8, rule: &Rule) -> Result<(), TableError> {
        let selector = &rule.selector;
        if let Some(selector) = only_existing(selector) {
            return Err(TableError::OnlyExisting {
                rule: rule.name.clone(),
                selector,
            });
        }
        let name = &rule.name;
        let programs = each(&selector.programs, |glob| self.program(name, glob))?;
        let units = each(&selector.units, |glob| {
            self.place(
                name,
                "--unit",
                glob.pattern(),
                PlacePattern::Unit(glob.clone()),
            )
        })?;
        let containers = each(&selector.containers, |glob| {
            let pattern = PlacePattern::Container(glob.clone());
            self.place(name, "--container", glob.pattern(), pattern)
        })?;
        let cgroups = each(&selector.cgroups, |path| {
            let path = path.trim_end_matches('/');
            let pattern = PlacePattern::Cgroup(path.into());
            self.place(name, "--cgroup", path.as_bytes(), pattern)
        })?;
        let mut clauses = Product::new(Clause {
            rule: number,
            ..Clause::default()
        });
        clauses.times(&programs, |clause, program| clause.program = Some(*program));
        clauses.times(&selector.pids, |clause, pid| clause.pid = Some(*pid));
        clauses.times(&units, |clause, unit| clause.unit = Some(*unit));
        clauses.times(&containers, |clause, id| clause.container = Some(*id));
        clauses.times(&cgroups, |clause, path| clause.cgroup = Some(*path));
        clauses.times(&selector.locals, |clause, end| {
            clause.local = Some(end.into())
        });
        clauses.times(&selector.remotes, |clause, end| {
            clause.remote = Some(end.into())
        });
        clauses.times(&selector.ports, |clause, port| clause.port = Some(*port));
        clauses.times(&selector.namespaces, |clause, id| clause.netns = Some(*id));
        let count = self.clauses.len().saturating_add(clauses.count);
        full(name, Counted::Clauses, count, CLAUSES)?;
        self.clauses.extend(clauses.clauses);
        self.rules.push(RuleEntry {
            mode: rule.mode,
            asked: rule.asked,
            include_local: rule.include_local,
        });
        Ok(())
    }

    /// The number of a program's name in the list.
    fn program(&mut self, rule: &str, glob: &Glob) -> Result<u8, TableError> {
        short(rule, "--program", glob.pattern(), GLOB_BYTES)?;
        let number = number(&mut self.programs, glob.clone());
        full(rule, Counted::Programs, self.programs.len(), PROGRAMS)?;
        Ok(number)
    }

    /// The number of a place in the list.
    fn place(
        &mut self,
        rule: &str,
        selector: &'static str,
        text: &[u8],
        pattern: PlacePattern,
    ) -> Result<u8, TableError> {
        short(rule, selector, text, PLACE_BYTES)?;
        let number = number(&mut self.places, pattern);
        full(rule, Counted::Places, self.places.len(), PLACES)?;
        Ok(number)
    }
}

fn each<T>(
    values: &[T],
    number: impl FnMut(&T) -> Result<u8, TableError>,
) -> Result<Vec<u8>, TableError> {
    values.iter().map(number).collect()
}

/// Where the value stands in the list, which it is put into if it does not.
fn number<T: PartialEq>(list: &mut Vec<T>, value: T) -> u8 {
    let at = list.iter().position(|known| *known == value);
    let at = at.unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    });
    // Lists are cut off long before.
    u8::try_from(at).unwrap_or(u8::MAX)
}

fn full(rule: &str, what: Counted, count: usize, limit: usize) -> Result<(), TableError> {
    if count <= limit {
        return Ok(());
    }
    Err(TableError::Full {
        rule: rule.into(),
        what,
        count,
        limit,
    })
}

fn short(
    rule: &str,
    selector: &'static str,
    pattern: &[u8],
    limit: usize,
) -> Result<(), TableError> {
    if pattern.len() <= limit {
        return Ok(());
    }
    Err(TableError::Long {
        rule: rule.into(),
        selector,
        pattern: String::from_utf8_lossy(pattern).into_owned(),
        limit,
    })
}

/// One clause for each way of taking a value out of each list.
struct Product {
    clauses: Vec<Clause>,
    /// How many there are to be; beyond what a table holds they are only counted.
    count: usize,
}

impl Product {
    fn new(clause: Clause) -> Self {
        Self {
            clauses: [clause].into(),
            count: 1,
        }
    }

    fn times<T>(&mut self, values: &[T], set: impl Fn(&mut Clause, &T)) {
        if values.is_empty() {
            return;
        }
        self.count = self.count.saturating_mul(values.len());
        if self.count > CLAUSES {
            return;
        }
        let with = |value| {
            let mut clauses = self.clauses.clone();
            clauses.iter_mut().for_each(|clause| set(clause, value));
            clauses
        };
        self.clauses = values.iter().flat_map(with).collect();
    }
}

impl From<&EndPattern> for EndClause {
    fn from(pattern: &EndPattern) -> Self {
        Self {
            net: pattern.net.map(Net::from),
            port: pattern.port,
        }
    }
}

impl From<IpNet> for Net {
    fn from(net: IpNet) -> Self {
        let (family, addr, prefix) = match net.trunc() {
            IpNet::V4(net) => {
                let mapped = net.addr().to_ipv6_mapped();
                (NetFamily::V4, mapped, u32::from(net.prefix_len()) + 96)
            }
            IpNet::V6(net) => (NetFamily::V6, net.addr(), net.prefix_len().into()),
        };
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        Self {
            family,
            addr,
            mask: Ipv6Addr::from_bits(mask),
        }
    }
}
