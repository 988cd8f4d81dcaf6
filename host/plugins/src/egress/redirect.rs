//! Where a response sends a request on to, by the rules of the web (RFC 9110, 15.4), but for what it may take along.

use http::header::LOCATION;
use http::{HeaderMap, Method};
use sandbar_protocol::policy::Target;
use url::Url;

use crate::egress::failure::Failure;
use crate::egress::headers::{for_another_host, without_body};
use crate::egress::request::Request;

/// The request that follows, if the response asks for one.
pub(super) fn next(
    request: &Request,
    target: &Target,
    status: u16,
    headers: &HeaderMap,
) -> Result<Option<Request>, Failure> {
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(LOCATION) else {
        return Ok(None);
    };
    let elsewhere = |why: &str| {
        Failure::BadResponse(format!(
            "the response redirects to an address that can't be used: {why}"
        ))
    };
    let location = location.to_str().map_err(|_| elsewhere("it isn't ASCII"))?;
    let from = Url::parse(&target.to_string()).map_err(|error| elsewhere(&error.to_string()))?;
    let url = from.join(location).map_err(|error| elsewhere(&error.to_string()))?;
    let to = Target::parse(url.as_str()).map_err(|why| elsewhere(&why))?;

    let mut following = request.clone();
    following.url = to.to_string();
    let becomes_get = match status {
        301 | 302 => request.method == Method::POST,
        303 => request.method != Method::HEAD,
        _ => false,
    };
    if becomes_get {
        following.method = Method::GET;
        following.body = bytes::Bytes::new();
        without_body(&mut following.headers);
    }
    if to.origin() != target.origin() {
        following.headers = for_another_host(&following.headers);
    }
    Ok(Some(following))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, status: u16, location: &str, expected: &str) {
        let target = Target::parse("https://a.example/deep/page?key=1").unwrap();
        let mut headers = HeaderMap::new();
        if !location.is_empty() {
            headers.insert(LOCATION, location.parse().unwrap());
        }
        let mut request = Request::new(method, target.to_string());
        request.body = "body".into();
        for (name, value) in [("authorization", "mine"), ("accept", "a/b"), ("content-type", "a/b")] {
            request.headers.insert(name, value.parse().unwrap());
        }
        let found = match next(&request, &target, status, &headers) {
            Ok(None) => "nowhere".to_owned(),
            Ok(Some(next)) => {
                let names: Vec<&str> = next.headers.keys().map(|name| name.as_str()).collect();
                format!("{} {} {} {}", next.method, next.url, names.join(","), next.body.len())
            }
            Err(failure) => failure.to_string(),
        };
        assert_eq!(found, expected, "{status} {location}");
    }

    #[test]
    fn redirects() {
        let (get, post) = (Method::GET, Method::POST);
        let all = "authorization,accept,content-type";
        check(get.clone(), 200, "/x", "nowhere");
        check(get.clone(), 304, "/x", "nowhere");
        check(get.clone(), 302, "", "nowhere");
        check(
            get.clone(),
            302,
            "other?a=b#part",
            &format!("GET https://a.example/deep/other?a=b {all} 4"),
        );
        check(
            post.clone(),
            301,
            "/x",
            "GET https://a.example/x authorization,accept 0",
        );
        check(
            post.clone(),
            302,
            "/x",
            "GET https://a.example/x authorization,accept 0",
        );
        check(Method::PUT, 302, "/x", &format!("PUT https://a.example/x {all} 4"));
        check(Method::PUT, 303, "/x", "GET https://a.example/x authorization,accept 0");
        check(Method::HEAD, 303, "/x", &format!("HEAD https://a.example/x {all} 4"));
        check(post.clone(), 307, "/x", &format!("POST https://a.example/x {all} 4"));
        check(
            post.clone(),
            308,
            "https://a.example:443/",
            &format!("POST https://a.example/ {all} 4"),
        );
        check(
            post.clone(),
            308,
            "https://b.example/",
            "POST https://b.example/ accept,content-type 4",
        );
        check(post, 303, "//b.example/", "GET https://b.example/ accept 0");
        check(
            get.clone(),
            308,
            "http://a.example/",
            "GET http://a.example/ accept,content-type 4",
        );
        check(
            get.clone(),
            308,
            "https://a.example:8443/",
            "GET https://a.example:8443/ accept,content-type 4",
        );
        let refused = "the response redirects to an address that can't be used: ";
        check(
            get.clone(),
            302,
            "file:///etc/passwd",
            &format!("{refused}the URL's scheme is another than `https` and `http`"),
        );
        check(
            get,
            302,
            "https://user@b.example/",
            &format!("{refused}the URL has a user name or a password before `@`, wanted none"),
        );
    }
}
