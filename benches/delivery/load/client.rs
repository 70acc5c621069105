//! One connection, and a request on it.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::arguments::Asked;
use crate::seen::Seen;

const BUFFER_BYTES: usize = 256 << 10;

/// What all clients ask for.
pub struct Target {
    pub asked: Asked,
    /// The file behind each path.
    files: Vec<Option<Vec<u8>>>,
    tls: Option<TlsConnector>,
}

impl Target {
    pub fn new(asked: Asked) -> io::Result<Self> {
        let file = |path: &String| asked.expect.as_ref().map(|folder| std::fs::read(folder.join(path.trim_start_matches('/')))).transpose();
        let files = asked.paths.iter().map(file).collect::<io::Result<_>>()?;
        let tls = asked.tls.as_deref().map(connector).transpose()?;
        Ok(Self { files, tls, asked })
    }

    /// A new connection, from the address that is its turn.
    pub async fn connect(&self, number: usize, receive_bytes: Option<u32>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        if self.asked.from > 0 {
            let address = u32::from(Ipv4Addr::new(127, 0, 1, 1)) + number as u32 % self.asked.from;
            socket.bind(SocketAddr::new(IpAddr::V4(address.into()), 0))?;
        }
        let stream = socket.connect(self.asked.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn connector(certificate: &std::path::Path) -> io::Result<TlsConnector> {
    use rustls::crypto::aws_lc_rs;
    let provider = rustls::crypto::CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..aws_lc_rs::default_provider()
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = config.map_err(io::Error::other)?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

trait Wire: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire for T {}

/// A connection, and what was seen on it.
pub struct Client {
    target: Rc<Target>,
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
    random: u64,
    pub seen: Seen,
}

/// What a request was for.
struct Sent {
    /// Which of the paths.
    which: usize,
    /// Where in the file its body begins.
    first: usize,
    /// How long that must be, if it is known.
    length: Option<usize>,
}

impl Client {
    pub async fn connect(target: &Rc<Target>, number: usize) -> io::Result<Self> {
        let stream = target.connect(number, None).await?;
        let wire: Box<dyn Wire> = match &target.tls {
            None => Box::new(stream),
            Some(connector) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Box::new(connector.connect(name, stream).await?)
            }
        };
        let random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(number as u64 + 1);
        Ok(Self { target: Rc::clone(target), wire, buffer: vec![0; BUFFER_BYTES], random, seen: Seen::default() })
    }

    /// Whether nothing failed on it yet.
    pub fn is_well(&self) -> bool {
        self.seen.failures == 0
    }

    /// One request that was `due` then, and its answer; counts how that went.
    pub async fn exchange(&mut self, due: Instant) {
        if let Err(error) = self.converse(due).await {
            self.seen.failures += 1;
            self.seen.failure.get_or_insert_with(|| error.to_string());
        }
    }

    async fn converse(&mut self, due: Instant) -> io::Result<()> {
        let sent = self.send().await?;
        let (body, length) = self.head(sent.length).await?;
        self.seen.ttfb_us.push(due.elapsed().as_micros() as u32);
        let target = Rc::clone(&self.target);
        let file = target.files[sent.which].as_deref().filter(|_| self.is_verified());
        let agrees =
            |piece: &[u8], got: usize| file.is_none_or(|file| file.get(sent.first + got..).is_some_and(|rest| rest.starts_with(piece)));
        let mut got = body.len();
        let mut right = agrees(&self.buffer[body], 0);
        while got < length {
            let count = self.wire.read(&mut self.buffer).await?;
            if count == 0 {
                return Err(io::Error::other(format!("the body ended after {got} of {length} bytes")));
            }
            right = right && agrees(&self.buffer[..count], got);
            got += count;
        }
        self.seen.whole_us.push(due.elapsed().as_micros() as u32);
        self.seen.bytes += got as u64;
        self.seen.verified += u64::from(file.is_some());
        if right && got == length { Ok(()) } else { Err(io::Error::other("the body is not what it should be")) }
    }

    /// Whether the next answer is compared with its file.
    fn is_verified(&self) -> bool {
        !self.target.asked.gzip && (self.seen.whole_us.len() as u64).is_multiple_of(self.target.asked.verify.max(1))
    }

    async fn send(&mut self) -> io::Result<Sent> {
        let target = Rc::clone(&self.target);
        let asked = &target.asked;
        let which = self.below(asked.paths.len() as u64) as usize;
        let file_bytes = target.files[which].as_ref().map(Vec::len);
        let mut sent = Sent { which, first: 0, length: file_bytes.filter(|_| !asked.gzip) };
        let range = match asked.range_bytes {
            Some(bytes) => {
                let first = self.below((file_bytes.unwrap_or(0) as u64).saturating_sub(bytes) + 1);
                sent = Sent { first: first as usize, length: Some(bytes as usize), ..sent };
                format!("Range: bytes={first}-{}\r\n", first + bytes - 1)
            }
            None => String::new(),
        };
        let coding = if asked.gzip { "Accept-Encoding: gzip\r\n" } else { "" };
        let path: Cow<'_, str> = match asked.paths[which].split_once('{') {
            Some((before, after)) => {
                let number = self.below(asked.numbers);
                match after.strip_prefix("0}") {
                    Some(after) => format!("{before}{number:010}{after}").into(),
                    None => format!("{before}{number}{}", after.trim_start_matches('}')).into(),
                }
            }
            None => asked.paths[which].as_str().into(),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n{coding}{range}\r\n");
        self.wire.write_all(request.as_bytes()).await?;
        self.wire.flush().await?;
        Ok(sent)
    }

    /// Reads an answer's head; gives which part of the buffer has the beginning of the body, and how long that is.
    async fn head(&mut self, expected: Option<usize>) -> io::Result<(std::ops::Range<usize>, usize)> {
        let mut filled = 0;
        loop {
            let count = self.wire.read(&mut self.buffer[filled..]).await?;
            if count == 0 {
                return Err(io::Error::other("the server closed"));
            }
            filled += count;
            let Some(end) = self.buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.trim().parse().ok());
            let asked = &self.target.asked;
            let status = asked.status.unwrap_or(if asked.range_bytes.is_some() { 206 } else { 200 });
            return match length {
                Some(length) if head.starts_with(&format!("http/1.1 {status}")) && expected.is_none_or(|bytes| bytes == length) => {
                    Ok((end + 4..filled, length))
                }
                _ => Err(io::Error::other(format!("{}, length {length:?}", head.lines().next().unwrap_or_default()))),
            };
        }
    }

    /// A number below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound.max(1)
    }
}
