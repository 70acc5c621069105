//! The command line as it is typed: what is parsed, what help says, and what commands do with a real control API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use anyhow::anyhow;
use clap::CommandFactory;
use clap::error::ErrorKind;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::*;
use crate::api::tests::Control;
use crate::api::{EventLimits, ReceiveError};
use crate::catalogue::sample;
use crate::title::{Generation, Problem, ProblemCode, RemarkCode, TitleState};

/// An engine that notes what it was asked, and fails when told to.
#[derive(Default)]
struct Noted {
    asked: Mutex<Vec<String>>,
    broken: Vec<String>,
    fails: bool,
}

impl Noted {
    fn note(&self, asked: String) -> anyhow::Result<()> {
        self.asked.lock().expect("a lock").push(asked);
        if self.fails { Err(anyhow!("the address is in use").context("it cannot start")) } else { Ok(()) }
    }
}

impl Engine for Noted {
    fn serve(&self, loaded: Loaded) -> anyhow::Result<()> {
        let config = loaded.config;
        let listen = config.public.listen.expect("an address");
        self.note(format!("serve {listen} {} {}", config.admin.listen, config.data.dir.display()))
    }

    fn transcode(
        &self,
        config: Config,
        file: &Path,
        out: &Path,
        progress: &mut (dyn FnMut(TranscodeProgress) + Send),
    ) -> anyhow::Result<Transcoded> {
        self.note(format!("transcode {} {} {}", file.display(), out.display(), config.plan.preset))?;
        for segments_done in 0..=4 {
            progress(TranscodeProgress { segments_done, segments_total: 4, duration_ms: 16_000 });
        }
        let remarks = vec![Remark::new(RemarkCode::NoAudio, "There is no sound.")];
        Ok(Transcoded { playlist: out.join("main.m3u8"), remarks })
    }

    fn check(&self, config: Config) -> anyhow::Result<Vec<String>> {
        self.note(format!("check {}", config.data.dir.display()))?;
        Ok(self.broken.clone())
    }
}

/// How a command ended and what it wrote.
struct Ended {
    exit: Exit,
    out: String,
    err: String,
}

fn headwater_with(engine: &Noted, environment: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let environment: BTreeMap<String, String> = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut terminal = Terminal { out: &mut out, err: &mut err, environment: &environment, bars: false };
    let cli = Cli::try_parse_from(["headwater"].iter().chain(arguments)).expect("arguments");
    let exit = cli.run(&mut terminal, engine);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { exit, out: text(out), err: text(err) }
}

fn headwater(arguments: &[&str]) -> Ended {
    headwater_with(&Noted::default(), &[], arguments)
}

#[test]
fn the_table_of_commands_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn arguments_are_parsed_or_refused() {
    let id = sample::title_id(1).to_string();
    for (arguments, expect) in [
        ("serve", None),
        ("serve --config a.toml --data /d --listen 0.0.0.0:0 --admin 127.0.0.1:0", None),
        ("serve extra", Some(ErrorKind::UnknownArgument)),
        ("upload", Some(ErrorKind::MissingRequiredArgument)),
        ("upload a b c --wait --server http://h:1 --token t", None),
        ("upload a --server h:1", Some(ErrorKind::ValueValidation)),
        ("upload a --server https://h", Some(ErrorKind::ValueValidation)),
        ("titles", Some(ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)),
        ("titles list --json --state ready", None),
        ("titles list --state done", Some(ErrorKind::ValueValidation)),
        (&format!("titles show {id}"), None),
        (&format!("titles delete {id} --json --server http://h:1"), None),
        ("titles show ../x", Some(ErrorKind::ValueValidation)),
        ("titles show", Some(ErrorKind::MissingRequiredArgument)),
        ("transcode film.mp4 --out dir", None),
        ("transcode film.mp4", Some(ErrorKind::MissingRequiredArgument)),
        ("check --data /d", None),
        ("config", None),
        ("", Some(ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)),
        ("brew", Some(ErrorKind::InvalidSubcommand)),
        ("--version", Some(ErrorKind::DisplayVersion)),
        ("serve --help", Some(ErrorKind::DisplayHelp)),
    ] {
        let parsed = Cli::try_parse_from(["headwater"].into_iter().chain(arguments.split_whitespace()));
        assert_eq!(parsed.err().map(|error| error.kind()), expect, "headwater {arguments}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    let exit = |arguments: &str| run(["headwater"].into_iter().chain(arguments.split_whitespace()).map(OsString::from), &Noted::default());
    assert_eq!(exit("brew"), Exit::Usage);
    assert_eq!(exit(""), Exit::Usage);
    assert_eq!(exit("--version"), Exit::Done);
    assert_eq!(exit("titles list --help"), Exit::Done);
}

/// Every page of help, in the order of the commands.
fn help() -> Vec<(String, String)> {
    fn pages(mut command: clap::Command, path: &str, pages_so_far: &mut Vec<(String, String)>) {
        let name = format!("{path}{}", command.get_name());
        pages_so_far.push((name.clone(), command.render_long_help().to_string()));
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            pages(sub.clone().term_width(100), &format!("{name} "), pages_so_far);
        }
    }
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut all = Vec::new();
    pages(command, "", &mut all);
    all
}

/// `UPDATE_GOLDEN=1` writes the pages anew.
#[test]
fn help_is_the_golden_one_and_every_command_has_examples() {
    let pages = help();
    assert!(pages.len() >= 10, "all commands have a page");
    for (command, page) in &pages {
        assert!(
            page.contains(&format!("Examples:\n  headwater{}", command.trim_start_matches("headwater"))) || command == "headwater",
            "{command}"
        );
    }
    let text: String = pages.iter().map(|(command, page)| format!("$ {command} --help\n{}\n\n", page.trim_end())).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &text).expect("the golden file is written");
    }
    let golden = std::fs::read_to_string(path).expect("the golden file");
    assert_eq!(text, golden, "run the tests with UPDATE_GOLDEN=1");
}

