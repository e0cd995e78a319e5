//! One request for one page.

use std::pin::pin;

use futures_util::future::{Either, select};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls;
use crate::core::probe::Http;

/// The code that a page answers with.
pub(super) async fn get(stream: TcpStream, page: &Http) -> Result<u16, String> {
    let code = if page.tls {
        let stream =
            tls::connect(stream).await.map_err(|error| format!("no TLS on port {}: {error}", page.port))?;
        request(stream, page).await?
    } else {
        request(stream, page).await?
    };
    Ok(code.as_u16())
}

async fn request(stream: impl AsyncRead + AsyncWrite + Unpin, page: &Http) -> Result<StatusCode, String> {
    let failed = |error: hyper::Error| format!("port {} does not speak HTTP: {error}", page.port);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answer = pin!(sender.send_request(question(page)?));
    // The connection is over when its answer is here: what else the page says is of no interest.
    match select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => Ok(answer.map_err(failed)?.status()),
        Either::Right((ended, answer)) => {
            ended.map_err(failed)?;
            Ok(answer.await.map_err(failed)?.status())
        }
    }
}

fn question(page: &Http) -> Result<Request<Empty<&'static [u8]>>, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("the request cannot be made: {error}");
    let mut request = Request::get(&page.path).body(Empty::new()).map_err(|error| cannot(&error))?;
    let headers = request.headers_mut();
    headers.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("compose-operator-probe/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    for (name, value) in &page.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|error| cannot(&error))?;
        // Its value may be a credential: no word of it is repeated.
        let value = HeaderValue::from_str(value.expose())
            .map_err(|_| cannot(&format_args!("header {name} has a value that no header can have")))?;
        headers.insert(name, value);
    }
    Ok(request)
}
