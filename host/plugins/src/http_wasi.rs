//! `wasi:http` for components that were written for it: the same way out by the same rules. Nothing of its own client is linked.
//!
//! A request is sent when its body is whole, and a response is given when it is whole: both are searched for secrets. Redirects are not
//! followed, as in all hosts of `wasi:http`; the plugin's next request is decided like every other.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView,
};

use crate::boundary::Boundary;
use crate::egress::{Caller, Failure, Held, Request, Response};
use crate::guest::GuestState;
use crate::limits::{CONNECT_TIME, MAX_HEADER_BYTES, MAX_REQUEST_BYTES, REQUEST_TIME};

/// What an instance has of the network.
pub(crate) struct HttpState {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    caller: Caller,
}

/// What follows a response: here nothing, since it is whole.
type After = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl HttpState {
    pub(crate) fn new(caller: Caller) -> Self {
        let mut context = WasiHttpCtx::new();
        // It counts what a header takes in memory, which is a multiple of its bytes.
        context.set_field_size_limit(MAX_HEADER_BYTES * 4);
        Self {
            context,
            hooks: Hooks { caller },
        }
    }

    pub(crate) fn caller(&mut self) -> &mut Caller {
        &mut self.hooks.caller
    }

    pub(crate) fn boundary(&self) -> &Boundary {
        &self.hooks.caller.boundary
    }

    pub(crate) fn view<'a>(&'a mut self, table: &'a mut wasmtime::component::ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table,
            ctx: &mut self.context,
        }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi_http()
    }
}

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    /// The host's own client sets it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _after: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, After), Error>> + Send> {
        let caller = self.caller.clone();
        let pass = caller.enter();
        Box::new(async move {
            let pass = pass.map_err(error)?;
            let body = read(request, options, caller.egress.hold());
            let response = caller.fetch(pass, body).await.map_err(error)?;
            let after: After = Box::new(async { Ok(()) });
            Ok((write(response)?, after))
        })
    }
}

async fn read(
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
    mut held: Held,
) -> Result<Request, Failure> {
    let (parts, mut body) = request.into_parts();
    let mut read = Request::new(parts.method, parts.uri.to_string());
    read.headers = parts.headers;
    read.redirects = 0;
    read.patience = options.map_or(REQUEST_TIME, |options| {
        let connect = options.connect_timeout.unwrap_or(CONNECT_TIME);
        let first_byte = options.first_byte_timeout.unwrap_or(REQUEST_TIME);
        connect.saturating_add(first_byte).max(Duration::from_millis(1))
    });
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::Invalid("the request's body was not finished".to_owned()))?;
        // Trailers have no place in a request that is sent whole.
        if let Ok(piece) = frame.into_data() {
            if whole.len() + piece.len() > MAX_REQUEST_BYTES {
                return Err(Failure::TooLarge(format!(
                    "the request's body has more than {MAX_REQUEST_BYTES} bytes"
                )));
            }
            held.grow(piece.len())?;
            whole.extend_from_slice(&piece);
        }
    }
    read.body = whole.freeze();
    Ok(read)
}

fn write(response: Response) -> Result<http::Response<WasiBody>, Error> {
    let held = response.held;
    // The body counts until the plugin has read it or dropped it.
    let counted = move |frame| {
        let _ = &held;
        frame
    };
    let body = Full::new(response.body)
        .map_frame(counted)
        .map_err(|never: std::convert::Infallible| match never {});
    let mut written = http::Response::new(body.boxed_unsync());
    *written.status_mut() = http::StatusCode::from_u16(response.status).map_err(|_| Error::HttpProtocolError)?;
    *written.headers_mut() = response.headers;
    Ok(written)
}

/// The codes of `wasi:http` for ours. They have no place for a text.
fn error(failure: Failure) -> Error {
    match failure {
        Failure::Denied => Error::HttpRequestDenied,
        Failure::Invalid(_) => Error::HttpRequestUriInvalid,
        Failure::TooLarge(text) if text.starts_with("the request") => Error::HttpRequestBodySize(None),
        Failure::TooLarge(_) => Error::HttpResponseBodySize(None),
        Failure::Timeout(_) => Error::HttpResponseTimeout,
        Failure::UnknownHost(_) => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        Failure::Unreachable(_) => Error::ConnectionRefused,
        Failure::Untrusted(_) => Error::TlsCertificateError,
        Failure::BadResponse(_) | Failure::TooManyRedirects(_) => Error::HttpProtocolError,
        Failure::TooManyRequests(_) => Error::ConnectionLimitReached,
        Failure::NotRecorded => Error::InternalError(Some(Failure::NotRecorded.to_string())),
    }
}
