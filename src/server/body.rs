//! What requests bring along: read part by part, and never kept.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::header::{EXPECT, HeaderMap};
use tokio::time::timeout;

/// So much of a body is still taken in when the answer is known, so that its sender, who may read only when all is sent, gets
/// to hear it.
const HEARD_OUT: u64 = 64 << 10;

/// And for so long.
const HEARD_OUT_WITHIN: Duration = Duration::from_secs(1);

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is longer than it may be.
    TooLarge,
    /// Its sender is gone.
    Gone,
}

/// Reads a body, up to so many bytes.
pub(super) async fn read<B>(body: &mut B, most: u64, mut take: impl FnMut(&[u8])) -> Result<(), Broken>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Broken::Gone) };
        let Some(part) = frame.data_ref() else { continue };
        length += part.len() as u64;
        if length > most {
            return Err(Broken::TooLarge);
        }
        take(part);
    }
    Ok(())
}

/// Takes in what is left of a body that nobody needs. Who asks before sending it is not asked to.
pub(super) async fn hear_out<B>(headers: &HeaderMap, body: &mut B)
where
    B: Body<Data = Bytes> + Unpin,
{
    if !body.is_end_stream() && !headers.contains_key(EXPECT) {
        let _ = timeout(HEARD_OUT_WITHIN, read(body, HEARD_OUT, |_| ())).await;
    }
}
