//! Clients of HTTP/2 that mean harm, frame by frame: each connection ends, memory stays flat, and others are answered.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

const PATIENCE: Duration = Duration::from_secs(60);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The fields of a `GET` (RFC 7541): method, scheme, authority, and a path that is not to be remembered.
fn get(path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x01, 1, b'h', 0x04, u8::try_from(path.len()).expect("short")];
    block.extend(path.bytes());
    block
}

fn request(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &get(path))
}

/// The streams of a client, in order.
fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

/// A client that has sent its preface and settings.
async fn begin(server: &Running, settings: &[u8]) -> TcpStream {
    let mut stream = server.connect().await;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, settings)].concat()).await.expect("sent");
    stream
}

/// Reads one frame: its kind, its stream and its payload; nothing at the end, however it comes.
async fn read_frame(stream: &mut TcpStream) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let [l0, l1, l2, kind, _, s0, s1, s2, s3] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((kind, u32::from_be_bytes([s0, s1, s2, s3]), payload))
}

/// Reads to the end, and gives the code that GOAWAY told, if any.
async fn farewell(stream: &mut TcpStream) -> Option<u32> {
    let reading = async {
        let mut code = None;
        while let Some((kind, _, payload)) = read_frame(stream).await {
            if kind == GOAWAY {
                code = Some(u32::from_be_bytes(payload[4..8].try_into().expect("four bytes")));
            }
        }
        code
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an end")
}

/// Sends `first`, then `again` and `again` until the server takes no more, reading nothing until then; so many times at most.
async fn flood(server: &Running, first: &[u8], mut again: impl FnMut(usize) -> Vec<u8>, most: usize) -> Option<u32> {
    let before = resident_bytes();
    let stream = begin(server, &[]).await;
    let (mut reader, mut writer) = stream.into_split();
    let reading = tokio::spawn(async move {
        // The server must not be stopped by what it has to say.
        let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(1..) = reader.read(&mut piece).await.inspect(|count| seen.extend_from_slice(&piece[..*count])) {}
        seen
    });
    let sending = async {
        writer.write_all(first).await?;
        for index in 0..most {
            writer.write_all(&again(index)).await?;
        }
        Ok::<_, io::Error>(())
    };
    let sent = tokio::time::timeout(PATIENCE, sending).await.expect("taken, or refused");
    server.answers_others().await;
    if sent.is_ok() {
        // All of it fitted into what the kernel holds.
        writer.shutdown().await.ok();
    }
    let seen = tokio::time::timeout(PATIENCE, reading).await.expect("an end").expect("no panic");
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < FLAT_BYTES, "{grown} bytes more");
    let mut rest = &seen[..];
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        if rest[3] == GOAWAY && rest.len() >= 17 {
            return Some(u32::from_be_bytes(rest[13..17].try_into().expect("four bytes")));
        }
        rest = rest.get(9 + length..).unwrap_or(&[]);
    }
    None
}

/// How the server's only hostile connection ended. A reset may overtake the reason.
fn assert_calmed(server: &Running, code: Option<u32>, name: &str) {
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{name}: {code:?}");
    let ended = server.ends(ConnectionEnd::Flood) + server.ends(ConnectionEnd::Failed);
    assert_eq!(ended, 1, "{name}: {code:?}");
}

#[tokio::test]
async fn an_honest_client_is_answered() {
    let server = run(CONFIG).await;
    let mut stream = begin(&server, &[]).await;
    for id in streams().take(1000) {
        stream.write_all(&request(id, "/")).await.expect("sent");
        loop {
            let (kind, on, payload) = read_frame(&mut stream).await.expect("a frame");
            if kind == DATA && on == id {
                assert_eq!(payload, b"HTTP/2.0");
                break;
            }
        }
    }
}

/// CVE-2023-44487, as fast as it can be sent.
#[tokio::test]
async fn requests_that_are_taken_back_at_once() {
    let server = run(CONFIG).await;
    let mut ids = streams();
    let pair = |id: u32| [request(id, "/slow"), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat();
    let code = flood(&server, &[], |_| ids.by_ref().take(100).flat_map(pair).collect(), 10_000).await;
    assert_calmed(&server, code, "resets");
}

/// The same, each only when the server has begun to work on it.
#[tokio::test]
async fn requests_that_are_taken_back_when_they_are_worked_on() {
    let server = run(CONFIG).await;
    let mut stream = begin(&server, &[]).await;
    let mut count = 0;
    for id in streams() {
        if stream.write_all(&request(id, "/slow")).await.is_err() {
            break;
        }
        tokio::select! {
            () = server.came.notified() => {}
            () = async { while server.ends(ConnectionEnd::Flood) == 0 { tokio::task::yield_now().await } } => break,
        }
        count += 1;
        assert!(count < 1000, "it goes on");
        if stream.write_all(&frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())).await.is_err() {
            break;
        }
    }
    assert!(count >= 200, "a viewer who seeks for a while is no flood: {count}");
    let code = farewell(&mut stream).await;
    assert!(code.is_none_or(|code| code == ENHANCE_YOUR_CALM), "{code:?}");
    server.answers_others().await;
    assert_eq!(server.ends(ConnectionEnd::Flood), 1);
}

