//! What the configuration promises: one source of defaults, layers in order, all faults at once, nothing clamped.

use std::collections::BTreeMap;

use super::*;

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

fn faults(text: &str, variables: &[(&str, &str)], flags: &[Flag]) -> Vec<String> {
    let file = file(text);
    let shown = file.path().display().to_string();
    let Faults(faults) = load(Some(file.path()), &environment(variables), flags).expect_err("faults");
    faults.iter().map(|fault| fault.to_string().replace(&shown, "FILE")).collect()
}

#[test]
fn every_key_of_the_file_is_read_and_every_key_read_is_in_the_file() {
    // An unread key is a fault of the default layer, and so is a key without a default.
    let loaded = load(None, &environment(&[]), &[]).expect("the defaults are sound");
    let table: toml::Table = DEFAULTS.parse().expect("TOML");
    let mut written: Vec<String> = Vec::new();
    for (section, keys) in &table {
        written.extend(keys.as_table().expect("a section").keys().map(|key| format!("{section}.{key}")));
    }
    let mut read: Vec<&str> = loaded.settings.iter().map(|setting| setting.key).collect();
    read.sort_unstable();
    written.sort_unstable();
    assert_eq!(read, written);
    for setting in &loaded.settings {
        assert_eq!(setting.source, Source::Default, "{}", setting.key);
        let (section, key) = setting.key.split_once('.').expect("a section");
        assert_eq!(setting.value, table[section][key], "{}", setting.key);
    }
}

#[test]
fn every_key_of_the_file_has_its_sentence() {
    let mut above = "";
    for line in DEFAULTS.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(above.starts_with("# ") && above.ends_with('.'), "{line}");
        }
        above = line;
    }
}

#[test]
fn later_layers_win() {
    let file = file("[server]\nlisten = \"127.0.0.1:1\"\ndrain = \"1s\"\n[worker]\ncount = 7\n[cache]\nbytes = \"64MiB\"\n");
    let variables = environment(&[
        ("HEADWATER_SERVER__LISTEN", "127.0.0.1:2"),
        ("HEADWATER_WORKER__COUNT", "3"),
        ("HEADWATER_VIDEO__COPY", "false"),
        ("PATH", "/bin"),
    ]);
    let flag = Flag { key: "server.listen", name: "--listen", value: "127.0.0.1:3".to_owned() };
    let loaded = load(Some(file.path()), &variables, &[flag]).expect("sound");
    let config = &loaded.config;
    assert_eq!(config.public.listen.map(|listen| listen.port()), Some(3));
    assert_eq!(config.public.server.drain, Duration::from_secs(1));
    assert_eq!(config.worker.count, 3);
    assert!(!config.plan.video_copy && config.plan.audio_copy);
    assert_eq!(config.cache.bytes, 64 << 20);
    let source = |key| loaded.settings.iter().find(|setting| setting.key == key).map(|setting| setting.source.to_string());
    assert_eq!(source("server.listen").as_deref(), Some("flag --listen"));
    assert_eq!(source("worker.count").as_deref(), Some("environment HEADWATER_WORKER__COUNT"));
    assert_eq!(source("server.drain"), Some(format!("file {}", file.path().display())));
    assert_eq!(source("worker.stall").as_deref(), Some("default"));
}

#[test]
fn all_faults_are_told_at_once() {
    let found = faults(
        "[server]\nlisten = 8080\ndrain = \"soon\"\nlissten = \"0.0.0.0:80\"\n[video]\npreset = \"warp\"\nframe_rate_max = 1000\ncopy = 1\n[film]\nx = 1\n",
        &[
            ("HEADWATER_WORKER__COUNT", "-1"),
            ("HEADWATER_SERVER_LISTEN", "127.0.0.1:1"),
            ("HEADWATER_SERVER__NOSUCH", "1"),
            ("HEADWATER_CACHE__BYTES", "1B"),
        ],
        &[Flag { key: "data.dir", name: "--data", value: String::new() }],
    );
    let expect = [
        "HEADWATER_SERVER_LISTEN (environment HEADWATER_SERVER_LISTEN): no such key: expected HEADWATER_SECTION__KEY in capitals",
        "server.listen (file FILE): expected text in quotes, found integer",
        "server.drain (file FILE): expected a whole number and ms, s, m, h or d, such as 8s",
        "data.dir (flag --data): expected a path",
        "cache.bytes (environment HEADWATER_CACHE__BYTES): 1B is not between 1MiB and 1024TiB",
        "worker.count (environment HEADWATER_WORKER__COUNT): expected a whole number from 0 to 1024",
        "video.preset (file FILE): expected one of ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow, placebo",
        "video.frame_rate_max (file FILE): expected a whole number from 1 to 240",
        "video.copy (file FILE): expected true or false",
        "film.x (file FILE): no such key",
        "server.lissten (file FILE): no such key",
        "server.nosuch (environment HEADWATER_SERVER__NOSUCH): no such key",
    ];
    assert_eq!(found, expect);
}

