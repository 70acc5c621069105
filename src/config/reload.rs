//! Reading the configuration again: which keys a running server takes up, and what a new reading changes.

use super::{Environment, Faults, Loaded, load};

/// The keys that a running server takes up. All others are read once, at its start.
const LIVE: [&str; 49] = [
    "server.public_url",
    "server.drain",
    "server.connections_max",
    "server.header_timeout",
    "server.idle_timeout",
    "server.address_connections_max",
    "server.address_requests_max",
    "server.unlimited",
    "server.head_fields_max",
    "server.target_bytes_max",
    "server.send_rate_min",
    "tls.certificate",
    "tls.key",
    "tls.strict_transport_security",
    "admin.token",
    "admin.connections_max",
    "delivery.segment_wait",
    "delivery.waiters_max",
    "delivery.multivariant_max_age",
    "delivery.cdn_multivariant_max_age",
    "delivery.cdn_immutable_max_age",
    "delivery.alt_svc",
    "delivery.surrogate_keys",
    "upload.bytes_max",
    "upload.idle_timeout",
    "subtitles.bytes_max",
    "worker.memory_max",
    "worker.stall",
    "worker.survey_deadline",
    "worker.attempts",
    "worker.path",
    "video.segment_length",
    "video.preset",
    "video.frame_rate_max",
    "video.copy",
    "video.deinterlace",
    "video.pixels_max",
    "video.duration_max",
    "ladder.file",
    "ladder.hdr",
    "audio.bitrate_kbps",
    "audio.copy",
    "audio.copy_max_kbps",
    "audio.surround",
    "audio.surround_kbps",
    "audio.low_kbps",
    "audio.loudness",
    "audio.loudness_target",
    "log.filter",
];

/// What a new reading changes of what a server runs with, in the order of `config/headwater.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Keys whose new values hold from now on.
    pub taken: Vec<&'static str>,
    /// Keys whose new values hold after a restart.
    pub at_restart: Vec<&'static str>,
}

impl Loaded {
    /// Reads the configuration again: the same file and flags, in `environment`.
    ///
    /// # Errors
    /// As [`load`].
    pub fn again(&self, environment: &dyn Environment) -> Result<Self, Faults> {
        load(self.file.as_deref(), environment, &self.flags)
    }

    /// What a server that runs with this has to change to run with `next`.
    pub fn changes(&self, next: &Self) -> Changes {
        let mut changes = Changes::default();
        for setting in &next.settings {
            let key = setting.key;
            let before = self.settings.iter().find(|before| before.key == key);
            let same = before.is_some_and(|before| before.value == setting.value) && self.is_same_within(next, key);
            if same {
                continue;
            }
            if self.takes_up(next, key) { changes.taken.push(key) } else { changes.at_restart.push(key) }
        }
        changes
    }

    /// What a server that ran with this runs with, once it has taken up what it can of `next`.
    pub fn with(&self, next: Self) -> Self {
        let mut settings = next.settings.clone();
        for setting in &mut settings {
            if let Some(before) = self.settings.iter().find(|before| before.key == setting.key && !self.takes_up(&next, before.key)) {
                *setting = before.clone();
            }
        }
        let tls = if self.config.tls.is_some() { next.config.tls.clone() } else { None };
        let config = super::Config { tls, ..next.config };
        Self { config, settings, ..next }
    }

    /// What a value does not show: secrets, and what a file has inside.
    fn is_same_within(&self, next: &Self, key: &str) -> bool {
        match key {
            "admin.token" => self.config.admin.token == next.config.admin.token,
            "ladder.file" => self.config.plan.ladder == next.config.plan.ladder,
            _ => true,
        }
    }

    /// A listener for TLS cannot come or go while the server runs.
    fn takes_up(&self, next: &Self, key: &str) -> bool {
        let tls_stays = self.config.tls.is_some() == next.config.tls.is_some();
        LIVE.contains(&key) && (tls_stays || !key.starts_with("tls."))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn loaded(variables: &[(&str, &str)]) -> Loaded {
        let variables: BTreeMap<String, String> = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        load(None, &variables, &[]).expect("sound")
    }

    #[test]
    fn every_key_that_is_taken_up_is_a_key_and_documented_so() {
        let keys: Vec<&str> = loaded(&[]).settings.iter().map(|setting| setting.key).collect();
        let page = include_str!("../../docs/operating.md");
        for key in LIVE {
            assert!(keys.contains(&key), "{key}");
        }
        for key in keys {
            let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && line.contains(&format!("`{key}`"))).collect();
            assert_eq!(rows.len(), 1, "{key} stands in one row of the table in docs/operating.md");
            assert_eq!(rows[0].ends_with("| restart |"), !LIVE.contains(&key), "{key}: {}", rows[0]);
        }
    }

    #[test]
    fn changes_are_told_apart_by_what_they_need() {
        let before = loaded(&[("HEADWATER_ADMIN__TOKEN", "one")]);
        assert_eq!(before.changes(&before), Changes::default());
        let next = loaded(&[
            ("HEADWATER_ADMIN__TOKEN", "two"),
            ("HEADWATER_CACHE__BYTES", "1GiB"),
            ("HEADWATER_DELIVERY__SEGMENT_WAIT", "1s"),
            ("HEADWATER_WORKER__COUNT", "7"),
        ]);
        let changes = before.changes(&next);
        assert_eq!(changes.taken, ["admin.token", "delivery.segment_wait"]);
        assert_eq!(changes.at_restart, ["cache.bytes", "worker.count"]);
        // What waits for a restart goes on waiting, and is told each time.
        let running = before.with(next.clone());
        assert_eq!(running.changes(&next), Changes { taken: vec![], at_restart: changes.at_restart });
        assert_eq!(running.changes(&before).taken, changes.taken);
    }

    #[test]
    fn tls_comes_and_goes_with_a_restart() {
        let secured = [("HEADWATER_TLS__CERTIFICATE", "a"), ("HEADWATER_TLS__KEY", "b")];
        let (without, with) = (loaded(&[]), loaded(&secured));
        assert_eq!(without.changes(&with).at_restart, ["tls.certificate", "tls.key"]);
        assert_eq!(without.with(with.clone()).changes(&with).at_restart, ["tls.certificate", "tls.key"]);
        let renewed = loaded(&[secured[0], ("HEADWATER_TLS__KEY", "c")]);
        assert_eq!(with.changes(&renewed), Changes { taken: vec!["tls.key"], at_restart: vec![] });
    }

    #[test]
    fn what_a_ladder_s_file_has_inside_counts() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let ladder = super::super::DEFAULT_LADDER;
        std::fs::write(file.path(), ladder).expect("written");
        let before = loaded(&[("HEADWATER_LADDER__FILE", file.path().to_str().expect("UTF-8"))]);
        std::fs::write(file.path(), ladder.replace("maxrate_kbps = 16000", "maxrate_kbps = 15000")).expect("written");
        let again = loaded(&[("HEADWATER_LADDER__FILE", file.path().to_str().expect("UTF-8"))]);
        assert_eq!(before.changes(&again).taken, ["ladder.file"]);
    }
}
