//! What README.md says is so: every command in it is run, in its order, against the real programs; every key, header and
//! link it names is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use headwater::semantics::{Freshness, multivariant_cache_control};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::clips::clip;

const README: &str = include_str!("../README.md");
const DEFAULTS: &str = include_str!("../config/headwater.toml");

/// Longest that one command may take, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a command of README is tried.
enum Try {
    /// A target of the Makefile; running it is what other tests and CI do.
    Target,
    /// Serves until the test ends.
    Serve,
    /// Ends with 0 and prints these.
    Prints(&'static [&'static str]),
}

/// Every command that README may contain. A new one there fails until it is tried here.
const COMMANDS: &[(&str, Try)] = &[
    ("make demo", Try::Target),
    ("make test", Try::Target),
    ("make build", Try::Target),
    ("install -D -t ~/.local/bin target/release/headwater target/release/headwater-worker", Try::Prints(&[])),
    ("headwater serve --data library", Try::Serve),
    ("headwater upload film.mp4 --name 'A film' --wait", Try::Prints(&["playback  http://", "/main.m3u8", " is ready"])),
    ("headwater titles list", Try::Prints(&["A film", "ready", "100%"])),
    ("headwater titles show TITLE", Try::Prints(&["id          TITLE", "rendition   240p", "audio       "])),
    ("ffplay -autoexit http://127.0.0.1:8080/t/TITLE/main.m3u8", Try::Prints(&[])),
    ("headwater transcode film.mp4 --out public/film", Try::Prints(&["public/film/main.m3u8"])),
    ("curl -I http://127.0.0.1:8080/t/TITLE/main.m3u8", Try::Prints(&["200 OK", "etag: \"", "cache-control: public, max-age=5,"])),
    (
        "curl --fail-with-body -X POST -T film.mp4 'http://127.0.0.1:8081/api/v1/titles?name=film.mp4'",
        Try::Prints(&["\"name\":\"film.mp4\"", "\"problem\":null"]),
    ),
    ("curl --fail-with-body http://127.0.0.1:8081/api/v1/titles/TITLE", Try::Prints(&["\"id\":\"TITLE\"", "\"playable\":true"])),
    ("headwater subtitles add TITLE film.de.srt --lang de", Try::Prints(&["subtitles   de, German, subtitles, sidecar"])),
    (
        "curl --fail-with-body -T film.de.srt 'http://127.0.0.1:8081/api/v1/titles/TITLE/subtitles/de?kind=captions&default=true'",
        Try::Prints(&["\"generation\":3", "\"kind\":\"captions\",\"default\":true"]),
    ),
    ("headwater subtitles remove TITLE --lang de --kind captions", Try::Prints(&["subtitles   de, German, subtitles, sidecar"])),
    ("headwater titles delete TITLE", Try::Prints(&[])),
    ("headwater config", Try::Prints(&["segment_wait = \"8s\"", "# default"])),
    ("HEADWATER_CACHE__BYTES=2GiB headwater config", Try::Prints(&["bytes = \"2GiB\"", "# environment HEADWATER_CACHE__BYTES"])),
    ("curl --fail http://127.0.0.1:8081/healthz", Try::Prints(&["alive"])),
    ("curl --fail http://127.0.0.1:8081/readyz", Try::Prints(&["ready"])),
    (
        "curl --fail http://127.0.0.1:8081/metrics",
        Try::Prints(&["headwater_delivery_requests_total{", "headwater_segments_waiting ", "headwater_titles{state=\"ready\"}"]),
    ),
    ("headwater check --data library", Try::Prints(&["Every invariant holds."])),
];

