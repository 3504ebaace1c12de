//! Who this node is and whom it trusts: certificates, and TLS made of them.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConfig, Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, ServerConfig, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, RootCertStore};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::StartError;
use crate::desired::Sync;

pub(super) struct Credentials {
    pub(super) acceptor: TlsAcceptor,
    pub(super) connector: TlsConnector,
    names: Vec<(String, ServerName<'static>)>,
    cluster: u64,
}

impl Credentials {
    /// Reads the files and proves that the peers will accept them.
    pub(super) fn load(node: &str, config: &Sync) -> Result<Self, StartError> {
        let authorities = certificates(&config.ca)?;
        let chain = certificates(&config.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&config.key)
            .map_err(|error| StartError::File(config.key.clone(), error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for authority in &authorities {
            roots
                .add(authority.clone())
                .map_err(|error| StartError::File(config.ca.clone(), error.to_string()))?;
        }
        let (roots, provider) = (
            Arc::new(roots),
            Arc::new(rustls::crypto::ring::default_provider()),
        );
        prove_own(node, config, &chain, &roots, &provider)?;
        let server = server_config(&roots, &provider, &chain, key.clone_key());
        let client = client_config(&roots, &provider, &chain, key);
        let own_name = |name: &String| Ok((name.clone(), server_name(name)?));
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(
                server.map_err(|error| StartError::Tls(error.to_string()))?,
            )),
            connector: TlsConnector::from(Arc::new(
                client.map_err(|error| StartError::Tls(error.to_string()))?,
            )),
            names: config
                .peers
                .keys()
                .map(own_name)
                .collect::<Result<_, StartError>>()?,
            cluster: authorities
                .first()
                .map_or(0, |authority| sync::name_hash(authority)),
        })
    }

    /// The same for all nodes with the same CA.
    pub(super) fn cluster(&self) -> u64 {
        self.cluster
    }

    pub(super) fn server_name(&self, peer: &str) -> Option<ServerName<'static>> {
        self.names
            .iter()
            .find(|(name, _)| name == peer)
            .map(|(_, server_name)| server_name.clone())
    }

    /// The configured peer whose name the certificate carries. The chain has been verified before.
    pub(super) fn peer_of(&self, chain: Option<&[CertificateDer<'_>]>) -> Option<&str> {
        let certificate = ParsedCertificate::try_from(chain?.first()?).ok()?;
        let carried =
            |(_, name): &&(String, ServerName<'static>)| verify_server_name(&certificate, name).is_ok();
        self.names.iter().find(carried).map(|(name, _)| name.as_str())
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = read.map_err(|error| StartError::File(path.to_owned(), error.to_string()))?;
    if all.is_empty() {
        Err(StartError::Empty(path.to_owned()))
    } else {
        Ok(all)
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, StartError> {
    ServerName::try_from(name.to_owned()).map_err(|_| StartError::Name(name.to_owned()))
}

/// A certificate that every peer would refuse is better found at the start.
fn prove_own(
    node: &str,
    config: &Sync,
    chain: &[CertificateDer<'static>],
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<(), StartError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| StartError::File(config.ca.clone(), error.to_string()))?;
    let Some((own, rest)) = chain.split_first() else {
        return Err(StartError::Empty(config.certificate.clone()));
    };
    let verified = verifier.verify_server_cert(own, rest, &server_name(node)?, &[], UnixTime::now());
    verified.map(|_| ()).map_err(|error| StartError::Own {
        certificate: config.certificate.clone(),
        node: node.to_owned(),
        ca: config.ca.clone(),
        reason: explain_tls(&error, node),
    })
}

fn server_config(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.to_vec(), key)?;
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain.to_vec(), key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What an operator can do something about.
pub(super) fn explain(error: &std::io::Error, peer: &str) -> String {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    tls.map_or_else(|| error.to_string(), |tls| explain_tls(tls, peer))
}

fn explain_tls(error: &rustls::Error, name: &str) -> String {
    if let rustls::Error::InvalidCertificate(reason) = error {
        use CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
        return if matches!(reason, UnknownIssuer | BadSignature) {
            "the certificate is not signed by the CA of this cluster (sync.ca)".to_owned()
        } else if matches!(reason, NotValidForName | NotValidForNameContext { .. }) {
            format!("the certificate does not carry the name {name}")
        } else {
            format!("the certificate is refused: {reason}")
        };
    }
    if let rustls::Error::AlertReceived(alert) = error {
        let certificate = matches!(
            alert,
            AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::DecryptError
        );
        if certificate {
            return format!("the peer refuses the certificate of this node ({alert:?})");
        }
    }
    error.to_string()
}
