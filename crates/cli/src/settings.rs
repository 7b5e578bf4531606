//! The settings of keepalive on the command line, the same for every command.

use clap::Args;
use sockpulse_core::{KeepCnt, KeepIdle, KeepIntvl, UserTimeout, UserTimeoutChoice};

use crate::values;

/// The settings. What is left out is the command's to choose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct SettingsArgs {
    /// Silence before the first probe, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPIDLE).
    #[arg(long, value_name = "DURATION", value_parser = idle)]
    pub(crate) idle: Option<KeepIdle>,

    /// Time between probes, 1s to 32767s, in whole seconds: parts round up (TCP_KEEPINTVL).
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    pub(crate) interval: Option<KeepIntvl>,

    /// Unanswered probes before the connection is given up, 1 to 127 (TCP_KEEPCNT).
    #[arg(long, value_name = "N", value_parser = probes)]
    pub(crate) probes: Option<KeepCnt>,

    /// Also give up when sent data stays unacknowledged for so long (TCP_USER_TIMEOUT); `auto` is
    /// idle + interval x probes.
    #[arg(long, value_name = "auto|off|DURATION", value_parser = user_timeout)]
    pub(crate) user_timeout: Option<UserTimeoutChoice>,
}

fn idle(text: &str) -> Result<KeepIdle, String> {
    KeepIdle::from_duration(values::duration(text)?).map_err(|error| error.to_string())
}

fn interval(text: &str) -> Result<KeepIntvl, String> {
    KeepIntvl::from_duration(values::duration(text)?).map_err(|error| error.to_string())
}

fn probes(text: &str) -> Result<KeepCnt, String> {
    let number = text
        .parse()
        .map_err(|_| "a number of probes is written 1 to 127".to_owned())?;
    KeepCnt::new(number).map_err(|error| error.to_string())
}

fn user_timeout(text: &str) -> Result<UserTimeoutChoice, String> {
    match text {
        "auto" => Ok(UserTimeoutChoice::Auto),
        "off" => Ok(UserTimeoutChoice::Off),
        _ => match UserTimeout::from_duration(values::duration(text)?) {
            // The kernel's way to say off, and easily meant otherwise.
            Ok(UserTimeout::OFF) => Err("write off for no user timeout".into()),
            Ok(timeout) => Ok(UserTimeoutChoice::Fixed(timeout)),
            Err(error) => Err(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingsArgs,
    }

    fn parsed(line: &str) -> Result<SettingsArgs, String> {
        Line::try_parse_from(line.split(' '))
            .map(|line| line.settings)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_read_as_people_write_them() {
        let line = "test --idle 1m --interval 10 --probes 6 --user-timeout 1500ms";
        let settings = parsed(line).unwrap();
        assert_eq!(settings.idle, KeepIdle::new(60).ok());
        assert_eq!(settings.interval, KeepIntvl::new(10).ok());
        assert_eq!(settings.probes, KeepCnt::new(6).ok());
        let timeout = UserTimeout::new(1_500).unwrap();
        assert_eq!(
            settings.user_timeout,
            Some(UserTimeoutChoice::Fixed(timeout))
        );
        assert_eq!(parsed("test"), Ok(SettingsArgs::default()));
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused_with_the_limit() {
        for (line, said) in [
            ("test --idle 0", "idle must be between 1 and 32767 seconds"),
            ("test --idle 10h", "not 36000"),
            ("test --interval 32768", "interval must be between"),
            ("test --probes 128", "probes must be between 1 and 127"),
            ("test --probes many", "a number of probes"),
            ("test --user-timeout 0", "write off"),
            (
                "test --user-timeout 25d",
                "user_timeout must be between 0 and 2147483647 milliseconds",
            ),
            ("test --user-timeout never", "not a duration"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
