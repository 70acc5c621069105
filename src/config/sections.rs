//! The keys, section by section: which type each has, its range, and the values that must go together.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::{HeaderValue, Method};

use super::reader::Reader;
use super::{
    AdminSettings, Config, DEFAULT_LADDER, DataSettings, PublicSettings, SubtitleSettings, TlsSettings, UploadSettings, WorkerSettings,
};
use crate::delivery::{PurgeConfig, SurrogateKeys};
use crate::semantics::Network;
use crate::title::{DeinterlacePolicy, Ladder, PlanPolicy, SoundPolicy};
use crate::{cache, delivery, server, telemetry};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// x264's presets, fastest first.
const PRESETS: [&str; 10] = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"];

/// Longest name of an algorithm of congestion control (TCP_CA_NAME_MAX, of which one byte ends it).
const CONGESTION_CONTROL_BYTES_MAX: usize = 15;

/// What becomes of interlaced pictures.
const DEINTERLACE: [(&str, DeinterlacePolicy); 3] =
    [("field", DeinterlacePolicy::Field), ("frame", DeinterlacePolicy::Frame), ("off", DeinterlacePolicy::Off)];

/// Fields that carry surrogate keys.
const SURROGATE_KEYS: [(&str, SurrogateKeys); 4] = [
    ("off", SurrogateKeys::Off),
    ("surrogate-key", SurrogateKeys::SurrogateKey),
    ("cache-tag", SurrogateKeys::CacheTag),
    ("both", SurrogateKeys::Both),
];

/// Reads every key; nothing when one is at fault.
pub(super) fn read(reader: &mut Reader) -> Option<Config> {
    // Each section is read before any of them is asked for, so that the faults of all are found.
    let public = public(reader);
    let tls = tls(reader, public.as_ref());
    let admin = admin(reader, public.as_ref(), tls.as_ref());
    let data = data(reader);
    let cache = cache(reader);
    let delivery = delivery(reader);
    let purge = purge(reader);
    let upload = upload(reader);
    let subtitles = reader.bytes("subtitles.bytes_max", 1..=64 * MIB).map(|bytes_max| SubtitleSettings { bytes_max });
    let worker = worker(reader);
    let plan = plan(reader, worker.as_ref());
    let log = log(reader);
    let access_log = access_log(reader);
    let (mut public, access_log) = (public?, access_log?);
    public.server.tells_peer = access_log.format.is_some();
    Some(Config {
        public,
        tls: tls?,
        admin: admin?,
        data: data?,
        cache: cache?,
        delivery: delivery?,
        purge: purge?,
        upload: upload?,
        subtitles: subtitles?,
        worker: worker?,
        plan: plan?,
        log: log?,
        access_log,
    })
}

fn public(reader: &mut Reader) -> Option<PublicSettings> {
    let listen = reader.optional_address("server.listen");
    let public_url = reader.optional_url("server.public_url");
    let trusted_proxies = reader.networks("server.trusted_proxies");
    let drain = reader.duration("server.drain", Duration::ZERO..=HOUR);
    let connections_max = reader.integer("server.connections_max", 1..=1_000_000_u32);
    let header_timeout = reader.duration("server.header_timeout", SECOND..=HOUR);
    let idle_timeout = reader.duration("server.idle_timeout", SECOND..=HOUR);
    let limits = limits(reader, trusted_proxies.as_deref());
    let threads = reader.integer("server.threads", 0..=1024_usize).map(threads);
    let pin_threads = reader.boolean("server.pin_threads");
    let congestion_control = reader.text("server.congestion_control", |name| {
        let right = name.len() <= CONGESTION_CONTROL_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if right { Ok(()) } else { Err("expected a name such as bbr".to_owned()) }
    });
    let server = server::Config {
        connections_max: connections_max? as usize,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        drain: drain?,
        threads: server::Threads::Own { count: threads?, pinned: pin_threads? },
        // Known once the access log is.
        tells_peer: false,
        limits: limits?,
    };
    Some(PublicSettings {
        listen: listen?,
        congestion_control: Some(congestion_control?).filter(|name| !name.is_empty()),
        public_url: public_url?,
        trusted_proxies: trusted_proxies?,
        server,
    })
}