#[test]
fn variables_of_tests_are_none_of_ours() {
    let variables = environment(&[("HEADWATER_TEST_MEDIA", "/media"), ("HEADWATER_TEST_LARGE", "1")]);
    let loaded = load(None, &variables, &[]).expect("sound");
    assert!(loaded.settings.iter().all(|setting| setting.source == Source::Default));
    assert_eq!(faults("", &[("HEADWATER_TESTS", "1")], &[]).len(), 1, "only those with that very beginning");
}

#[test]
fn a_hidden_fault_is_told_too() {
    let found = faults("[worker]\ncount = \"two\"\n", &[("HEADWATER_WORKER__COUNT", "2")], &[]);
    assert_eq!(found, ["worker.count (file FILE): expected a whole number from 0 to 1024"]);
}

#[test]
fn other_faulty_files_and_values() {
    assert!(faults("listen = 1\n", &[], &[])[0].starts_with("listen (file FILE): expected a [section]"));
    assert!(faults("[server\n", &[], &[])[0].starts_with("(file FILE): TOML parse error"));
    assert!(faults("[ladder]\nfile = \"/nonexistent/ladder\"\n", &[], &[])[0].contains("cannot be read"));
    assert_eq!(faults("[ladder]\nhdr = \"yes\"\n", &[], &[]), ["ladder.hdr (file FILE): expected true or false"]);
    assert_eq!(faults("", &[("HEADWATER_LADDER__HDR", "1")], &[]).len(), 1);
    assert!(load(None, &environment(&[("HEADWATER_LADDER__HDR", "true")]), &[]).expect("sound").config.plan.hdr);
    assert!(faults("[log]\nfilter = \"headwater=loud\"\n", &[], &[])[0].starts_with("log.filter (file FILE)"));
    assert!(faults("[delivery]\nmultivariant_max_age = \"1500ms\"\n", &[], &[])[0].contains("whole seconds"));
    assert!(faults("[delivery]\ncdn_immutable_max_age = \"1500ms\"\n", &[], &[])[0].contains("whole seconds"));
    assert!(faults("[delivery]\ncdn_multivariant_max_age = \"2 years\"\n", &[], &[])[0].starts_with("delivery.cdn_multivariant_max_age"));
    assert!(faults("[delivery]\nalt_svc = \"h3\\r\\nX: y\"\n", &[], &[])[0].contains("visible ASCII"));
    let told = load(Some(file("[delivery]\ncdn_immutable_max_age = \"1d\"\nalt_svc = 'h3=\":443\"'\n").path()), &environment(&[]), &[]);
    let told = told.expect("sound").config.delivery;
    assert_eq!((told.cdn_multivariant_max_age, told.cdn_immutable_max_age), (None, Some(Duration::from_secs(86_400))));
    assert_eq!(told.alt_svc.expect("a value"), "h3=\":443\"");
    assert!(faults("[admin]\nlisten = \"0.0.0.0:8080\"\ntoken = \"a\"\n", &[], &[])[0].contains("same address"));
    let missing = load(Some(Path::new("/nonexistent/config")), &environment(&[]), &[]).expect_err("a fault");
    assert!(missing.to_string().starts_with("(file /nonexistent/config): cannot be read"), "{missing}");
}

#[test]
fn networks_and_the_access_log() {
    let log = file("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[access_log]\nformat = \"clf\"\npath = \"a.log\"\n");
    let loaded = load(Some(log.path()), &environment(&[]), &[]).expect("sound");
    let shown: Vec<String> = loaded.config.public.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "::1/128"]);
    let expect = telemetry::AccessConfig { format: Some(telemetry::AccessFormat::Clf), path: Some("a.log".into()), waiting_max: 8192 };
    assert_eq!(loaded.config.access_log, expect);
    let again = load(Some(file(&loaded.to_toml()).path()), &environment(&[]), &[]).expect("sound");
    assert_eq!(again.config.public, loaded.config.public);
    let variables =
        environment(&[("HEADWATER_SERVER__TRUSTED_PROXIES", "192.0.2.1, 2001:db8::/32"), ("HEADWATER_ACCESS_LOG__FORMAT", "json")]);
    let config = load(None, &variables, &[]).expect("sound").config;
    assert_eq!((config.public.trusted_proxies.len(), config.access_log.path), (2, None));
    for value in ["\"10.0.0.0/8\"", "[10]", "[\"10.0.0.1/8\"]", "[\"localhost\"]"] {
        let found = faults(&format!("[server]\ntrusted_proxies = {value}\n"), &[], &[]);
        assert!(found.len() == 1 && found[0].starts_with("server.trusted_proxies (file FILE): "), "{value}: {found:?}");
    }
}

