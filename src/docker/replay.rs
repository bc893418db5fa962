//! An answer that was read already, as one that bollard can read: it takes no other body than a connection's.

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::error::{Error, Result};

/// Makes an answer of a status and a body, on a connection in memory that ends with it.
pub(super) async fn answer(status: StatusCode, body: &[u8]) -> Result<Response<Incoming>> {
    let failed =
        |error: &dyn std::fmt::Display| Error::internal("an answer cannot be handed on").detail(error.to_string());
    let head = format!("HTTP/1.1 {} \r\nContent-Length: {}\r\n\r\n", status.as_u16(), body.len());
    let bodiless = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let head = if bodiless { format!("HTTP/1.1 {} \r\n\r\n", status.as_u16()) } else { head };
    let whole = [head.as_bytes(), if bodiless { &[] } else { body }].concat();
    // It takes all of it at once, and nobody waits for anybody.
    let (near, mut far) = duplex(whole.len() + 4_096);
    let (mut sender, connection) =
        http1::handshake::<_, Empty<bytes::Bytes>>(TokioIo::new(near)).await.map_err(|error| failed(&error))?;
    tokio::spawn(async move {
        let answering = async {
            // An answer that is there before its request would be an error.
            far.read_u8().await?;
            far.write_all(&whole).await
        };
        tokio::join!(connection, answering).0.ok();
    });
    let request = Request::get("/").body(Empty::new()).map_err(|error| failed(&error))?;
    sender.send_request(request).await.map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_went_in_comes_out() {
        let long = vec![b'x'; 3 << 20];
        for (status, body) in [(200, &b""[..]), (201, b"{}"), (204, b""), (304, b""), (200, &long)] {
            let answer = answer(StatusCode::from_u16(status).unwrap(), body).await.unwrap();
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
        }
    }
}
