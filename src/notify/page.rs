//! A page that is posted to.

use std::path::Path;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sha2::Sha256;

use crate::core::notice::Address;
use crate::secret::Secret;

/// The header with the signature of the body.
const SIGNATURE: &str = "x-operator-signature-256";

/// Who posts.
pub(super) const AGENT: &str = concat!("compose-operator/", env!("CARGO_PKG_VERSION"));

/// What stands in a file, without the line's end.
pub(super) fn secret_in(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Secret::new(text.trim()))
}

pub(super) fn address(address: &Address) -> Result<Secret, String> {
    match address {
        Address::Given(url) => Ok(Secret::new(url.as_str())),
        Address::File(path) => secret_in(path),
    }
}

/// Posts JSON.
pub(super) async fn post(url: &Secret, body: Vec<u8>, key: Option<&Secret>) -> Result<(), String> {
    let mut request =
        Request::post(url.expose()).header(CONTENT_TYPE, "application/json").header(USER_AGENT, AGENT);
    if let Some(key) = key {
        request = request.header(SIGNATURE, signature(key, &body)?);
    }
    // What is wrong with an address is not repeated: it may be a secret.
    let request =
        request.body(Full::new(Bytes::from(body))).map_err(|_| "its address cannot be read".to_owned())?;
    let status = send(request).await?.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answers {status}")) }
}

/// Sends a request. Redirections are not followed: what a page says must not lead elsewhere.
pub(super) async fn send(request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| format!("the system's certificates cannot be read: {error}"))?
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    client.request(request).await.map_err(|error| causes(&error))
}

/// The innermost cause says most, and no address.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    format!("it cannot be reached: {innermost}")
}

fn signature(key: &Secret, body: &[u8]) -> Result<String, String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .map_err(|error| format!("its key cannot be used: {error}"))?;
    mac.update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn a_signature_is_hmac_sha_256() {
        assert_eq!(
            signature(&Secret::new("Jefe"), b"what do ya want for nothing?").unwrap(),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