#[test]
fn tls_needs_a_certificate_and_a_key_for_each() {
    assert!(load(None, &environment(&[]), &[]).expect("sound").config.tls.is_none());
    for (text, part) in [
        ("listen = \"0.0.0.0:8443\"", "tls.listen (file FILE): needs tls.certificate"),
        ("listen = \"8443\"", "tls.listen (file FILE): expected an IP address"),
        ("certificate = \"a\"", "tls.key (default): names 0 files where tls.certificate names 1"),
        ("certificate = \"a,b\"\nkey = \"a\"", "tls.key (file FILE): names 1 files"),
        ("certificate = \"a,,b\"\nkey = \"a,b\"", "tls.certificate (file FILE): expected paths"),
        ("strict_transport_security = \"always\"", "tls.strict_transport_security (file FILE): expected max-age"),
        ("strict_transport_security = \"max-age=1\\n\"", "tls.strict_transport_security (file FILE): expected max-age"),
        ("listen = \"0.0.0.0:8080\"\ncertificate = \"a\"\nkey = \"b\"", "tls.listen (file FILE): is the same address as server.listen"),
        ("listen = \"127.0.0.1:8081\"\ncertificate = \"a\"\nkey = \"b\"", "admin.listen (default): is the same address as tls.listen"),
    ] {
        let found = faults(&format!("[tls]\n{text}\n"), &[], &[]);
        assert!(found.len() == 1 && found[0].starts_with(part), "{text}: {found:?}");
    }
    let file = file("[server]\nlisten = \"\"\n[tls]\nlisten = \"[::]:443\"\ncertificate = \"a.pem, b.pem\"\nkey = \"a.key,b.key\"\n");
    let config = load(Some(file.path()), &environment(&[]), &[]).expect("sound").config;
    let tls = config.tls.expect("TLS");
    assert_eq!((config.public.listen, tls.listen.map(|listen| listen.port())), (None, Some(443)));
    assert_eq!(tls.tls.certificates[1].certificate, PathBuf::from("b.pem"));
    assert_eq!(tls.tls.certificates[1].key, PathBuf::from("b.key"));
}

#[test]
fn the_admin_listener_needs_a_token_beyond_loopback() {
    let listen = "[admin]\nlisten = \"0.0.0.0:8081\"\n";
    assert!(faults(listen, &[], &[])[0].contains("needs admin.token"));
    let file = file(listen);
    let loaded = load(Some(file.path()), &environment(&[("HEADWATER_ADMIN__TOKEN", "open-sesame")]), &[]).expect("sound");
    let token = loaded.config.admin.token.as_ref().expect("a token");
    assert_eq!(token.expose(), "open-sesame");
    assert!(!format!("{:?}", loaded.config).contains("sesame"));
    assert!(!format!("{:?}", loaded.settings).contains("sesame"));
    assert!(loaded.to_toml().contains("token = \"***\""));
    for token in ["***", "two words", "tab\t"] {
        assert_eq!(faults("", &[("HEADWATER_ADMIN__TOKEN", token)], &[]).len(), 1, "{token}");
    }
}

#[test]
fn what_is_printed_is_a_configuration_again() {
    let variables = environment(&[("HEADWATER_WORKER__COUNT", "2"), ("HEADWATER_DATA__DIR", "/tmp/a \"b\"\n")]);
    let printed = load(None, &variables, &[]).expect("sound").to_toml();
    assert!(printed.lines().any(|line| line.starts_with("count = 2 ") && line.ends_with("# environment HEADWATER_WORKER__COUNT")));
    let again = load(Some(file(&printed).path()), &environment(&[]), &[]).expect("the printed file is sound");
    assert_eq!(again.config.worker.count, 2);
    assert_eq!(again.config.data.dir, PathBuf::from("/tmp/a \"b\"\n"));
}
