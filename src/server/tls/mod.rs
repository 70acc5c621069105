//! TLS of a listener: its certificates, read again when their files change, and what a connection begins with.

mod certificates;
mod handshake;
mod stream;
#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderValue;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ProducesTickets;

pub use certificates::CertificateFiles;
use certificates::Certificates;
pub(super) use handshake::Protocol;
pub(super) use stream::SecureStream;

use super::Metrics;

const H2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// What the TLS of a listener is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificates; the first is for clients that ask for no name that any of them has.
    pub certificates: Vec<CertificateFiles>,
    /// Value of `Strict-Transport-Security` (RFC 6797) on every answer; absent: the field is not sent.
    pub strict_transport_security: Option<HeaderValue>,
}

/// Everything that is wrong with certificates and keys, a sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFaults(pub Vec<String>);

impl fmt::Display for TlsFaults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for TlsFaults {}

/// TLS 1.2 and 1.3 for a listener. What it is made of can be changed at any time; a connection keeps what it began with.
/// Clones are the same.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    current: RwLock<Secured>,
    provider: Arc<CryptoProvider>,
    /// Outlives certificates, so that sessions can be resumed after one was renewed.
    ticketer: Arc<dyn ProducesTickets>,
    metrics: Metrics,
}

/// What connections that begin now are made of.
#[derive(Clone, Debug)]
struct Secured {
    config: TlsConfig,
    rustls: Arc<ServerConfig>,
    stamps: watch::Stamps,
}

/// Certificates that were read and not taken yet.
#[derive(Debug)]
#[must_use = "nothing has changed yet"]
pub struct ReadTls(Secured);

impl Tls {
    /// TLS with these certificates.
    ///
    /// # Errors
    /// [`TlsFaults`] when any file cannot be read or used.
    pub fn new(config: TlsConfig, metrics: Metrics) -> Result<Self, TlsFaults> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let ticketer = aws_lc_rs::Ticketer::new().map_err(|error| TlsFaults(vec![format!("no keys for session tickets: {error}")]))?;
        let current = RwLock::new(secure(config, &provider, &ticketer)?);
        Ok(Self(Arc::new(Shared { current, provider, ticketer, metrics })))
    }

    /// Reads what `config` names, without changing anything. It waits for the file system.
    ///
    /// # Errors
    /// [`TlsFaults`] when any file cannot be read or used.
    pub fn read(&self, config: TlsConfig) -> Result<ReadTls, TlsFaults> {
        let read = secure(config, &self.0.provider, &self.0.ticketer).map(ReadTls);
        if read.is_err() {
            self.0.metrics.certificates_read(false);
        }
        read
    }

    /// Connections that begin from now on are made of this.
    pub fn take(&self, ReadTls(secured): ReadTls) {
        self.0.metrics.certificates_read(true);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = secured;
    }

    fn current(&self) -> Secured {
        // Every change is one assignment, so it is whole even after a panic.
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn secure(config: TlsConfig, provider: &Arc<CryptoProvider>, ticketer: &Arc<dyn ProducesTickets>) -> Result<Secured, TlsFaults> {
    // Before the files are read: what changes while they are is looked at again.
    let stamps = watch::Stamps::of(&config.certificates);
    let certificates = Certificates::read(&config.certificates, provider).map_err(TlsFaults)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFaults(vec![error.to_string()]))?;
    // The client's order of ciphers goes: it knows what its processor is quick at.
    let mut rustls = builder.with_no_client_auth().with_cert_resolver(Arc::new(certificates));
    rustls.alpn_protocols = vec![H2.to_vec(), HTTP_1.to_vec()];
    rustls.ticketer = Arc::clone(ticketer);
    Ok(Secured { config, rustls: Arc::new(rustls), stamps })
}