#[tokio::test]
async fn every_command_works() {
    let commands = commands(README);
    let said: BTreeSet<&str> = commands.iter().map(String::as_str).collect();
    let tried: BTreeSet<&str> = COMMANDS.iter().map(|(command, _)| *command).collect();
    assert_eq!(said, tried, "README's commands are the ones that are tried here");

    let mut newcomer = Newcomer::new();
    for command in &commands {
        let (_, how) = COMMANDS.iter().find(|(known, _)| known == command).expect("a known command");
        match how {
            Try::Target => newcomer.plan(command).await,
            Try::Serve => newcomer.serve(command).await,
            Try::Prints(expected) => newcomer.run(command, expected).await,
        }
    }
    newcomer.stop().await;
}

/// Somebody who follows README on a machine with nothing of Headwater's on it.
struct Newcomer {
    home: tempfile::TempDir,
    /// The server, and its public and admin address, once it runs.
    server: Option<(Child, String, String)>,
    /// The newest title that a command printed.
    title: String,
}

impl Newcomer {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let sources = ["-f", "lavfi", "-i", "testsrc2=size=426x240:rate=25", "-f", "lavfi", "-i", "sine=frequency=440"];
        let film = clip("mp4", &[&sources[..], &["-t", "5", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]].concat());
        fs::copy(film, home.path().join("film.mp4")).expect("copied");
        fs::write(home.path().join("film.de.srt"), "1\n00:00:01,000 --> 00:00:02,000\nHallo\n").expect("written");
        Self { home, server: None, title: "TITLE".into() }
    }

    /// The command as it is typed here: other ports, this build's programs, the title that is there.
    fn here(&self, command: &str) -> String {
        let programs = Path::new(env!("CARGO_BIN_EXE_headwater")).parent().expect("a directory");
        let (public, admin) = self.addresses();
        let command = command.replace("127.0.0.1:8080", public).replace("127.0.0.1:8081", admin);
        command.replace("target/release", programs.to_str().expect("UTF-8")).replace("TITLE", &self.title)
    }

    fn addresses(&self) -> (&str, &str) {
        self.server.as_ref().map_or(("127.0.0.1:0", "127.0.0.1:0"), |(_, public, admin)| (public, admin))
    }

    /// A shell that is about to run the command, with nothing of this process's own configuration.
    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            let inherited = name.to_string_lossy();
            if inherited.starts_with("HEADWATER_") || ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"].contains(&inherited.as_ref()) {
                shell.env_remove(&name);
            }
        }
        let path = std::env::var("PATH").expect("a PATH");
        let (public, admin) = self.addresses();
        shell.env("HOME", self.home.path()).env("PATH", format!("{}/.local/bin:{path}", self.home.path().display()));
        shell.env("HEADWATER_SERVER__LISTEN", public).env("HEADWATER_ADMIN__LISTEN", admin);
        shell.env("HEADWATER_VIDEO__PRESET", "ultrafast").env("SDL_VIDEODRIVER", "dummy").env("SDL_AUDIODRIVER", "dummy");
        shell.args(["-euo", "pipefail", "-c", &self.here(command)]).current_dir(self.home.path());
        shell.stdin(Stdio::null()).kill_on_drop(true);
        shell
    }

    /// Runs a command to its end.
    async fn run(&mut self, command: &str, expected: &[&str]) {
        let output = finished(command, self.shell(command)).await;
        let stdout = String::from_utf8_lossy(&output.stdout);
        for part in expected {
            assert!(stdout.contains(&self.here(part)), "'{command}' does not print '{part}':\n{stdout}");
        }
        if let Some(id) = stdout.lines().find_map(|line| line.strip_prefix("id ")) {
            self.title = id.trim().to_owned();
        }
    }

    /// Has make tell what it would do.
    async fn plan(&self, command: &str) {
        let target = command.strip_prefix("make ").expect("a target of make");
        let mut shell = self.shell(&format!("make -n {target}"));
        finished(command, {
            shell.current_dir(env!("CARGO_MANIFEST_DIR"));
            shell
        })
        .await;
    }

    /// Starts the server and waits until it says where it listens.
    async fn serve(&mut self, command: &str) {
        assert!(self.server.is_none(), "one server is enough");
        let log = fs::File::create(self.home.path().join("log")).expect("a log");
        let mut shell = self.shell(&format!("exec {command}"));
        let mut child = shell.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("bash");
        let run = self.home.path().join("library/run.json");
        let announced = timeout(PATIENCE, async {
            loop {
                if let Ok(text) = fs::read(&run) {
                    break serde_json::from_slice::<serde_json::Value>(&text).expect("JSON");
                }
                let ended = child.try_wait().expect("its state");
                assert!(ended.is_none(), "'{command}' ended: {ended:?}\n{}", self.logged());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        let announced = announced.await.unwrap_or_else(|_| panic!("'{command}' does not serve:\n{}", self.logged()));
        let address = |name: &str| announced[name].as_str().expect("an address").to_owned();
        self.server = Some((child, address("listen"), address("admin")));
    }

    /// Ends the server as README says: with SIGTERM, and 0.
    async fn stop(mut self) {
        let (mut child, ..) = self.server.take().expect("README starts a server");
        let pid = rustix::process::Pid::from_raw(child.id().expect("running").cast_signed()).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
        let status = timeout(PATIENCE, child.wait()).await.expect("in time").expect("its status");
        assert!(status.success(), "{status}\n{}", self.logged());
    }

    fn logged(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

/// Runs a command that has to end well.
async fn finished(command: &str, mut shell: Command) -> Output {
    let output = timeout(PATIENCE, shell.output()).await.unwrap_or_else(|_| panic!("'{command}' does not end"));
    let output = output.expect("bash");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "'{command}': {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    output
}

/// The command lines of all blocks fenced as `sh`, in order.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        // A fence may be indented, and its language may have another spelling: none may slip past.
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
        assert!(["sh", "text", "html", "nginx"].contains(&language), "no block of README is '{language}'");
        if language == "sh" {
            let joined = block.join("\n").replace("\\\n", " ");
            let commands = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            found.extend(commands.map(str::to_owned));
        }
    }
    found
}

#[test]
fn commands_are_found() {
    let text = "```sh\n# why\none \\\n  more\n\ntwo\n```\ntext `three`\n```html\nfour\n```\n  ```sh\n  five\n  ```\n";
    assert_eq!(commands(text), ["one    more", "two", "five"]);
}

#[test]
fn keys_have_the_defaults_it_says() {
    let defaults: toml::Table = DEFAULTS.parse().expect("the defaults");
    let section = README.split_once("| key | default |").expect("the table of keys").1;
    let rows: Vec<Vec<&str>> = section
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert!(rows.len() > 10, "{rows:?}");
    for row in rows {
        let (key, said) = (row[1], row[2]);
        let (section, name) = key.split_once('.').expect("section.key");
        let default = defaults.get(section).and_then(|section| section.get(name));
        let default = match default.unwrap_or_else(|| panic!("there is no {key}")) {
            toml::Value::String(text) if text.is_empty() => "empty".to_owned(),
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert_eq!(said, default, "{key}");
    }
}

#[test]
fn caches_are_told_what_it_says() {
    let multivariant = multivariant_cache_control(Duration::from_secs(5));
    let all = [Freshness::Immutable, Freshness::NotFound, Freshness::Gone, Freshness::Unsatisfiable, Freshness::NotStored];
    for value in all.map(Freshness::cache_control).into_iter().chain([multivariant.as_str()]) {
        assert!(README.contains(&format!("| `{value}`")), "README does not tell '{value}'");
    }
}

#[test]
fn links_lead_somewhere() {
    let targets: Vec<&str> = README.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect();
    let files: Vec<PathBuf> = targets
        .iter()
        .filter(|target| !target.starts_with("https://"))
        .map(|target| Path::new(env!("CARGO_MANIFEST_DIR")).join(target))
        .collect();
    assert!(!files.is_empty());
    for file in files {
        assert!(file.exists(), "{}", file.display());
    }
}
