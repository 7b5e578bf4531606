//! `cargo xtask setup`: the Debian packages that the build, the demo and the tests need, and what
//! the tests take from Python's registry.
//!
//! Says which are missing, installs them with apt-get (through sudo when not root), and starts no
//! daemon: see [`NoDaemons`].

mod packages;
mod python;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;
use packages::{BASE, DAEMONS, SOFTWARE};

/// A Debian package, and how to tell on another system that what it brings is there.
struct Package {
    name: &'static str,
    proof: Proof,
    serves: &'static str,
}

enum Proof {
    Program(&'static str),
    Library(&'static str),
    Header(&'static str),
}

const fn program(name: &'static str, program: &'static str, serves: &'static str) -> Package {
    Package {
        name,
        proof: Proof::Program(program),
        serves,
    }
}

/// Installs what the build and the demo need and is missing.
///
/// # Errors
/// [`Error::InstallNeedsRoot`] without root and sudo; [`Error::MissingPackages`] on a system
/// without apt-get; [`Error::Exit`] with the first step that failed.
pub(crate) fn run(interrupt: &Interrupt) -> Result<()> {
    ensure(&BASE.iter().collect::<Vec<_>>(), interrupt)
}

/// As [`run`], with the software that only the tests need.
///
/// # Errors
/// Those of [`run`].
pub(crate) fn all(interrupt: &Interrupt) -> Result<()> {
    ensure(&BASE.iter().chain(&SOFTWARE).collect::<Vec<_>>(), interrupt)?;
    python::install(interrupt)
}

fn ensure(packages: &[&'static Package], interrupt: &Interrupt) -> Result<()> {
    let debian = process::is_in_path("dpkg-query") && process::is_in_path("apt-get");
    let missing = if debian {
        not_installed(packages)?
    } else {
        let packages = packages.iter().copied();
        packages
            .filter(|package| !package.proof.holds())
            .collect::<Vec<_>>()
    };
    if missing.is_empty() {
        println!("packages: all {} are installed", packages.len());
        return Ok(());
    }
    println!(
        "packages: {} of {} are missing",
        missing.len(),
        packages.len()
    );
    for package in &missing {
        println!("  {:20} {}", package.name, package.serves);
    }
    let names: Vec<&'static str> = missing.iter().map(|package| package.name).collect();
    if !debian {
        println!("This is not a Debian system (no apt-get): install what these bring yourself.");
        return Err(Error::MissingPackages(names));
    }
    install(&names, interrupt)?;
    match not_installed(packages)?.as_slice() {
        [] => Ok(()),
        still => Err(Error::MissingPackages(
            still.iter().map(|package| package.name).collect(),
        )),
    }
}

fn not_installed(packages: &[&'static Package]) -> Result<Vec<&'static Package>> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status} ${Package}\\n"]);
    query.args(packages.iter().map(|package| package.name));
    // It fails as soon as one name is unknown to dpkg, and answers for the others all the same.
    let answer = query
        .stderr(Stdio::null())
        .output()
        .map_err(|source| Error::Start {
            program: "dpkg-query".to_owned(),
            source,
        })?;
    let answer = String::from_utf8_lossy(&answer.stdout);
    Ok(without_installed(packages, &answer))
}

fn without_installed(packages: &[&'static Package], answer: &str) -> Vec<&'static Package> {
    let is_installed = |package: &&Package| {
        let wanted = format!("installed {}", package.name);
        answer.lines().any(|line| line == wanted)
    };
    packages
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect()
}

fn install(names: &[&str], interrupt: &Interrupt) -> Result<()> {
    if !process::is_root() && !process::is_in_path("sudo") {
        return Err(Error::InstallNeedsRoot {
            command: format!("apt-get install {}", names.join(" ")),
        });
    }
    let _no_daemons = NoDaemons::hold(POLICY)?;
    step(as_root(&["apt-get", "update"]), interrupt)?;
    let mut command = as_root(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    command.args(["install", "--yes", "--no-install-recommends"]);
    command.args(names);
    step(command, interrupt)?;
    keep_off(names);
    Ok(())
}

/// Keeps the daemons that were just installed from starting with the machine: nobody asked for an
/// SSH server.
fn keep_off(names: &[&str]) {
    let units = DAEMONS.iter().filter(|(name, _)| names.contains(name));
    let units: Vec<&str> = units.map(|(_, unit)| *unit).collect();
    if units.is_empty() || !process::is_in_path("systemctl") {
        return;
    }
    let units = units.join(" ");
    let mut disable = as_root(&["systemctl", "--quiet", "disable"]);
    match process::output(disable.args(units.split(' '))) {
        Ok(_) => println!("daemons: off after a reboot too, until: systemctl enable {units}"),
        Err(error) => {
            eprintln!("warning: failed to {error}");
            eprintln!("hint: to keep them off after a reboot: systemctl disable {units}");
        }
    }
}

fn step(mut command: Command, interrupt: &Interrupt) -> Result<()> {
    println!("$ {}", process::typed(&command));
    process::run(command.stdin(Stdio::null()), interrupt)
}

fn as_root(words: &[&str]) -> Command {
    let (program, arguments) = if process::is_root() {
        (words[0], &words[1..])
    } else {
        ("sudo", words)
    };
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Keeps apt-get from starting daemons, as Debian policy 9.3.3 offers: a program
/// `/usr/sbin/policy-rc.d` that answers 101, "not allowed". Taken away again at the end; one that
/// was there before is left as it is and asked by apt-get just the same.
struct NoDaemons {
    /// The program, if it is ours.
    policy: Option<&'static str>,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str = "\
#!/bin/sh
# Written by `cargo xtask setup` of sockpulse, for as long as it installs packages.
exit 101
";

impl NoDaemons {
    fn hold(policy: &'static str) -> Result<Self> {
        // Ours can be there already, when an earlier setup was killed.
        let ours = std::fs::read_to_string(policy).is_ok_and(|text| text == POLICY_TEXT);
        if !ours && Path::new(policy).exists() {
            println!("daemons: {policy} of this machine decides whether a new one starts");
            return Ok(Self { policy: None });
        }
        println!("daemons: none is started now ({policy} says so until the packages are in);");
        let held = Self {
            policy: Some(policy),
        };
        let mut tee = as_root(&["tee", policy]);
        let mut child = process::spawn(tee.stdin(Stdio::piped()).stdout(Stdio::null()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(POLICY_TEXT.as_bytes())
                .map_err(Error::file("write", policy))?;
        }
        let status = child.wait().map_err(Error::file("write", policy))?;
        process::expect_success(&tee, status)?;
        process::output(&mut as_root(&["chmod", "755", policy]))?;
        Ok(held)
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        let Some(policy) = self.policy else { return };
        if let Err(error) = process::output(&mut as_root(&["rm", "-f", policy])) {
            eprintln!("warning: failed to {error}");
            eprintln!("hint: remove it, or no daemon will be started on install: rm {policy}");
        }
    }
}

impl Proof {
    fn holds(&self) -> bool {
        match self {
            Self::Program(name) => process::is_in_path(name),
            Self::Header(path) => Path::new(path).exists(),
            Self::Library(name) => Command::new("pkg-config")
                .args(["--exists", name])
                .status()
                .is_ok_and(|status| status.success()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Vec<&'static Package> {
        BASE.iter().collect()
    }

    fn answer_without(absent: &str) -> String {
        BASE.iter()
            .filter(|package| package.name != absent)
            .map(|package| format!("installed {}\n", package.name))
            .collect()
    }

    #[test]
    fn a_package_that_dpkg_does_not_know_is_missing() {
        let missing = without_installed(&base(), &answer_without("clang"));
        let names: Vec<_> = missing.iter().map(|package| package.name).collect();
        assert_eq!(names, ["clang"]);
    }

    #[test]
    fn a_package_that_was_removed_but_left_its_configuration_is_missing() {
        let answer = answer_without("redis-server") + "config-files redis-server\n";
        let missing = without_installed(&base(), &answer);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].name, "redis-server");
    }

    #[test]
    fn nothing_is_missing_when_all_are_installed() {
        assert!(without_installed(&base(), &answer_without("")).is_empty());
    }

    #[test]
    fn root_daemons_are_held_back_only_while_packages_are_installed() {
        if !process::is_root() {
            eprintln!("SKIPPED: needs root to write as apt-get's policy is written");
            return;
        }
        let path = std::env::temp_dir().join(format!("policy-rc.d-{}", std::process::id()));
        let path: &'static str = path.to_string_lossy().into_owned().leak();
        let held = NoDaemons::hold(path).expect("written");
        let answer = Command::new(path).status().expect("it can be run");
        assert_eq!(answer.code(), Some(101));
        drop(held);
        assert!(!Path::new(path).exists());

        std::fs::write(path, "#!/bin/sh\nexit 0\n").expect("someone else's");
        drop(NoDaemons::hold(path).expect("left alone"));
        assert!(Path::new(path).exists());
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn what_is_there_is_proved_without_dpkg() {
        assert!(Proof::Program("sh").holds());
        assert!(!Proof::Program("no-such-program-anywhere").holds());
        assert!(!Proof::Library("no-such-library-anywhere").holds());
        assert!(!Proof::Header("/usr/include/no-such-header.h").holds());
    }
}
