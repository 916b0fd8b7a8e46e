//! HTTP/1.1 as bytes: what was sent is exactly what a test says, so duplicate headers and smuggling can be tried.
//!
//! One connection a request. A broker that answers early and closes (413) is not an error here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A broker that has not answered by then has failed the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request, written out header by header.
#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    source: IpAddr,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("Host".to_owned(), "broker.example.com".to_owned())],
            body: Vec::new(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// `POST /oauth2/token` with form fields, percent-encoded.
    pub fn token(fields: &[(&str, &str)]) -> Request {
        Request::token_body(form(fields))
    }

    /// `POST /oauth2/token` with this form body as it stands.
    pub fn token_body(body: impl Into<Vec<u8>>) -> Request {
        let request = Request::new("POST", "/oauth2/token").body(body);
        request.header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// Adds a header; a name may come twice.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces a header, whatever the letter case of its name.
    pub fn replace_header(self, name: &str, value: &str) -> Request {
        self.without_header(name).header(name, value)
    }

    pub fn without_header(mut self, name: &str) -> Request {
        self.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// Sends to another method or target.
    pub fn to(mut self, method: &str, target: &str) -> Request {
        method.clone_into(&mut self.method);
        target.clone_into(&mut self.target);
        self
    }

    /// Sends from this address (all of 127.0.0.0/8 is this machine).
    pub fn from(mut self, source: IpAddr) -> Request {
        self.source = source;
        self
    }

    /// `Authorization: Basic` of this user and password, as they stand (form-encode them first if it matters).
    pub fn basic(self, user: &str, password: &str) -> Request {
        let pair = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{user}:{password}"));
        self.header("Authorization", &format!("Basic {pair}"))
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method != "GET" && self.method != "HEAD" {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        [head.as_bytes(), b"Connection: close\r\n\r\n", &self.body].concat()
    }

    /// Sends it over TCP.
    pub async fn send(&self, to: SocketAddr) -> Reply {
        Reply::parse(&raw_from(self.source, to, &self.bytes()).await)
    }

    /// Sends it over a Unix socket.
    pub async fn send_to_socket(&self, path: &std::path::Path) -> Reply {
        let stream = tokio::net::UnixStream::connect(path).await.expect("the admin socket accepts");
        Reply::parse(&converse(stream, &self.bytes()).await)
    }
}

/// `a=b&c=d`, percent-encoded.
pub fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Sends bytes on a fresh connection and gives everything that comes back until it is closed.
pub async fn raw(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    raw_from(IpAddr::V4(Ipv4Addr::LOCALHOST), to, bytes).await
}

async fn raw_from(source: IpAddr, to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(source, 0)).expect("a local address");
    let stream: TcpStream = socket.connect(to).await.expect("the broker accepts connections");
    converse(stream, bytes).await
}

/// Writes and reads at the same time: a server may refuse before it has read everything.
async fn converse(stream: impl AsyncRead + AsyncWrite, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        if writer.write_all(bytes).await.is_ok() {
            let _ = writer.flush().await;
        }
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut answer = Vec::new();
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(count) = reader.read(&mut chunk).await {
            if count == 0 {
                break;
            }
            answer.extend_from_slice(&chunk[..count]);
        }
        answer
    };
    let both = async {
        tokio::select! { answer = read => answer, () = write => Vec::new() }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("an answer within a minute")
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads the first answer in these bytes. No answer at all (the connection was just closed) is status 0.
    pub fn parse(bytes: &[u8]) -> Reply {
        let Some(head_length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Reply { status: 0, headers: Vec::new(), body: bytes.to_vec() };
        };
        let head = String::from_utf8_lossy(&bytes[..head_length]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: bytes[head_length + 4..].to_vec() };
        if reply.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            reply.body = dechunked(&reply.body);
        } else if let Some(length) = reply.header("content-length").and_then(|value| value.parse().ok()) {
            reply.body.truncate(length);
        }
        reply
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A member of the JSON body that is a string; empty when there is none.
    pub fn member(&self, name: &str) -> String {
        self.json().get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The OAuth error code; `-` when the body has none.
    pub fn oauth_error(&self) -> String {
        let code = self.member("error");
        if code.is_empty() { "-".to_owned() } else { code }
    }

    /// The `X-Trace-Id` header.
    pub fn trace_id(&self) -> &str {
        self.header("x-trace-id").unwrap_or_default()
    }

    /// The minted token.
    pub fn access_token(&self) -> String {
        assert_eq!(self.status, 200, "no token in {}", self.text());
        self.member("access_token")
    }

    /// What every answer to a failed authentication must share: status, headers without the ones that differ by
    /// nature, and the body without its trace id.
    pub fn without_what_differs(&self) -> String {
        let differs = |name: &str| matches!(name, "date" | "x-trace-id");
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| !differs(name))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        headers.sort();
        let mut body = self.json();
        if let Some(members) = body.as_object_mut() {
            members.insert("trace_id".to_owned(), "T".into());
        }
        format!("{}\n{}\n{body}", self.status, headers.join("\n"))
    }
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line_end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..line_end]).into_owned();
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).unwrap_or(0);
        let start = line_end + 2;
        if size == 0 || bytes.len() < start + size + 2 {
            break;
        }
        body.extend_from_slice(&bytes[start..start + size]);
        bytes = &bytes[start + size + 2..];
    }
    body
}
