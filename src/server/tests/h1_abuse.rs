//! Clients of HTTP/1 that mean harm or cannot do better: limits of addresses, heads, readers; others are answered meanwhile.

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// Reads to the end or to a reset.
async fn all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends bytes and the end of them, and reads what there is.
async fn told(server: &Running, bytes: &[u8]) -> String {
    let mut stream = server.connect().await;
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        let _ = writer.write_all(bytes).await;
        let _ = writer.shutdown().await;
    };
    let mut answer = Vec::new();
    let reading = async {
        let _ = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut answer)).await.expect("an end");
    };
    tokio::join!(sending, reading);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn heads_are_limited_and_pages_may_read_the_answer() {
    let head = HeadLimits { fields_max: 20, bytes_max: 4096, target_bytes_max: 1000 };
    let server = run(Config { limits: Limits { head, ..Limits::USUAL }, ..CONFIG }).await;
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let many: String = (0..20).map(|index| format!("x-{index}: y\r\n")).collect();
    for (request, status, refusal) in [
        (get(&format!("/{}", "a".repeat(1000)), ""), "414", Refusal::TargetTooLong),
        (get(&format!("/{}", "a".repeat(1 << 20)), ""), "414", Refusal::TargetTooLong),
        (get("/", &many), "431", Refusal::TooManyFields),
        (get("/", &format!("x: {}\r\n", "a".repeat(4096))), "431", Refusal::HeadTooLarge),
        (get("/", &format!("x: {}\r\n", "a".repeat(1 << 20))), "431", Refusal::HeadTooLarge),
        (get("/", "Transfer-Encoding: gzip, chunked\r\n"), "400", Refusal::TransferCoding),
        (get("/", "Host: h\r\n"), "400", Refusal::Host),
        (get("x:y", ""), "400", Refusal::Target),
    ] {
        let before = server.metrics.refusals("test", refusal);
        let answer = told(&server, request.as_bytes()).await;
        // What goes on past its limit may find the connection reset before the answer is read.
        if !(answer.is_empty() && request.len() > 1 << 20) {
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            for field in ["access-control-allow-origin: *", "connection: close", "cache-control: no-store"] {
                assert!(answer.contains(field), "{answer}");
            }
            assert!(answer.ends_with(".\n"), "{answer}");
        }
        assert_eq!(server.metrics.refusals("test", refusal), before + 1, "{refusal:?}");
    }
    // A pipeline is no head, however long it is.
    let answers = told(&server, &GET.repeat(1000)).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1000);
}

#[tokio::test]
async fn heads_that_dawdle_hold_nobody_up() {
    let server = run(Config { header_timeout: Duration::from_millis(300), connections_max: 1000, ..CONFIG }).await;
    let mut slow: Vec<TcpStream> = Vec::new();
    for _ in 0..500 {
        slow.push(server.connect().await);
    }
    for byte in b"GET / HTTP/1.1\r\nHost: h" {
        for stream in &mut slow {
            let _ = stream.write_all(&[*byte]).await;
        }
        server.answers_others().await;
    }
    for mut stream in slow {
        assert_eq!(all(&mut stream).await, "");
    }
    assert_eq!(server.ends(ConnectionEnd::HeadTimeout), 500);
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let limits = Limits { address_connections_max: 2, ..Limits::USUAL };
    let live = LiveConfig::from(Config { limits: limits.clone(), ..CONFIG });
    let listener = Listener::bind("test", "127.0.0.1:0".parse().expect("an address"), CONFIG.threads).expect("a port");
    let server = run_on(listener, live.clone());
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = server.connect().await;
        stream.write_all(GET).await.expect("sent");
        answer(&mut stream).await;
        open.push(stream);
    }
    let refused = all(&mut server.connect().await).await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("\r\nretry-after: "), "{refused}");
    assert_eq!(server.ends(ConnectionEnd::AddressRefused), 1);
    live.set(Config { limits: Limits { unlimited: vec!["127.0.0.0/8".parse().expect("a network")], ..limits }, ..CONFIG });
    server.answers_others().await;
}

