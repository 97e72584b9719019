//! Which names this hub goes by, and whose pages may call it.
//!
//! A page of any site can make a browser send requests to 127.0.0.1, and by DNS rebinding
//! under its own name. The name in Host and the site in Origin tell those from ours.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};
use skep_protocol::{Code, Error};

/// The lists, in lower case.
#[derive(Debug)]
pub(crate) struct Hosts {
    hosts: Vec<String>,
    origins: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(hosts: &[String], origins: &[String]) -> Self {
        let lower =
            |list: &[String]| list.iter().map(|entry| entry.trim_end_matches('/').to_ascii_lowercase()).collect();
        Hosts { hosts: lower(hosts), origins: lower(origins) }
    }

    /// Checks the name by which the hub is addressed.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
        let mut named = headers.get_all(header::HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            _ => return Err(forbidden("expected one Host header".into())),
        };
        // A request line may name a host, too; both must be ours.
        for host in [Some(host), uri.authority().map(|authority| authority.as_str())].into_iter().flatten() {
            if !self.is_ours(host) {
                let text = format!(
                    "host {host:?} is not a name of this hub; use 127.0.0.1 or localhost, or add it to allowed_hosts"
                );
                return Err(forbidden(text));
            }
        }
        Ok(())
    }

    /// Checks the site whose page sent this, if a page did.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Error> {
        for origin in headers.get_all(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
            if !self.origins.contains(&origin) {
                let text =
                    format!("pages of {origin:?} may not call this hub; add it to allowed_origins if they shall");
                return Err(forbidden(text));
            }
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let Some(name) = name_of(&host) else { return false };
        name == "localhost"
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || self.hosts.iter().any(|allowed| *allowed == host || allowed == name)
    }
}

/// The name or address of `name`, `name:port`, `[address]` or `[address]:port`.
fn name_of(host: &str) -> Option<&str> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(address) => address.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => port,
        None if rest.is_empty() => "0",
        None => return None,
    };
    (!name.is_empty() && port.parse::<u16>().is_ok()).then_some(name)
}

fn forbidden(text: String) -> Error {
    Error::new(Code::Forbidden, text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn hosts() -> Hosts {
        Hosts::new(&["Hub.example".into(), "other.example:80".into()], &["https://dash.example/".into()])
    }

    #[test]
    fn loopback_and_the_allowed_names_are_ours_on_any_port() {
        for (host, ours) in [
            ("127.0.0.1", true),
            ("127.0.0.1:7537", true),
            ("localhost:80", true),
            ("LOCALHOST", true),
            ("[::1]:7537", true),
            ("[::1]", true),
            ("hub.example:9", true),
            ("other.example:80", true),
            ("other.example", false),
            ("evil.example", false),
            ("evil.example:7537", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1", false),
            ("localhost:x", false),
            ("localhost:80:80", false),
            ("user@localhost", false),
            ("[::1", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).unwrap())]);
            assert_eq!(hosts().check_host(&Uri::from_static("/"), &headers).is_ok(), ours, "{host}");
        }
    }

    #[test]
    fn no_host_two_hosts_or_a_foreign_request_line_are_refused() {
        let ours = HeaderValue::from_static("localhost");
        let mut headers = HeaderMap::new();
        assert!(hosts().check_host(&Uri::from_static("/"), &headers).is_err());
        headers.append(header::HOST, ours.clone());
        assert!(hosts().check_host(&Uri::from_static("http://evil.example/"), &headers).is_err());
        headers.append(header::HOST, ours);
        assert!(hosts().check_host(&Uri::from_static("/"), &headers).is_err());
    }

    #[test]
    fn only_pages_of_allowed_origins_may_call() {
        for (origin, allowed) in [
            ("https://dash.example", true),
            ("HTTPS://Dash.example", true),
            ("http://dash.example", false),
            ("http://localhost:7537", false),
            ("null", false),
        ] {
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            assert_eq!(hosts().check_origin(&headers).is_ok(), allowed, "{origin}");
        }
        assert!(hosts().check_origin(&HeaderMap::new()).is_ok());
    }
}