/// What clients of the public listeners may do.
fn limits(reader: &mut Reader, trusted_proxies: Option<&[Network]>) -> Option<server::Limits> {
    let address_connections_max = reader.integer("server.address_connections_max", 0..=1_000_000_u32);
    let address_requests_max = reader.integer("server.address_requests_max", 0..=1_000_000_u32);
    let unlimited = reader.networks("server.unlimited");
    let fields_max = reader.integer("server.head_fields_max", 16..=server::FIELDS_MAX);
    let bytes_max = reader.bytes("server.head_bytes_max", 4096..=65_536);
    let target_bytes_max = reader.bytes("server.target_bytes_max", 256..=65_536);
    let streams_max = reader.integer("server.streams_max", 1..=1000_u32);
    let send_rate_min = reader.bytes("server.send_rate_min", 0..=MIB);
    let head = server::HeadLimits { fields_max: fields_max?, bytes_max: bytes_max? as usize, target_bytes_max: target_bytes_max? as usize };
    Some(server::Limits {
        address_connections_max: address_connections_max? as usize,
        address_requests_max: address_requests_max?,
        // What a proxy sends comes from many clients.
        unlimited: [&unlimited?, trusted_proxies?].concat(),
        head,
        streams_max: streams_max?,
        send_rate_min: send_rate_min?,
        takes_bodies: false,
    })
}

fn tls(reader: &mut Reader, public: Option<&PublicSettings>) -> Option<Option<TlsSettings>> {
    let listen = reader.optional_address("tls.listen");
    let certificates = reader.paths("tls.certificate");
    let keys = reader.paths("tls.key");
    let strict_transport_security = reader.text("tls.strict_transport_security", |text| {
        let right = text.is_empty() || text.starts_with("max-age=") && HeaderValue::from_str(text).is_ok();
        if right { Ok(()) } else { Err("expected max-age=SECONDS, and other directives after a semicolon".to_owned()) }
    });
    let (certificates, keys) = (certificates?, keys?);
    if certificates.len() != keys.len() {
        let (certificates, keys) = (certificates.len(), keys.len());
        reader.refuse("tls.key", format!("names {keys} files where tls.certificate names {certificates}; each has one key"));
    }
    let listen = listen?;
    if listen.is_some() && certificates.is_empty() {
        reader.refuse("tls.listen", "needs tls.certificate and tls.key");
    }
    if let (Some(listen), Some(public)) = (listen, public)
        && are_same(listen, public.listen)
    {
        reader.refuse("tls.listen", "is the same address as server.listen");
    }
    let strict_transport_security = strict_transport_security.and_then(|text| match text.as_str() {
        "" => Some(None),
        text => HeaderValue::from_str(text).ok().map(Some),
    });
    let pairs = certificates.into_iter().zip(keys);
    let certificates: Vec<_> = pairs.map(|(certificate, key)| server::CertificateFiles { certificate, key }).collect();
    if certificates.is_empty() {
        return Some(None);
    }
    let tls = server::TlsConfig { certificates, strict_transport_security: strict_transport_security? };
    Some(Some(TlsSettings { listen, tls }))
}

/// Whether both would be bound to the same port of the same address.
fn are_same(one: SocketAddr, other: Option<SocketAddr>) -> bool {
    other == Some(one) && one.port() != 0
}