#[tokio::test]
async fn an_address_has_so_many_requests_a_second() {
    let server = run(Config { limits: Limits { address_requests_max: 5, ..Limits::USUAL }, ..CONFIG }).await;
    let answers = told(&server, &GET.repeat(100)).await;
    let (taken, refused) = (answers.matches("HTTP/1.1 200").count(), answers.matches("HTTP/1.1 429").count());
    assert!((20..=40).contains(&taken) && taken + refused == 100, "{taken} {refused}");
    assert!(answers.contains("\r\nretry-after: 1\r\n") && answers.contains("\r\naccess-control-allow-origin: *\r\n"));
    assert_eq!(server.metrics.refusals("test", Refusal::TooOften), refused as u64);
}

fn slow_config() -> Config {
    Config { idle_timeout: Duration::from_millis(600), limits: Limits { send_rate_min: 200_000, ..Limits::USUAL }, ..CONFIG }
}

#[tokio::test]
async fn who_does_not_read_is_given_up() {
    let server = run(slow_config()).await;
    let before = resident_bytes();
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("sent");
        streams.push(stream);
    }
    while server.ends(ConnectionEnd::SlowReader) < 20 {
        server.answers_others().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(resident_bytes().saturating_sub(before) < FLAT_BYTES, "they hold one body");
}

/// Twice as fast as need be, in small bites, over many times as long as slowness is looked at.
#[tokio::test]
async fn who_reads_slowly_but_fast_enough_is_not() {
    let server = run(slow_config()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.expect("sent");
    let (mut taken, mut bite, began) = (0, vec![0; 20_000], tokio::time::Instant::now());
    loop {
        let count = stream.read(&mut bite).await.expect("bytes");
        taken += count;
        if count == 0 {
            break;
        }
        tokio::time::sleep_until(began + Duration::from_secs_f64(taken as f64 / 800_000.0)).await;
    }
    assert!(taken > LARGE_BYTES && began.elapsed() > Duration::from_secs(4));
    assert_eq!(server.ends(ConnectionEnd::SlowReader), 0);
}

/// Requests without end from a client that reads no answer.
#[tokio::test]
async fn a_pipeline_that_nobody_reads() {
    let server = run(slow_config()).await;
    let before = resident_bytes();
    let mut stream = server.connect().await;
    let requests = GET.repeat(1000);
    let sending = async { while stream.write_all(&requests).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, sending).await.expect("an end");
    assert_eq!(server.ends(ConnectionEnd::SlowReader), 1);
    assert!(resident_bytes().saturating_sub(before) < FLAT_BYTES);
    server.answers_others().await;
}

/// When nearly all places are taken, answers are the last of their connections, so that nobody holds a place idle.
#[tokio::test]
async fn in_a_crowd_nobody_stays() {
    let server = run(Config { connections_max: 64, ..CONFIG }).await;
    let mut open = Vec::new();
    for index in 0..64 {
        let mut stream = server.connect().await;
        stream.write_all(GET).await.expect("sent");
        let text = answer(&mut stream).await;
        assert_eq!(text.contains("\r\nconnection: close\r\n"), index >= 60, "{index}: {text}");
        open.push(stream);
        // A connection that ends has left its place.
        if index >= 60 {
            assert_eq!(all(&mut open.pop().expect("one")).await, "");
            open.push(server.connect().await);
        }
    }
}

#[tokio::test]
async fn bodies_that_nobody_takes() {
    let server = run(Config { limits: Limits { takes_bodies: false, ..Limits::USUAL }, ..CONFIG }).await;
    let get = |fields: &str, body: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}").into_bytes();
    let short = told(&server, &[get("Content-Length: 5\r\n", "hello"), GET.to_vec()].concat()).await;
    assert_eq!(short.matches("HTTP/1.1 200").count(), 2, "{short}");
    let before = resident_bytes();
    for (fields, body) in
        [("Content-Length: 100000000\r\n", "x".repeat(1 << 20)), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n".repeat(1 << 17))]
    {
        let answer = told(&server, &get(fields, &body)).await;
        // The answer may be overtaken by the reset that ends the sending.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    assert!(resident_bytes().saturating_sub(before) < FLAT_BYTES);
}
