//! Certificates and their keys: read from PEM files, and chosen by the name that a client asks for.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::Error;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Longest file that is read; a chain takes some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a certificate and its private key are, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and after it those that lead to the root.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// Certificates ready for use; the first is for clients that ask for no name, or for one that none is made for.
#[derive(Debug)]
pub(super) struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    /// Reads them all, or tells everything that is wrong with any of them, a sentence each.
    pub(super) fn read(files: &[CertificateFiles], provider: &CryptoProvider) -> Result<Self, Vec<String>> {
        let (mut keys, mut faults) = (Vec::new(), Vec::new());
        for pair in files {
            match read_pair(pair, provider) {
                Ok(key) => keys.push(Arc::new(key)),
                Err(fault) => faults.push(fault),
            }
        }
        if files.is_empty() {
            faults.push("there is no certificate".to_owned());
        }
        if faults.is_empty() { Ok(Self(keys)) } else { Err(faults) }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let schemes = hello.signature_schemes();
        // Two certificates may be of one name, with keys of different kinds, for clients that know only one of these.
        let usable = || self.0.iter().filter(|key| key.key.choose_scheme(schemes).is_some());
        let named = name.and_then(|name| usable().find(|key| is_for(key, &name)));
        named.or_else(|| usable().next()).cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = key.end_entity_cert().ok().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
    parsed.is_some_and(|certificate| verify_server_name(&certificate, name).is_ok())
}

fn read_pair(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let of_certificate = |fault: &dyn Display| format!("the certificate {} {fault}", files.certificate.display());
    let of_key = |fault: &dyn Display| format!("the key {} {fault}", files.key.display());

    let text = read(&files.certificate).map_err(|error| of_certificate(&format_args!("cannot be read: {error}")))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, pem::Error>>()
        .map_err(|error| of_certificate(&format_args!("is no PEM: {error}")))?;
    let first = chain.first().ok_or_else(|| of_certificate(&"has no PEM section CERTIFICATE"))?;
    ParsedCertificate::try_from(first).map_err(|error| of_certificate(&format_args!("is not one for a server: {error}")))?;

    let text = read(&files.key).map_err(|error| of_key(&format_args!("cannot be read: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => of_key(&"has no PEM section PRIVATE KEY that is not encrypted"),
        error => of_key(&format_args!("is no PEM: {error}")),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => of_key(&format_args!("does not belong to the certificate {}", files.certificate.display())),
        error => of_key(&format_args!("cannot be used: {error}")),
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB"));
    }
    Ok(bytes)
}