/// None asked for is one a core.
fn threads(asked: usize) -> NonZeroUsize {
    NonZeroUsize::new(asked).or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// The admin listener has the public one's time limits.
fn admin(reader: &mut Reader, public: Option<&PublicSettings>, tls: Option<&Option<TlsSettings>>) -> Option<AdminSettings> {
    let listen = reader.address("admin.listen");
    let token = reader.secret("admin.token");
    let connections_max = reader.integer("admin.connections_max", 1..=1_000_000_u32);
    if let (Some(listen), Some(None)) = (listen, &token)
        && !listen.ip().is_loopback()
    {
        reader.refuse("admin.listen", format!("{listen} is not a loopback address, which needs admin.token to be set"));
    }
    let public = public?;
    if listen.is_some_and(|listen| are_same(listen, public.listen)) {
        reader.refuse("admin.listen", "is the same address as server.listen");
    }
    let tls = tls.and_then(|tls| tls.as_ref()?.listen);
    if listen.is_some_and(|listen| are_same(listen, tls)) {
        reader.refuse("admin.listen", "is the same address as tls.listen");
    }
    // Events are sent when there are any, however slowly that may be.
    let limits = server::Limits { head: public.server.limits.head, ..server::Limits::USUAL };
    let server =
        server::Config { connections_max: connections_max? as usize, threads: server::Threads::Shared, limits, ..public.server.clone() };
    Some(AdminSettings { listen: listen?, token: token?, server })
}

fn data(reader: &mut Reader) -> Option<DataSettings> {
    let dir = reader.path("data.dir");
    let free_min_bytes = reader.bytes("data.free_min", 0..=1024 * TIB);
    Some(DataSettings { dir: dir?, free_min_bytes: free_min_bytes? })
}

fn cache(reader: &mut Reader) -> Option<cache::Config> {
    let bytes = reader.bytes("cache.bytes", MIB..=1024 * TIB);
    let fills_max = reader.integer("cache.fills_max", 1..=1_000_000_u32);
    let read_ahead = reader.integer("cache.read_ahead", 0..=16_u32);
    Some(cache::Config { bytes: bytes?, fills_max: fills_max? as usize, read_ahead: read_ahead? })
}

fn delivery(reader: &mut Reader) -> Option<delivery::Config> {
    let segment_wait = reader.duration("delivery.segment_wait", Duration::ZERO..=Duration::from_secs(600));
    let waiters_max = reader.integer("delivery.waiters_max", 1..=1_000_000_u32);
    let multivariant_max_age = reader.duration("delivery.multivariant_max_age", Duration::ZERO..=DAY);
    if multivariant_max_age.is_some_and(|age| age.subsec_nanos() != 0) {
        reader.refuse("delivery.multivariant_max_age", "expected whole seconds, as Cache-Control counts them");
    }
    let cdn_multivariant_max_age = reader.optional_seconds("delivery.cdn_multivariant_max_age", Duration::ZERO..=DAY * 365);
    let cdn_immutable_max_age = reader.optional_seconds("delivery.cdn_immutable_max_age", Duration::ZERO..=DAY * 365);
    let alt_svc = reader.optional_field("delivery.alt_svc");
    let generation_grace = reader.duration("delivery.generation_grace", Duration::ZERO..=DAY * 365);
    let surrogate_keys = reader.choice("delivery.surrogate_keys", &SURROGATE_KEYS);
    Some(delivery::Config {
        segment_wait: segment_wait?,
        waiters_max: waiters_max? as usize,
        multivariant_max_age: multivariant_max_age?,
        cdn_multivariant_max_age: cdn_multivariant_max_age?,
        cdn_immutable_max_age: cdn_immutable_max_age?,
        alt_svc: alt_svc?,
        generation_grace: generation_grace?,
        surrogate_keys: surrogate_keys?,
    })
}

/// Absent without a URL; everything is read all the same, so that faults show.
fn purge(reader: &mut Reader) -> Option<Option<PurgeConfig>> {
    let url = reader.text("purge.url", |_| Ok(()));
    let method = reader.text("purge.method", |text| Method::from_bytes(text.as_bytes()).map(drop).map_err(|_| "expected a method".into()));
    let fields = reader.secret_fields("purge.headers");
    let body = reader.text("purge.body", |_| Ok(()));
    let attempts = reader.integer("purge.attempts", 1..=100_u32);
    let timeout = reader.duration("purge.timeout", Duration::from_millis(100)..=HOUR);
    let config = PurgeConfig {
        url: url?,
        method: Method::from_bytes(method?.as_bytes()).ok()?,
        fields: fields?,
        body: body?,
        attempts: attempts?,
        timeout: timeout?,
    };
    if config.url.is_empty() {
        return Some(None);
    }
    config.check().map_err(|why| reader.refuse("purge.url", why)).ok()?;
    Some(Some(config))
}

fn upload(reader: &mut Reader) -> Option<UploadSettings> {
    let bytes_max = reader.bytes("upload.bytes_max", 1..=1024 * TIB);
    let concurrent_max = reader.integer("upload.concurrent_max", 1..=100_000_u32);
    let idle_timeout = reader.duration("upload.idle_timeout", SECOND..=HOUR);
    Some(UploadSettings { bytes_max: bytes_max?, concurrent_max: concurrent_max? as usize, idle_timeout: idle_timeout? })
}

fn worker(reader: &mut Reader) -> Option<WorkerSettings> {
    let count = reader.integer("worker.count", 0..=1024_u32);
    let memory_max_bytes = reader.bytes("worker.memory_max", 64 * MIB..=TIB);
    let stall = reader.duration("worker.stall", SECOND..=HOUR);
    let survey_deadline = reader.duration("worker.survey_deadline", SECOND..=DAY);
    let attempts = reader.integer("worker.attempts", 1..=100_u32);
    let path = reader.optional_path("worker.path");
    let count = match count? as usize {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    Some(WorkerSettings {
        count,
        memory_max_bytes: memory_max_bytes?,
        stall: stall?,
        survey_deadline: survey_deadline?,
        attempts: attempts?,
        path: path?,
    })
}

fn plan(reader: &mut Reader, worker: Option<&WorkerSettings>) -> Option<PlanPolicy> {
    let segment_length = reader.duration("video.segment_length", Duration::from_millis(500)..=Duration::from_secs(30));
    let presets = PRESETS.map(|name| (name, name));
    let preset = reader.choice("video.preset", &presets);
    let frame_rate_max = reader.integer("video.frame_rate_max", 1..=240_u32);
    let video_copy = reader.boolean("video.copy");
    let deinterlace = reader.choice("video.deinterlace", &DEINTERLACE);
    let pixels_max = reader.integer("video.pixels_max", 1024..=16_384_i64 * 16_384);
    let duration_max = reader.duration("video.duration_max", SECOND..=DAY * 30);
    let ladder = ladder(reader);
    let hdr = reader.boolean("ladder.hdr");
    let bitrate_kbps = reader.integer("audio.bitrate_kbps", 32..=320_u32);
    let audio_copy = reader.boolean("audio.copy");
    let audio_copy_max_kbps = reader.integer("audio.copy_max_kbps", 32..=1000_u32);
    let sound = sound(reader);
    Some(PlanPolicy {
        segment_ms: segment_length?.as_millis() as u32,
        frame_rate_max: frame_rate_max?,
        deinterlace: deinterlace?,
        ladder: ladder?,
        hdr: hdr?,
        preset: preset?.to_owned(),
        audio_bps: bitrate_kbps? * 1000,
        video_copy: video_copy?,
        audio_copy: audio_copy?,
        audio_copy_bps_max: audio_copy_max_kbps? * 1000,
        sound: sound?,
        duration_max_ms: duration_max?.as_millis() as u64,
        pixels_max: pixels_max? as u64,
        memory_max_bytes: worker?.memory_max_bytes,
    })
}

fn sound(reader: &mut Reader) -> Option<SoundPolicy> {
    let surround = reader.boolean("audio.surround");
    let surround_kbps = reader.integer("audio.surround_kbps", 128..=1024_u32);
    let low_kbps = reader.integer("audio.low_kbps", 24..=320_u32);
    let level = reader.choice("audio.loudness", &[("off", false), ("target", true)]);
    let target_lufs = reader.integer("audio.loudness_target", -31..=-8_i32);
    let surround_bps = surround_kbps? * 1000;
    let target_hundredths = target_lufs? * 100;
    Some(SoundPolicy {
        surround_bps: surround?.then_some(surround_bps),
        low_bps: low_kbps? * 1000,
        target_hundredths_lufs: level?.then_some(target_hundredths),
    })
}

fn ladder(reader: &mut Reader) -> Option<Ladder> {
    let text = match reader.optional_path("ladder.file")? {
        None => DEFAULT_LADDER.to_owned(),
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                reader.refuse("ladder.file", format!("{} cannot be read: {error}", path.display()));
                return None;
            }
        },
    };
    Ladder::parse(&text).map_err(|error| reader.refuse("ladder.file", error.to_string())).ok()
}

fn log(reader: &mut Reader) -> Option<telemetry::Config> {
    let formats = [("text", telemetry::LogFormat::Text), ("json", telemetry::LogFormat::Json)];
    let format = reader.choice("log.format", &formats);
    let filter = reader.text("log.filter", telemetry::check_filter);
    Some(telemetry::Config { format: format?, filter: filter? })
}

fn access_log(reader: &mut Reader) -> Option<telemetry::AccessConfig> {
    let formats = [("off", None), ("json", Some(telemetry::AccessFormat::Json)), ("clf", Some(telemetry::AccessFormat::Clf))];
    let format = reader.choice("access_log.format", &formats);
    let path = reader.path("access_log.path");
    let waiting_max = reader.integer("access_log.waiting_max", 64..=1_000_000_u32);
    let path = Some(path?).filter(|path| path.as_os_str() != "-");
    Some(telemetry::AccessConfig { format: format?, path, waiting_max: waiting_max? as usize })
}
