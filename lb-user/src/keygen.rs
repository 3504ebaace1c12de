//! Certificates of a cluster: one CA, and for each node a key and a certificate that carries the node's name.
//!
//! Nodes trust each other's certificates for the synchronisation alone. They do not expire, because the end of a
//! validity would take the redundancy away silently; a node is shut out by a new CA. Run again in the same directory, the
//! CA that is there signs the new nodes. Nothing is ever overwritten.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::ServerName;

const CA: &str = "ca";

/// Why no certificates were made.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0:?} cannot be the name of a node in a certificate: letters, digits, `-`, `_` and `.`")]
    Name(String),
    #[error("a node cannot be called `ca`: ca.crt and ca.key belong to the cluster")]
    Reserved,
    #[error("{0} is there already; remove it or choose another directory")]
    Exists(PathBuf),
    #[error("{there} is there without {missing}: no certificate can be signed")]
    HalfCa { there: PathBuf, missing: PathBuf },
    #[error("{path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path} is no usable CA: {error}")]
    Unusable { path: PathBuf, error: rcgen::Error },
    #[error("cannot make a certificate for {name}: {error}")]
    Certificate { name: String, error: rcgen::Error },
}

/// A name with its certificate and key, in PEM.
struct Made {
    name: String,
    certificate: String,
    key: String,
}

/// Writes one certificate and key for each of `nodes` into `directory`, and those of a new CA unless one is there.
pub fn run(directory: &Path, nodes: &[String]) -> Result<(), Failure> {
    for node in nodes {
        check_name(node)?;
        refuse_existing(directory, node)?;
    }
    let (issuer, ca) = issuer(directory)?;
    let mut all: Vec<Made> = ca.into_iter().collect();
    for node in nodes {
        all.push(node_certificate(node, &issuer)?);
    }
    fs::create_dir_all(directory).map_err(|error| file(directory, error))?;
    for made in &all {
        write_new(&directory.join(format!("{}.key", made.name)), &made.key, 0o600)?;
        write_new(
            &directory.join(format!("{}.crt", made.name)),
            &made.certificate,
            0o644,
        )?;
    }
    Ok(())
}

fn check_name(node: &str) -> Result<(), Failure> {
    let valid = matches!(ServerName::try_from(node), Ok(ServerName::DnsName(_)));
    if !valid {
        return Err(Failure::Name(node.to_owned()));
    }
    if node == CA {
        Err(Failure::Reserved)
    } else {
        Ok(())
    }
}

fn refuse_existing(directory: &Path, name: &str) -> Result<(), Failure> {
    let paths = ["key", "crt"].map(|kind| directory.join(format!("{name}.{kind}")));
    paths
        .into_iter()
        .find(|path| path.exists())
        .map_or(Ok(()), |path| Err(Failure::Exists(path)))
}

/// The CA of the directory, or a new one that is yet to be written.
fn issuer(directory: &Path) -> Result<(Issuer<'static, KeyPair>, Option<Made>), Failure> {
    let (certificate, key) = (directory.join("ca.crt"), directory.join("ca.key"));
    match (certificate.exists(), key.exists()) {
        (true, true) => existing_ca(&certificate, &key).map(|issuer| (issuer, None)),
        (true, false) => Err(Failure::HalfCa {
            there: certificate,
            missing: key,
        }),
        (false, true) => Err(Failure::HalfCa {
            there: key,
            missing: certificate,
        }),
        (false, false) => new_ca().map_err(|error| failed(CA, error)),
    }
}

fn existing_ca(certificate: &Path, key: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| file(path, error));
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |error| Failure::Unusable { path, error }
    };
    let pair = KeyPair::from_pem(&read(key)?).map_err(unusable(key))?;
    Issuer::from_ca_cert_pem(&read(certificate)?, pair).map_err(unusable(certificate))
}

fn new_ca() -> Result<(Issuer<'static, KeyPair>, Option<Made>), rcgen::Error> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = common_name("Baton cluster CA");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    let made = Made {
        name: CA.to_owned(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    };
    Ok((Issuer::new(parameters, key), Some(made)))
}

fn node_certificate(node: &str, issuer: &Issuer<'_, KeyPair>) -> Result<Made, Failure> {
    let make = || {
        let mut parameters = CertificateParams::new(vec![node.to_owned()])?;
        parameters.distinguished_name = common_name(node);
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, issuer)?;
        Ok(Made {
            name: node.to_owned(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    };
    make().map_err(|error| failed(node, error))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut open = OpenOptions::new();
    let opened = open.write(true).create_new(true).mode(mode).open(path);
    match opened.and_then(|mut opened| opened.write_all(text.as_bytes())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Exists(path.to_owned())),
        Err(error) => Err(file(path, error)),
    }
}

fn file(path: &Path, error: io::Error) -> Failure {
    Failure::File {
        path: path.to_owned(),
        error,
    }
}

fn failed(name: &str, error: rcgen::Error) -> Failure {
    Failure::Certificate {
        name: name.to_owned(),
        error,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn nodes(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn keys_are_private_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("certificates");
        run(&directory, &nodes(&["lb1", "lb2"])).unwrap();
        for (name, mode) in [
            ("ca.key", 0o600),
            ("lb1.key", 0o600),
            ("lb2.key", 0o600),
            ("ca.crt", 0o644),
        ] {
            let found = fs::metadata(directory.join(name)).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{name}");
        }
        let before = fs::read(directory.join("lb1.key")).unwrap();
        let refused = run(&directory, &nodes(&["lb3", "lb1"])).unwrap_err();
        assert!(matches!(refused, Failure::Exists(path) if path.ends_with("lb1.key")));
        assert_eq!(fs::read(directory.join("lb1.key")).unwrap(), before);
        assert!(!directory.join("lb3.key").exists(), "all or nothing");
    }

    #[test]
    fn a_node_that_comes_later_has_the_same_ca() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), &nodes(&["lb1"])).unwrap();
        let ca = fs::read(directory.path().join("ca.crt")).unwrap();
        run(directory.path(), &nodes(&["lb2"])).unwrap();
        assert_eq!(fs::read(directory.path().join("ca.crt")).unwrap(), ca);
        fs::remove_file(directory.path().join("ca.key")).unwrap();
        let refused = run(directory.path(), &nodes(&["lb3"])).unwrap_err();
        assert!(matches!(refused, Failure::HalfCa { .. }));
    }

    #[test]
    fn names_must_fit_a_certificate() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["", "two words", "10.0.0.1", "../lb1", "lb/1"] {
            let refused = run(directory.path(), &nodes(&[name])).unwrap_err();
            assert!(matches!(refused, Failure::Name(_)), "{name}");
        }
        assert!(matches!(
            run(directory.path(), &nodes(&["ca"])).unwrap_err(),
            Failure::Reserved
        ));
    }
}
