//! How rules are written, and what is wrong with those that can't be used.

use super::super::HttpRule;
use super::owned;

fn check(url: &str, methods: &[&str], addresses: &[&str], expected: &str) {
    let shown = match HttpRule::parse(url, &owned(methods), &owned(addresses)) {
        Ok(rule) => {
            assert_eq!(
                HttpRule::parse(&rule.url(), &rule.methods, &texts(&rule)).as_ref(),
                Ok(&rule)
            );
            rule.to_toml()
        }
        Err(why) => why,
    };
    assert_eq!(shown, expected);
}

fn texts(rule: &HttpRule) -> Vec<String> {
    rule.addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_are_written_in_one_way() {
    check("https://api.example.com", &[], &[], r#""https://api.example.com/""#);
    check(
        "HTTPS://API.example.com.:443/v1/",
        &["HEAD", "GET"],
        &[],
        r#""https://api.example.com/v1/""#,
    );
    check("http://127.0.0.1:8080/", &[], &[], r#""http://127.0.0.1:8080/""#);
    check("http://0x7f.1:8080/", &[], &[], r#""http://127.0.0.1:8080/""#);
    check("http://[0::1]:8080/", &[], &[], r#""http://[::1]:8080/""#);
    check("https://*.example.com", &[], &[], r#""https://*.example.com/""#);
    check(
        "https://**.bücher.example:8443/a",
        &[],
        &[],
        r#""https://**.xn--bcher-kva.example:8443/a""#,
    );
    check(
        "https://api.example.com/a/../b c".replace(' ', "%20").as_str(),
        &["POST", "GET", "POST"],
        &[],
        r#"{ url = "https://api.example.com/b%20c", methods = ["GET", "POST"] }"#,
    );
    check(
        "http://intranet.example.com/",
        &["PROPFIND"],
        &["10.0.0.0/8", "192.168.1.5", "fd00::/8"],
        r#"{ url = "http://intranet.example.com/", methods = ["PROPFIND"], addresses = ["10.0.0.0/8", "192.168.1.5/32", "fd00::/8"] }"#,
    );
    check(
        "http://intranet.example.com/",
        &[],
        &["10.0.0.0/8"],
        r#"{ url = "http://intranet.example.com/", addresses = ["10.0.0.0/8"] }"#,
    );
}

fn wrong(url: &str, why: &str) {
    check(
        url,
        &[],
        &[],
        &format!("the rule `{}` can't be used: {why}", url.escape_debug()),
    );
}

#[test]
fn what_is_wrong_with_a_host_is_told() {
    let every = "every host is too much, wanted the hosts by name, or those under one as in `https://*.example.com/`";
    wrong("https://*/", every);
    wrong("https://**", every);
    wrong("https://*:8080/", every);
    let stars =
        "`*` stands for whole labels at the beginning: wanted `*.example.com` for one, `**.example.com` for any number";
    wrong("https://api.*.com/", stars);
    wrong("https://api*.example.com/", stars);
    wrong("https://*api.example.com/", stars);
    wrong("https://*.*.example.com/", stars);
    wrong("https://***.example.com/", stars);
    let everybody = |url: &str, name: &str| {
        let wanted = "wanted one that belongs to somebody, as in `*.example.com`";
        wrong(url, &format!("everybody can have a name under `{name}`, {wanted}"));
    };
    everybody("https://*.com/", "com");
    everybody("https://**.com./", "com");
    everybody("https://**.localhost/", "localhost");
    everybody("https://*.co.uk/", "co.uk");
    everybody("https://*.GitHub.io/", "github.io");
    wrong(
        "https://*.127.0.0.1/",
        "`*` can't stand before an address, wanted a name after it",
    );
}

#[test]
fn what_is_wrong_with_a_url_is_told() {
    let scheme = "it has no scheme, wanted one as in `https://api.example.com/`";
    wrong("api.example.com", scheme);
    wrong("*", scheme);
    wrong(
        "ftp://example.com/",
        "the URL's scheme is another than `https` and `http`",
    );
    wrong(
        "https://",
        "the URL has no host, wanted one as in `https://api.example.com/`",
    );
    // It may be a password.
    check(
        "https://user@example.com/",
        &[],
        &[],
        "the rule `…@…` can't be used: the URL has a user name or a password before `@`, wanted none",
    );
    wrong("https://example.com:0/", "the URL has the port 0, wanted 1 to 65535");
    let query = "it has a query or a fragment; a path is the most that a rule can say";
    wrong("https://example.com/?a=b", query);
    wrong("https://example.com/#a", query);
    wrong(
        "https://example.com/v1/*",
        "a path can't contain `*`; it covers what is under it anyway",
    );
    wrong(
        "https://example.com/a%2f../b",
        "its path can be read in more than one way: write it without encoded dots, slashes and backslashes",
    );
    wrong(
        "https://example.com/\n",
        "the URL contains `\\n`, which has no place in one",
    );
}

#[test]
fn what_is_wrong_with_a_method_is_told() {
    let wrong = |method: &str, why: &str| {
        let expected = format!("the rule `https://a.example/` can't be used: {why}");
        check("https://a.example/", &[method], &[], &expected);
    };
    wrong("post", "methods are upper case: found `post`, wanted `POST`");
    let none = |method: &str, shown: &str| {
        let wanted = "wanted some of `GET`, `HEAD`, `POST`, `PUT`, `PATCH`, `DELETE` …";
        wrong(method, &format!("`{shown}` is no method, {wanted}"));
    };
    none("*", "*");
    none("", "");
    none("GET ", "GET ");
    none("POST\r\nX: y", "POST\\r\\nX: y");
    let never = |method: &str| {
        let why = "can't be granted: it opens a tunnel, or shows credentials to who sends it";
        wrong(method, &format!("the method `{method}` {why}"));
    };
    never("CONNECT");
    never("TRACE");
}

#[test]
fn what_is_wrong_with_an_address_is_told() {
    let wrong = |address: &str, why: &str| {
        let expected = format!("the rule `https://a.example/` can't be used: {why}");
        check("https://a.example/", &[], &[address], &expected);
    };
    let none = |address: &str| {
        let wanted = "wanted one as in `10.0.0.0/8` or `192.168.1.5`";
        wrong(address, &format!("`{address}` is no range of addresses, {wanted}"));
    };
    none("private");
    none("10.0.0.0/33");
    none("10.0.0/8");
    wrong(
        "10.1.2.3/8",
        "`10.1.2.3/8` has bits after its prefix, wanted `10.0.0.0/8`",
    );
    let all = |address: &str| {
        let why = "is every address there is, wanted the range where the host is";
        wrong(address, &format!("`{address}` {why}"));
    };
    all("0.0.0.0/0");
    all("::/0");
    wrong(
        "::ffff:10.0.0.0/104",
        "`::ffff:10.0.0.0/104` holds IPv4 addresses written as IPv6 ones, wanted them as in `10.0.0.0/8`",
    );
    check(
        "http://127.0.0.1/",
        &[],
        &["127.0.0.1"],
        "the rule `http://127.0.0.1/` can't be used: `addresses` is for names; an address in the URL is granted by itself",
    );
}