#[tokio::test]
async fn heads_that_never_end() {
    for piece in [&[][..], &[0x00, 1, b'x', 1, b'y'], &[0x00; 1], &[b'z'; 16_000]] {
        let server = run(CONFIG).await;
        let first = frame(HEADERS, END_STREAM, 1, &get("/"));
        flood(&server, &first, |_| frame(CONTINUATION, 0, 1, piece).repeat(1 + 16_000 / (9 + piece.len())), 2000).await;
        assert_eq!(server.ends(ConnectionEnd::Flood) + server.ends(ConnectionEnd::Failed), 1, "{}", piece.len());
    }
}

/// A head that goes on byte by byte, and another whose end never comes.
#[tokio::test]
async fn heads_that_dawdle() {
    let server = run(Config { header_timeout: Duration::from_millis(200), ..CONFIG }).await;
    let mut silent = begin(&server, &[]).await;
    silent.write_all(&frame(HEADERS, END_STREAM, 1, &get("/"))).await.expect("sent");
    let mut slow = begin(&server, &[]).await;
    let bytes = frame(HEADERS, END_STREAM, 1, &[0x82; 10_000]);
    for byte in bytes {
        if slow.write_all(&[byte]).await.is_err() || server.ends(ConnectionEnd::HeadTimeout) == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    farewell(&mut silent).await;
    assert_eq!(server.ends(ConnectionEnd::HeadTimeout), 2);
    server.answers_others().await;
}

#[tokio::test]
async fn frames_that_ask_for_nothing() {
    let open = frame(HEADERS, END_HEADERS, 1, &get("/slow"));
    for (name, first, again) in [
        ("settings", vec![], frame(SETTINGS, 0, 0, &[])),
        ("settings with a value", vec![], frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("pings", vec![], frame(PING, 0, 0, &[7; 8])),
        ("priorities", open.clone(), frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ("windows", open.clone(), frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())),
        ("empty data", open.clone(), frame(DATA, 0, 1, &[])),
        ("unknown", vec![], frame(99, 0, 0, &[])),
    ] {
        let server = run(CONFIG).await;
        let code = flood(&server, &first, |_| again.repeat(100), 10_000).await;
        assert_calmed(&server, code, name);
    }
}

/// Four kilobytes that are sent once and then named thousands of times, a byte each.
#[tokio::test]
async fn heads_that_swell() {
    let server = run(CONFIG).await;
    let mut ids = streams();
    let first = ids.next().expect("a stream");
    // A literal that is to be remembered: its name, and a value of 3,900 bytes (RFC 7541 5.1: 127 and the rest in sevens).
    let mut block = get("/");
    block.extend([0x40, 1, b'x', 127, 0xbd, 0x1d]);
    block.extend([b'v'; 3900]);
    let first = frame(HEADERS, END_STREAM | END_HEADERS, first, &block);
    let swollen = [get("/"), vec![0xbe; 16_000]].concat();
    let code = flood(&server, &first, |_| frame(HEADERS, END_STREAM | END_HEADERS, ids.next().expect("a stream"), &swollen), 300).await;
    assert_eq!(server.ends(ConnectionEnd::Flood) + server.ends(ConnectionEnd::Failed), 1, "{code:?}");
}

/// Answers are asked for, and no room is given for them; pings keep the connection from idling.
#[tokio::test]
async fn windows_that_stay_shut() {
    let limits = Limits { send_rate_min: 10_000, ..Limits::USUAL };
    let server = run(Config { idle_timeout: Duration::from_millis(500), limits, ..CONFIG }).await;
    let before = resident_bytes();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut stream = begin(&server, &[0, 4, 0, 0, 0, 0]).await;
    for id in streams().take(100) {
        stream.write_all(&request(id, "/large")).await.expect("sent");
    }
    while stream.write_all(&frame(PING, 0, 0, &[7; 8])).await.is_ok() && server.ends(ConnectionEnd::SlowReader) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.ends(ConnectionEnd::SlowReader), 1);
    assert!(resident_bytes().saturating_sub(before) < FLAT_BYTES, "a hundred answers are one body");
    server.answers_others().await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_the_others_are_not() {
    let server = run(Config { limits: Limits { streams_max: 3, ..Limits::USUAL }, ..CONFIG }).await;
    let mut stream = begin(&server, &[]).await;
    // What is known of the limit is acknowledged first, as h2 holds clients to what they know.
    let (kind, _, _) = read_frame(&mut stream).await.expect("settings");
    assert_eq!(kind, SETTINGS);
    stream.write_all(&frame(SETTINGS, 1, 0, &[])).await.expect("sent");
    for id in streams().take(4) {
        stream.write_all(&request(id, "/slow")).await.expect("sent");
    }
    loop {
        let (kind, on, payload) = read_frame(&mut stream).await.expect("a frame");
        if kind == RST_STREAM {
            assert_eq!((on, payload), (7, REFUSED_STREAM.to_be_bytes().to_vec()));
            break;
        }
    }
    let mut answered = 0;
    while answered < 3 {
        server.go.notify_waiters();
        let (kind, _, _) = match tokio::time::timeout(Duration::from_millis(50), read_frame(&mut stream)).await {
            Ok(frame) => frame.expect("a frame"),
            Err(_) => continue,
        };
        answered += usize::from(kind == DATA);
    }
}
