//! What is asked for on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Closed,
    Open,
    Herd,
    Idle,
    Drip,
    Sip,
}

/// See the head of `main.rs`.
pub struct Asked {
    pub mode: Mode,
    pub address: SocketAddr,
    pub connections: usize,
    pub from: u32,
    pub seconds: f64,
    pub warm_s: f64,
    pub every_s: f64,
    pub rate: f64,
    pub requests: u64,
    pub numbers: u64,
    pub range_bytes: Option<u64>,
    pub status: Option<u16>,
    pub expect: Option<PathBuf>,
    pub verify: u64,
    pub tls: Option<PathBuf>,
    pub gzip: bool,
    pub paths: Vec<String>,
}

impl Asked {
    fn new(mode: Mode, address: SocketAddr) -> Self {
        Self {
            mode,
            address,
            connections: 1,
            from: 0,
            seconds: 1.0,
            warm_s: 0.0,
            every_s: 1.0,
            rate: 0.0,
            requests: u64::MAX,
            numbers: 1 << 30,
            range_bytes: None,
            status: None,
            expect: None,
            verify: 16,
            tls: None,
            gzip: false,
            paths: Vec::new(),
        }
    }
}

/// # Errors
/// Tells what is wrong with them.
pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mode = match words.next().as_deref() {
        Some("closed") => Mode::Closed,
        Some("open") => Mode::Open,
        Some("herd") => Mode::Herd,
        Some("idle") => Mode::Idle,
        Some("drip") => Mode::Drip,
        Some("sip") => Mode::Sip,
        other => return Err(format!("there is no mode '{}'", other.unwrap_or_default())),
    };
    let address = words.next().ok_or("an address is missing")?.parse().map_err(|error| format!("the address: {error}"))?;
    let mut asked = Asked::new(mode, address);
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            asked.paths.push(word);
            continue;
        }
        if word == "--gzip" {
            asked.gzip = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<f64>().map_err(|_| format!("{word} needs a number"));
        match word.as_str() {
            "--connections" => asked.connections = number()? as usize,
            "--from" => asked.from = number()? as u32,
            "--seconds" => asked.seconds = number()?,
            "--warm" => asked.warm_s = number()?,
            "--every" => asked.every_s = number()?,
            "--rate" => asked.rate = number()?,
            "--requests" => asked.requests = number()? as u64,
            "--numbers" => asked.numbers = number()? as u64,
            "--range" => asked.range_bytes = Some(number()? as u64),
            "--status" => asked.status = Some(number()? as u16),
            "--verify" => asked.verify = number()? as u64,
            "--expect" => asked.expect = Some(value.into()),
            "--tls" => asked.tls = Some(value.into()),
            _ => return Err(format!("{word} is not known")),
        }
    }
    match &asked {
        Asked { paths, .. } if paths.is_empty() => Err("a path is missing".to_owned()),
        Asked { mode: Mode::Open, rate, .. } if *rate <= 0.0 => Err("open needs --rate".to_owned()),
        Asked { range_bytes: Some(_), expect: None, .. } => Err("--range needs --expect".to_owned()),
        _ => Ok(asked),
    }
}
