//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 14.6), its heads written out between its parts.

use bytes::Bytes;

use super::Body;
use crate::cache::Object;
use crate::semantics::ByteRange;

/// The value of `Content-Type`, and the body.
///
/// The boundary is of the content hash: a body that had its own hash in it would have to be looked for for longer than the
/// universe lasts, and it is the same on every node.
pub(super) fn multipart(object: &Object, ranges: &[ByteRange], body: impl Fn(ByteRange) -> Body) -> (String, Body) {
    let hash = object.hash().to_string();
    let boundary = &hash[..32];
    let content_type = String::from_utf8_lossy(object.content_type.as_bytes());
    let length_bytes = object.length_bytes();
    let mut pieces = Vec::with_capacity(ranges.len() * 2 + 1);
    for (index, range) in ranges.iter().enumerate() {
        let (line, first, last) = (if index == 0 { "" } else { "\r\n" }, range.first(), range.last());
        let head =
            format!("{line}--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: bytes {first}-{last}/{length_bytes}\r\n\r\n");
        pieces.push(Body::whole(Bytes::from(head)));
        pieces.push(body(*range));
    }
    pieces.push(Body::whole(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    (format!("multipart/byteranges; boundary={boundary}"), Body::joined(pieces))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http_body_util::BodyExt;

    use super::*;
    use crate::semantics::{Selection, select};
    use crate::title::ContentHash;

    #[tokio::test]
    async fn the_form_of_the_standard() {
        let bytes = Bytes::from_static(b"0123456789abcdefghij");
        let object = Object::new(
            bytes.clone(),
            ContentHash::of(&bytes),
            0,
            HeaderValue::from_static("video/mp4"),
            HeaderValue::from_static("x"),
            true,
        );
        let Selection::Several(ranges) = select(b"bytes=10-12,0-0", 20) else { panic!("two ranges") };
        let slice = |range: ByteRange| Body::whole(bytes.slice(range.first() as usize..=range.last() as usize));
        let (content_type, body) = multipart(&object, &ranges, slice);
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary").to_owned();
        let length = body.left_bytes();
        let body = body.collect().await.expect("a body").to_bytes();
        assert_eq!(length, body.len() as u64);
        let expect = format!(
            "--{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes 10-12/20\r\n\r\nabc\r\n\
             --{boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-0/20\r\n\r\n0\r\n--{boundary}--\r\n"
        );
        assert_eq!(body, expect);
    }
}
