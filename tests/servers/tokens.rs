//! A token server for `docker-registry`: it gives who knows the password what is asked for, and everybody
//! else what is public.
//!
//! Source: the distribution project's token authentication, in both its forms (GET with a scope, and
//! OAuth 2).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::authority::Authority;
use super::{Reply, Request, Server, reply};

pub const USER: &str = "alice";
pub const PASSWORD: &str = "pa:ss wörd";
/// What is given for the password where a client asks for it.
pub const REFRESH: &str = "refresh-me";
const ISSUER: &str = "mkimg-test";
const SERVICE: &str = "registry";

/// A token server, until the test's process ends.
pub struct Tokens {
    pub server: Server,
    /// How long a token is good, in seconds.
    pub lifetime: Arc<AtomicU64>,
    bundle: PathBuf,
}

struct Signer {
    key: PathBuf,
    /// The certificate in the form that a token has it.
    certificate: String,
}

impl Tokens {
    /// One whose key lies in the directory. `public` repositories can be pulled by everybody.
    pub fn start(dir: &Path, public: &'static str) -> Self {
        let authority = Authority::new(dir);
        let pem = std::fs::read_to_string(authority.certificate()).unwrap();
        let base64 = pem.lines().filter(|line| !line.starts_with("-----"));
        let signer = Signer {
            key: authority.key(),
            certificate: base64.collect(),
        };
        let lifetime = Arc::new(AtomicU64::new(300));
        let seconds = Arc::clone(&lifetime);
        let server = Server::start(move |number, request| {
            let seconds = seconds.load(Ordering::Relaxed);
            give(&signer, number, request, seconds, public)
        });
        Self {
            server,
            lifetime,
            bundle: authority.certificate(),
        }
    }

    /// The `auth` of a registry that wants them.
    pub fn config(&self) -> String {
        format!(
            "auth:\n  token:\n    realm: {}\n    service: {SERVICE}\n    issuer: {ISSUER}\n    \
             rootcertbundle: {}\n",
            self.server.url("/token"),
            self.bundle.display()
        )
    }
}

fn give(signer: &Signer, number: usize, request: &Request, seconds: u64, public: &str) -> Reply {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let form = if request.method == "POST" {
        &body
    } else {
        query
    };
    let fields: Vec<(String, String)> = form
        .split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let all = |name: &str| {
        let values = fields.iter().filter(|(field, _)| field == name);
        values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let is = |name: &str, value: &str| all(name).iter().any(|found| found == value);
    let basic = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let known = match request.header("authorization") {
        Some(login) => login == basic,
        None => is("refresh_token", REFRESH) || is("username", USER) && is("password", PASSWORD),
    };
    let anonymous = request.method == "GET" && request.header("authorization").is_none();
    if !known && !anonymous {
        let refused = br#"{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}"#;
        return reply("401 Unauthorized", &[], refused);
    }
    let scopes = all("scope");
    let access = scopes.iter().flat_map(|scopes| scopes.split(' '));
    let access = access.filter_map(|scope| {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions: Vec<&str> = actions
            .split(',')
            .filter(|action| known || (name == public && *action == "pull"))
            .collect();
        Some(serde_json::json!({"type": kind, "name": name, "actions": actions}))
    });
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let claims = serde_json::json!({
        "iss": ISSUER, "sub": if known { USER } else { "" }, "aud": SERVICE,
        "exp": now + seconds, "nbf": now - 10, "iat": now, "jti": number.to_string(),
        "access": access.collect::<Vec<_>>(),
    });
    let token = signer.sign(&claims);
    let mut answer = serde_json::json!({
        "token": token, "access_token": token, "expires_in": seconds,
    });
    if is("offline_token", "true") || is("access_type", "offline") {
        answer["refresh_token"] = REFRESH.into();
    }
    let headers = ["Content-Type: application/json"];
    reply("200 OK", &headers, answer.to_string().as_bytes())
}

impl Signer {
    /// A JSON web token (RFC 7519), signed by RS256.
    fn sign(&self, claims: &serde_json::Value) -> String {
        let header = serde_json::json!({
            "typ": "JWT", "alg": "RS256", "x5c": [self.certificate],
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let mut openssl = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(&self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = openssl.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        let signature = openssl.wait_with_output().unwrap();
        assert!(signature.status.success());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.stdout))
    }
}

/// A value of a query or form.
fn decoded(value: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), value.bytes());
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}
