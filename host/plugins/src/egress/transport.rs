//! One exchange with a server whose addresses are known.
//!
//! A connection for each request: what one plugin opened is never another's, and a connection never outlives the check of its address.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use reqwest::{Client, Proxy, Response, redirect, retry};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use sandbar_protocol::policy::{Host, Scheme, Target};

use crate::egress::failure::Failure;
use crate::egress::gate::Held;
use crate::egress::headers::check_size;
use crate::egress::inject::Outgoing;
use crate::limits::{CONNECT_TIME, MAX_RESPONSE_BYTES};

#[derive(Debug)]
pub(super) struct Transport {
    proxy: Option<Proxy>,
    /// Made when they are first needed: reading the system's certificates takes longer than a request on this machine.
    with_roots: OnceLock<Result<ClientConfig, Failure>>,
    without_roots: OnceLock<Result<ClientConfig, Failure>>,
}

/// What came back, as it came.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Transport {
    pub(super) fn new(proxy: Option<&str>) -> Result<Self, reqwest::Error> {
        Ok(Self {
            proxy: proxy.map(Proxy::all).transpose()?,
            with_roots: OnceLock::new(),
            without_roots: OnceLock::new(),
        })
    }

    /// Whether names are the proxy's to resolve.
    pub(super) fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    pub(super) async fn exchange(
        &self,
        target: &Target,
        addresses: &[IpAddr],
        outgoing: Outgoing,
        held: &mut Held,
    ) -> Result<Received, Failure> {
        let client = self.client(target, addresses)?;
        let is_head = outgoing.method == Method::HEAD;
        held.grow(outgoing.body.len())?;
        let sent = client
            .request(outgoing.method, outgoing.url)
            .headers(outgoing.headers)
            .body(outgoing.body)
            .send();
        let response = sent.await.map_err(not_sent)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        check_size("response", &headers)?;
        let body = if is_head {
            Bytes::new()
        } else {
            read_body(response, held).await?
        };
        Ok(Received { status, headers, body })
    }

    /// A client that knows no way but this one.
    fn client(&self, target: &Target, addresses: &[IpAddr]) -> Result<Client, Failure> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(self.tls(target.scheme)?)
            .user_agent(concat!("sandbar/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIME)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .pool_max_idle_per_host(0)
            .http1_only();
        builder = match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            // Otherwise it would look for one in the environment.
            None => builder.no_proxy(),
        };
        if let Host::Name(name) = &target.host {
            let addresses: Vec<SocketAddr> = addresses
                .iter()
                .map(|address| SocketAddr::new(*address, target.port))
                .collect();
            if !addresses.is_empty() {
                builder = builder.resolve_to_addrs(name, &addresses);
            }
        }
        builder
            .build()
            .map_err(|error| Failure::Unreachable(format!("no connection can be set up: {}", root_cause(&error))))
    }

    fn tls(&self, scheme: Scheme) -> Result<ClientConfig, Failure> {
        let made = match scheme {
            Scheme::Https => self.with_roots.get_or_init(|| tls_config(true)),
            Scheme::Http => self.without_roots.get_or_init(|| tls_config(false)),
        };
        made.clone()
    }
}

fn tls_config(secure: bool) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|tls| {
            if secure {
                return tls.with_platform_verifier();
            }
            Ok(tls.with_root_certificates(rustls::RootCertStore::empty()))
        });
    match tls {
        Ok(tls) => Ok(tls.with_no_client_auth()),
        Err(error) => {
            tracing::error!(%error, "no secure connection can be set up: is there a store of root certificates?");
            Err(Failure::Unreachable(
                "the host has no usable root certificates".to_owned(),
            ))
        }
    }
}

/// What a server says of the length is believed only where it is too much already.
async fn read_body(mut response: Response, held: &mut Held) -> Result<Bytes, Failure> {
    let too_large = || Failure::TooLarge(format!("the response has more than {MAX_RESPONSE_BYTES} bytes"));
    if response
        .content_length()
        .is_some_and(|length| length > MAX_RESPONSE_BYTES as u64)
    {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|error| cut_off(&error))? {
        if body.len() + piece.len() > MAX_RESPONSE_BYTES {
            return Err(too_large());
        }
        held.grow(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn cut_off(error: &reqwest::Error) -> Failure {
    Failure::BadResponse(format!("the response was cut off: {}", root_cause(error)))
}

fn not_sent(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let cause = root_cause(&error);
    let tls = causes(&error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    match (tls, error.is_connect(), error.is_timeout()) {
        (Some(tls), ..) => Failure::Untrusted(format!("the server isn't trusted: {}", untrusted(tls))),
        (None, true, true) => Failure::Unreachable(format!("no connection within {} s", CONNECT_TIME.as_secs())),
        (None, true, false) => Failure::Unreachable(format!("no connection: {cause}")),
        (None, false, _) => Failure::BadResponse(format!("no usable response: {cause}")),
    }
}

/// In the words of whoever has to mend it.
fn untrusted(error: &rustls::Error) -> String {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let why = match error {
        rustls::Error::InvalidCertificate(UnknownIssuer) => {
            "no authority that this machine knows has signed its certificate"
        }
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "its certificate is for another name"
        }
        rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => "its certificate has expired",
        rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "its certificate is not valid yet"
        }
        _ => return error.to_string(),
    };
    why.to_owned()
}

fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

/// An error and what caused it. An input-output error hides what it was made of, so that it is looked into.
fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match inner {
            Some(inner) => Some(inner as _),
            None => error.source(),
        }
    })
}