#[test]
fn examples_can_be_typed() {
    for (_, page) in help() {
        let examples = page.split_once("Examples:\n").map(|(_, rest)| rest).expect("examples");
        for example in examples.lines().take_while(|line| line.starts_with("  ")) {
            let typed = example.split(" | ").next().unwrap_or_default().replace("'The Film'", "name");
            let words = typed.split_whitespace().skip_while(|word| word.starts_with("HEADWATER_"));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{example}: {error}");
            }
        }
    }
}

#[test]
fn serve_check_and_transcode_are_handed_to_the_engine() {
    let engine = Noted::default();
    let environment = [("HEADWATER_VIDEO__PRESET", "medium")];
    let ended = headwater_with(&engine, &environment, &["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:7", "--data", "/d"]);
    assert_eq!((ended.exit, ended.out.as_str(), ended.err.as_str()), (Exit::Done, "", ""));
    let ended = headwater_with(&engine, &environment, &["check", "--data", "/d"]);
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Done, "Every invariant holds.\n"));
    let ended = headwater_with(&engine, &environment, &["transcode", "film.mp4", "--out", "o"]);
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Done, "o/main.m3u8\n"));
    assert!(ended.err.starts_with("film.mp4: 0%  0 of 4 segments\n"), "{}", ended.err);
    assert!(ended.err.ends_with("info: There is no sound.\n"), "{}", ended.err);
    let asked = engine.asked.into_inner().expect("a lock");
    assert_eq!(asked, ["serve 127.0.0.1:0 127.0.0.1:7 /d", "check /d", "transcode film.mp4 o medium"]);
}

#[test]
fn what_fails_is_told_with_its_cause() {
    let engine = Noted { fails: true, ..Noted::default() };
    let ended = headwater_with(&engine, &[], &["serve"]);
    assert_eq!((ended.exit, ended.err.as_str()), (Exit::Failed, "error: it cannot start: the address is in use\n"));
    let engine = Noted { broken: vec!["One.".into(), "Two.".into()], ..Noted::default() };
    let ended = headwater_with(&engine, &[], &["check"]);
    assert_eq!((ended.exit, ended.out.as_str(), ended.err.as_str()), (Exit::Failed, "One.\nTwo.\n", "2 faults found\n"));
}

#[test]
fn a_wrong_configuration_is_wrong_usage_and_told_whole() {
    let environment = [("HEADWATER_CACHE__BYTES", "much"), ("HEADWATER_CACHE__SIZE", "1")];
    for arguments in [&["serve", "--listen", "here"][..], &["config"], &["titles", "list"], &["transcode", "a", "--out", "b"]] {
        let engine = Noted::default();
        let ended = headwater_with(&engine, &environment, arguments);
        assert_eq!(ended.exit, Exit::Usage, "{arguments:?}");
        for key in ["HEADWATER_CACHE__BYTES", "HEADWATER_CACHE__SIZE"] {
            assert!(ended.err.contains(key), "{}", ended.err);
        }
        assert!(engine.asked.into_inner().expect("a lock").is_empty());
    }
}

