//! Bodies under watch, over real connections: what is counted as sent, and how answers end.

use std::convert::Infallible;
use std::io::IoSlice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use bytes::{Buf, Bytes};
use futures_util::stream;
use http::{Method, Request, Response, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::record::{Answered, Facts, Hold, Record};
use super::*;
use crate::delivery::{Body, BodyError, Class, Outcome, Told};

const BODY_BYTES: usize = 8 << 20;

fn logged(queue: &Arc<Queue>, body: Body) -> LoggedBody {
    let told = Told { route: None, class: Class::Other, outcome: Outcome::Whole, cache: None };
    let answered = Answered { status: http::StatusCode::OK, told, body_bytes: body.left_bytes(), ttfb_us: 0 };
    let (parts, ()) = Request::new(()).into_parts();
    let began = std::time::Instant::now();
    let facts = Facts { at_ms: 0, began, version: parts.version, peer: None, client: None, answered: Some(answered) };
    LoggedBody::logged(body, Hold::first(queue, facts, &parts))
}

fn line(receiver: &Receiver<Arc<Record>>) -> Option<Value> {
    let record = receiver.try_recv().ok()?;
    let mut text = Vec::new();
    let facts = record.facts().expect("a request");
    line::write(AccessFormat::Json, &record, facts, &line::cmcd(&record), &mut text);
    Some(serde_json::from_slice(&text).expect("JSON"))
}

fn end(receiver: &Receiver<Arc<Record>>) -> Option<(u64, String)> {
    let line = line(receiver)?;
    Some((line["bytes"].as_u64().expect("a number"), line["ended"].as_str().expect("a word").to_owned()))
}

/// A server whose one body is large, and its port.
async fn large(queue: &Arc<Queue>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (queue, bytes) = (Arc::clone(queue), Bytes::from(vec![7; BODY_BYTES]));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (queue, bytes) = (Arc::clone(&queue), bytes.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                // As delivery has it: no body for HEAD, and all of it in one piece otherwise.
                let bytes = if request.method() == Method::HEAD { Bytes::new() } else { bytes.clone() };
                let response = Response::new(logged(&queue, Body::whole(bytes)));
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    port
}

/// The next end of an answer.
async fn ended(receiver: &Receiver<Arc<Record>>) -> (u64, String) {
    for _ in 0..6000 {
        if let Some(end) = end(receiver) {
            return end;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the answer did not end");
}

fn queue(waiting_max: usize) -> (Arc<Queue>, Receiver<Arc<Record>>) {
    Queue::new(waiting_max, AccessMetrics::default())
}

#[tokio::test]
async fn a_body_under_watch_is_the_same_body() {
    let (queue, receiver) = queue(8);
    let bytes = Bytes::from(vec![1; 1000]);
    let mut body = logged(&queue, Body::joined([bytes.slice(..400), bytes.slice(400..)].map(Body::whole)));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(1000), false));
    let mut first = body.frame().await.expect("a frame").expect("bytes").into_data().expect("data");
    assert_eq!((first.chunk().as_ptr(), first.remaining()), (bytes.as_ptr(), 400));
    let mut slices = [IoSlice::new(&[]); 2];
    assert_eq!(first.chunks_vectored(&mut slices), 1);
    assert_eq!(slices[0].as_ptr(), bytes.as_ptr());
    let second = body.frame().await.expect("a frame").expect("bytes").into_data().expect("data");
    assert_eq!((second.chunk().as_ptr(), body.is_end_stream()), (bytes[400..].as_ptr(), true));
    first.advance(150);
    assert_eq!(first.copy_to_bytes(250).as_ptr(), bytes[150..].as_ptr());
    drop((first, body));
    assert_eq!(end(&receiver), None, "the second piece is on its way");
    drop(second);
    assert_eq!(end(&receiver), Some((400, "client-gone".to_owned())));
    assert!(logged(&queue, Body::default()).is_end_stream());
    assert_eq!(end(&receiver), Some((0, "complete".to_owned())));
    let broken = Body::streamed(Box::pin(stream::iter([Ok(bytes), Err(BodyError::Unreadable)])), 3000);
    assert!(logged(&queue, broken).collect().await.is_err());
    assert_eq!(end(&receiver).map(|(_, ended)| ended).as_deref(), Some("error"));
}

#[tokio::test]
async fn what_http_1_has_taken_is_counted() {
    let (queue, receiver) = queue(8);
    let port = large(&queue).await;
    let connect = async || {
        // The less the sockets take, the more is known of what was read.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 << 10).expect("a small buffer");
        socket.connect(([127, 0, 0, 1], port).into()).await.expect("a connection")
    };
    let mut whole = connect().await;
    whole.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    whole.read_to_end(&mut answer).await.expect("read");
    assert!(answer.len() > BODY_BYTES);
    assert_eq!(ended(&receiver).await, (BODY_BYTES as u64, "complete".to_owned()));

    let mut leaves = connect().await;
    leaves.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
    leaves.read_exact(&mut answer[..1 << 20]).await.expect("a part");
    assert_eq!(end(&receiver), None, "it is not at its end while the client reads");
    drop(leaves);
    let (bytes, how) = ended(&receiver).await;
    assert_eq!(how, "client-gone");
    assert!((900 << 10..BODY_BYTES as u64).contains(&bytes), "{bytes}");

    let mut head = connect().await;
    head.write_all(b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("sent");
    answer.clear();
    head.read_to_end(&mut answer).await.expect("read");
    assert_eq!(ended(&receiver).await, (0, "complete".to_owned()));
}

#[tokio::test]
async fn what_http_2_has_taken_is_counted() {
    let (queue, receiver) = queue(8);
    let port = large(&queue).await;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(65_535)
        .handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    let mut ask = async || {
        let mut request = Request::get("http://h/").body(Empty::<Bytes>::new()).expect("a request");
        *request.version_mut() = Version::HTTP_2;
        sender.send_request(request).await.expect("an answer")
    };
    let whole = ask().await.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(whole.len(), BODY_BYTES);
    assert_eq!(ended(&receiver).await, (BODY_BYTES as u64, "complete".to_owned()));
    let mut part = ask().await.into_body();
    let read = part.frame().await.expect("a frame").expect("bytes").into_data().expect("data").len();
    drop(part);
    let (bytes, how) = ended(&receiver).await;
    assert_eq!(how, "client-gone");
    assert!((read as u64..1 << 20).contains(&bytes), "{bytes} of which {read} were read");
}

#[test]
fn a_full_queue_loses_and_says_so() {
    let (queue, receiver) = queue(2);
    for _ in 0..5 {
        drop(logged(&queue, Body::default()));
    }
    assert_eq!((queue.lost(), receiver.try_iter().count()), (3, 2));
    queue.taken(2);
    drop(logged(&queue, Body::default()));
    assert_eq!((queue.lost(), receiver.try_iter().count()), (3, 1));
}

#[test]
fn written_records_are_used_again_and_nothing_of_them_stays() {
    let (queue, receiver) = queue(8);
    drop(logged(&queue, Body::whole(Bytes::from_static(b"abc"))));
    let mut written: Vec<Arc<Record>> = receiver.try_iter().collect();
    let first = Arc::as_ptr(&written[0]);
    queue.take_back(&mut written);
    assert!(written.is_empty());
    drop(logged(&queue, Body::default()));
    let mut written: Vec<Arc<Record>> = receiver.try_iter().collect();
    assert_eq!((Arc::as_ptr(&written[0]), written[0].sent_bytes(), written[0].ended().as_str()), (first, 0, "complete"));
    // What somebody still has is nobody's blank.
    let kept = Arc::clone(&written[0]);
    queue.take_back(&mut written);
    assert!(!Arc::ptr_eq(&queue.blank(), &kept) && queue.blank().facts().is_none());
    drop(kept);
    assert_eq!(Arc::strong_count(&queue), 1, "blank records do not keep their queue");
}

#[tokio::test]
async fn what_waited_is_written_before_the_end() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let config = AccessConfig { format: Some(AccessFormat::Json), path: Some(path.clone()), waiting_max: 1000 };
    let clock: Clock = Arc::new(|| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        784_111_777_000
    });
    let metrics = AccessMetrics::default();
    let log = AccessLog::start(&config, Vec::new(), clock, &metrics).expect("a log");
    let queue = Arc::clone(&log.settings.as_ref().expect("on").queue);
    for _ in 0..700 {
        drop(logged(&queue, Body::default()));
    }
    assert!(log.close(Duration::from_secs(60)).await);
    let text = std::fs::read_to_string(&path).expect("a log");
    assert_eq!((text.lines().count(), metrics.lines.get(), metrics.lost()), (700, 700, 0));
    assert_eq!(ASKED.load(Ordering::Relaxed), 0, "only losses need the time");
    let missing = AccessConfig { path: Some(folder.path().join("none/access.log")), ..config };
    assert!(AccessLog::start(&missing, Vec::new(), Arc::new(|| 0), &metrics).is_err());
}
