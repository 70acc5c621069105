//! The base of playback URLs: the configured public one, else made from the host that the client asked and the port of the
//! public listener.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

/// Where the two listeners are and what the public one is called.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    /// Base of absolute URLs without a slash at its end.
    pub(super) public_url: Option<String>,
    /// Bound address of the public listener.
    pub(super) public: SocketAddr,
    /// What is spoken there: `http` or `https`.
    pub(super) public_scheme: &'static str,
    /// Bound address of the admin listener.
    pub(super) admin: SocketAddr,
}

impl Addresses {
    /// The base of playback URLs for a client that asked for `asked`.
    pub(super) fn base(&self, scheme: &str, asked: &Authority) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        // A port that is not ours is that of something in front, which forwards both listeners or needs `public_url`.
        if asked.port_u16().unwrap_or(default_port(scheme)) != self.admin.port() {
            return format!("{scheme}://{asked}");
        }
        let host = self.reachable(asked.host());
        let (scheme, port) = (self.public_scheme, self.public.port());
        if port == default_port(scheme) { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
    }

    /// The host under which a client that reached the admin listener as `asked` reaches the public one.
    fn reachable(&self, asked: &str) -> String {
        let asked_ip = literal(asked);
        let public = self.public.ip();
        if public.is_unspecified() {
            // A listener on 0.0.0.0 cannot be reached at ::1.
            if public.is_ipv4() && asked_ip.is_some_and(|ip| ip.is_ipv6() && ip.is_loopback()) {
                return Ipv4Addr::LOCALHOST.to_string();
            }
            return asked.to_owned();
        }
        let elsewhere = match asked_ip {
            Some(ip) => ip != public,
            None => asked.eq_ignore_ascii_case("localhost") && !public.is_loopback(),
        };
        match public {
            _ if !elsewhere => asked.to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }
    }
}

/// The host and port that a request asks for: of its target if that is absolute, else of its one `Host` (RFC 9112 3.2.2).
pub(super) fn asked(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => {
            let mut hosts = headers.get_all(header::HOST).iter();
            let host = hosts.next().filter(|_| hosts.next().is_none())?;
            Authority::try_from(host.as_bytes()).ok()?
        }
    };
    // A user before the host, or a port beyond 65535, leaves a rest that is neither.
    let rest = authority.as_str().strip_prefix(authority.host())?;
    let fits = rest.is_empty() || rest == ":" || authority.port_u16().is_some();
    (!authority.host().is_empty() && fits).then_some(authority)
}

/// The address that a host is, if it is one rather than a name.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(ipv6) => ipv6.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// The port of a URL that names none.
pub(super) fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(public: &str, asked: &str) -> String {
        base_over("http", public, asked)
    }

    fn base_over(public_scheme: &'static str, public: &str, asked: &str) -> String {
        let addresses = Addresses {
            public_url: None,
            public: public.parse().expect("an address"),
            public_scheme,
            admin: "127.0.0.1:8081".parse().expect("an address"),
        };
        addresses.base("http", &asked.parse().expect("an authority"))
    }

    #[test]
    fn the_public_port_takes_the_place_of_the_admin_port() {
        for (public, asked, expect) in [
            ("0.0.0.0:8080", "127.0.0.1:8081", "http://127.0.0.1:8080"),
            ("0.0.0.0:8080", "localhost:8081", "http://localhost:8080"),
            ("0.0.0.0:8080", "media.local:8081", "http://media.local:8080"),
            ("0.0.0.0:80", "localhost:8081", "http://localhost"),
            ("0.0.0.0:40001", "localhost:8081", "http://localhost:40001"),
            ("[::]:8080", "[::1]:8081", "http://[::1]:8080"),
            ("0.0.0.0:8080", "[::1]:8081", "http://127.0.0.1:8080"),
            // A listener on one address is reached there and nowhere else.
            ("10.0.0.5:8080", "127.0.0.1:8081", "http://10.0.0.5:8080"),
            ("10.0.0.5:8080", "localhost:8081", "http://10.0.0.5:8080"),
            ("10.0.0.5:8080", "media.local:8081", "http://media.local:8080"),
            ("[2001:db8::5]:8080", "127.0.0.1:8081", "http://[2001:db8::5]:8080"),
            ("127.0.0.1:8080", "localhost:8081", "http://localhost:8080"),
            // Something stands in front: both are behind the one name it has.
            ("0.0.0.0:8080", "media.example.com", "http://media.example.com"),
            ("0.0.0.0:8080", "media.example.com:9000", "http://media.example.com:9000"),
        ] {
            assert_eq!(base(public, asked), expect, "{public} asked as {asked}");
        }
    }

    #[test]
    fn players_are_sent_to_where_tls_is() {
        for (public, asked, expect) in [
            ("0.0.0.0:8443", "media.local:8081", "https://media.local:8443"),
            ("0.0.0.0:443", "media.local:8081", "https://media.local"),
            ("0.0.0.0:80", "media.local:8081", "https://media.local:80"),
            // What stands in front was asked without.
            ("0.0.0.0:443", "media.example.com", "http://media.example.com"),
        ] {
            assert_eq!(base_over("https", public, asked), expect, "{public} asked as {asked}");
        }
    }

    #[test]
    fn the_configured_url_goes_first() {
        let addresses = Addresses {
            public_url: Some("https://media.example.com/films".into()),
            public: "0.0.0.0:8080".parse().expect("an address"),
            public_scheme: "http",
            admin: "127.0.0.1:8081".parse().expect("an address"),
        };
        assert_eq!(addresses.base("http", &"localhost:8081".parse().expect("an authority")), "https://media.example.com/films");
    }

    #[test]
    fn one_host_without_user_is_asked() {
        let uri = |text: &str| text.parse::<Uri>().expect("a target");
        let headers = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().expect("a value"));
            }
            headers
        };
        let show = |authority: Option<Authority>| authority.map(|authority| authority.to_string());
        assert_eq!(show(asked(&uri("/"), &headers(&["a:1"]))).as_deref(), Some("a:1"));
        assert_eq!(show(asked(&uri("http://b:2/"), &headers(&["a:1"]))).as_deref(), Some("b:2"));
        for hosts in [&[][..], &["a", "a"], &[""], &["u@a"], &["a b"], &["a:99999"], &["/"]] {
            assert_eq!(show(asked(&uri("/"), &headers(hosts))), None, "{hosts:?}");
        }
    }
}