#[test]
fn config_prints_what_is_resolved() {
    let ended = headwater_with(&Noted::default(), &[("HEADWATER_ADMIN__TOKEN", "open-sesame")], &["config"]);
    assert_eq!(ended.exit, Exit::Done);
    assert!(ended.out.contains("listen = \"0.0.0.0:8080\""), "{}", ended.out);
    assert!(ended.out.contains("# environment HEADWATER_ADMIN__TOKEN"), "{}", ended.out);
    assert!(!ended.out.contains("open-sesame"));
}

/// A control API on a real socket, on threads of its own.
struct Server {
    control: Control,
    address: SocketAddr,
    runtime: Runtime,
}

impl Server {
    fn start(token: Option<&str>) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (control, listener) = runtime.block_on(async {
            let control = Control::with(Some("http://media.example.com"), token, EventLimits::default()).await;
            (control, TcpListener::bind("127.0.0.1:0").await.expect("a listener"))
        });
        let address = listener.local_addr().expect("an address");
        let router = control.router.clone();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                tokio::spawn(async move {
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { control, address, runtime }
    }

    fn headwater(&self, arguments: &[&str]) -> Ended {
        let server = format!("http://{}", self.address);
        let mut all = arguments.to_vec();
        all.extend(["--server", &server]);
        headwater(&all)
    }

    /// Brings the first title that is received to its end.
    fn process(&self, problem: Option<Problem>) {
        let catalogue = self.control.catalogue.clone();
        self.runtime.spawn(async move {
            let mut revisions = catalogue.watch();
            let id = sample::title_id(1);
            loop {
                if catalogue.title(id).await.is_ok_and(|title| title.state == TitleState::Surveying) {
                    break;
                }
                revisions.changed().await.expect("a change");
            }
            if let Some(problem) = problem {
                catalogue.fail(id, &problem, 1).await.expect("failed");
                return;
            }
            catalogue.planned(id, &sample::facts(), &sample::plan(), &sample::tracks(), &[], 1).await.expect("planned");
            for segment in sample::segments() {
                catalogue.commit_segments(id, Generation::FIRST, &[segment], 1).await.expect("committed");
            }
            catalogue.finish(id, Generation::FIRST, &sample::rates(), &[], 1).await.expect("finished");
        });
    }
}

/// A file of that name and contents.
fn file(directory: &tempfile::TempDir, name: &str, contents: &[u8]) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, contents).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_file_is_uploaded_and_followed_until_it_is_ready() {
    let server = Server::start(None);
    let directory = tempfile::tempdir().expect("a directory");
    let contents: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let film = file(&directory, "Film & Co 映画.mp4", &contents);
    server.process(None);
    let ended = server.headwater(&["upload", &film, "--wait"]);
    assert_eq!(ended.exit, Exit::Done, "{}", ended.err);
    let id = sample::title_id(1);
    let expect =
        format!("name      Film & Co 映画.mp4\nid        {id}\nplayback  http://media.example.com/t/{id}/main.m3u8\n{id} is ready\n");
    assert_eq!(ended.out, expect);
    assert!(ended.err.contains("100%  ready, 9 of 9 segments"), "{}", ended.err);
    let title = server.runtime.block_on(server.control.catalogue.title(id)).expect("the title");
    assert_eq!(title.source.map(|source| source.sha256), Some(crate::title::ContentHash::of(&contents)));
}

#[test]
fn a_title_that_fails_is_told_with_its_sentence() {
    let server = Server::start(None);
    let directory = tempfile::tempdir().expect("a directory");
    server.process(Some(Problem::with_detail(ProblemCode::NotMedia, "text")));
    let ended = server.headwater(&["upload", &file(&directory, "notes.txt", b"text"), "--name", "Notes", "--wait"]);
    assert_eq!(ended.exit, Exit::Failed);
    let expect = format!("error: Notes: {} (text)\n", ProblemCode::NotMedia.sentence());
    assert!(ended.err.ends_with(&expect), "{}", ended.err);
}

#[test]
fn one_bad_file_does_not_keep_the_others() {
    let server = Server::start(None);
    let directory = tempfile::tempdir().expect("a directory");
    let (one, two) = (file(&directory, "one", b"1"), file(&directory, "two", b""));
    let missing = directory.path().join("missing").display().to_string();
    let folder = directory.path().display().to_string();
    let ended = server.headwater(&["upload", &one, &missing, &folder, &two]);
    assert_eq!(ended.exit, Exit::Failed);
    assert_eq!(ended.out.lines().filter(|line| line.starts_with("name")).collect::<Vec<_>>(), ["name      one", "name      two"]);
    assert!(ended.err.contains(&format!("error: {missing}: the file cannot be read: No such file")), "{}", ended.err);
    assert!(ended.err.contains("it is a directory"), "{}", ended.err);
    let ended = server.headwater(&["upload", &one, &two, "--name", "both"]);
    assert_eq!(ended.exit, Exit::Usage);
}

#[test]
fn a_refusal_comes_before_the_bytes_and_says_why() {
    let server = Server::start(None);
    *server.control.flows.refuse.lock().expect("a lock") = Some(ReceiveError::TooLarge { limit_bytes: 1000 });
    let directory = tempfile::tempdir().expect("a directory");
    let film = file(&directory, "film.mp4", b"");
    std::fs::File::options().write(true).open(&film).and_then(|film| film.set_len(8 << 30)).expect("a sparse file");
    let ended = server.headwater(&["upload", &film]);
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.err.contains("film.mp4: Uploads may have at most 1000 bytes."), "{}", ended.err);
    assert!(!ended.err.contains("10%"), "{}", ended.err);
}

#[test]
fn titles_are_listed_shown_and_deleted() {
    let server = Server::start(None);
    let ended = server.headwater(&["titles", "list"]);
    assert_eq!((ended.exit, ended.out.as_str()), (Exit::Done, "There are no titles.\n"));
    assert_eq!(server.headwater(&["titles", "list", "--json"]).out, "[]\n");
    let ready = server.runtime.block_on(async {
        server.control.title(1, TitleState::Failed).await;
        server.control.title(2, TitleState::Ready).await
    });
    let ended = server.headwater(&["titles", "list"]);
    let lines: Vec<&str> = ended.out.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1], format!("{ready}  ready       100%      0:12        6 B  2023-11-14 22:13  film 2"));
    assert!(lines[2].contains("  failed        0%         -        6 B  "), "{}", lines[2]);
    let json: serde_json::Value = serde_json::from_str(&server.headwater(&["titles", "list", "--json"]).out).expect("JSON");
    assert_eq!(json[0]["id"], ready.to_string());
    let failed = server.headwater(&["titles", "list", "--state", "failed"]);
    assert_eq!(failed.out.lines().count(), 2);

    let id = ready.to_string();
    let sheet = server.headwater(&["titles", "show", &id]).out;
    assert!(sheet.contains("state       ready, playable\n"), "{sheet}");
    for line in [
        format!("poster      http://media.example.com/t/{id}/1/poster.jpg"),
        format!("storyboard  http://media.example.com/t/{id}/1/storyboard.vtt"),
        "rendition   720p, 1280x720, avc1.64001f, sdr, 1500 kbit/s, encode".into(),
        "audio       de, German, 2 channels, mp4a.40.2, 1500 kbit/s, encode, default".into(),
        "loudness    stream 1, ger, -23.1 LUFS, range 6.5 LU, peak -3.2 dBTP".into(),
        "gain        +0.0 dB".into(),
    ] {
        assert!(sheet.lines().any(|found| found == line), "no '{line}' in {sheet}");
    }
    let json: serde_json::Value = serde_json::from_str(&server.headwater(&["titles", "show", &id, "--json"]).out).expect("JSON");
    assert_eq!(json["name"], "film 2");
    assert_eq!(server.headwater(&["titles", "delete", &id]).out, format!("{id} is deleted\n"));
    let ended = server.headwater(&["titles", "show", &id]);
    assert_eq!((ended.exit, ended.err.as_str()), (Exit::Failed, "error: There is no such title.\n"));
}

#[test]
fn the_token_is_sent_from_the_flag_or_the_configuration() {
    let server = Server::start(Some("open-sesame"));
    let ended = server.headwater(&["titles", "list"]);
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.err.contains("--token or HEADWATER_ADMIN__TOKEN"), "{}", ended.err);
    assert_eq!(server.headwater(&["titles", "list", "--token", "open-sesame"]).exit, Exit::Done);
    let environment = [("HEADWATER_ADMIN__TOKEN", "open-sesame"), ("HEADWATER_ADMIN__LISTEN", &server.address.to_string() as &str)];
    assert_eq!(headwater_with(&Noted::default(), &environment, &["titles", "list"]).exit, Exit::Done);
}

#[test]
fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let ended = headwater(&["titles", "list", "--server", &format!("http://{free}")]);
    assert_eq!(ended.exit, Exit::Failed);
    assert!(ended.err.starts_with(&format!("error: no Headwater answers at http://{free} (Connection refused")), "{}", ended.err);
    assert!(ended.err.ends_with("start one with 'headwater serve', or name another by --server URL\n"), "{}", ended.err);
}
