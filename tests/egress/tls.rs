//! HTTPS, as a user has it: the program, behind the kernel's wall, and the authorities that the environment names.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};

use super::fetching;
use crate::support::program::{Ended, sandbar};
use crate::support::script::{asks, says, text};
use crate::support::web::Web;
use crate::support::world::World;

/// A name that leads to this machine without anybody being asked.
const NAME: &str = "localhost";
const VALUE: &str = "s3cr3t-value-of-weather";

/// Signs the certificates of servers.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server whose certificate is for this name, and good until the beginning of this year.
    fn server(&self, name: &str, until: i32) -> Web {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Web::start_secure(NAME, config)
    }
}

/// A plugin with a secret for all these servers, and a model that asks it for these addresses.
fn world(servers: &[&Web], urls: &[String]) -> World {
    let rules = servers.iter().map(|server| {
        let url = text(&server.url("/"));
        match url.contains(NAME) {
            true => format!("{{ url = {url}, addresses = [\"127.0.0.0/8\", \"::1/128\"] }}"),
            false => url,
        }
    });
    let rules: Vec<String> = rules.collect();
    let secure = servers
        .iter()
        .map(|server| server.url(""))
        .filter(|url| url.starts_with("https"));
    let hosts: Vec<String> = secure.map(|url| text(&url)).collect();
    let arguments: Vec<String> = urls.iter().map(|url| json!({ "url": url }).to_string()).collect();
    let calls: Vec<(&str, &str)> = arguments
        .iter()
        .map(|input| ("fetcher__fetch", input.as_str()))
        .collect();
    fetching(&format!(
        "http = [{}]\nsecrets = [\"weather-key\"]\n\
         [secrets.weather-key]\nvalue = \"file:key.txt\"\nhosts = [{}]\nheader = \"x-key\"",
        rules.join(", "),
        hosts.join(", ")
    ))
    .agent_anew("plugins = [\"fetcher\"]")
    .file("key.txt", VALUE)
    .script(asks(&calls) + &says("done"))
}

/// Where this authority is the only one that is trusted. What became of each call: the status, or the code, the sentence and the hint of the error.
fn ends(world: &World, authority: &Authority) -> Vec<String> {
    std::fs::write(world.path("authority.pem"), authority.0.pem()).unwrap();
    let ended = sandbar(world.write_config(), &["run", "--json", "go"])
        .env("SSL_CERT_FILE", world.path("authority.pem"))
        .output()
        .unwrap();
    let ended = Ended::from(ended).expect(0);
    let lines = ended
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut finished: Vec<Value> = lines.filter(|event| event["type"] == "tool.finished").collect();
    finished.sort_by_key(|event| event["call_id"].as_str().unwrap().to_owned());
    let end = |event: &Value| match event["output"]["text"].as_str() {
        Some(text) => serde_json::from_str::<Value>(text).unwrap()["status"].to_string(),
        None => {
            let error = &event["error"];
            let part = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
            format!("{}: {} | {}", part("code"), part("message"), part("hint"))
        }
    };
    finished.iter().map(end).collect()
}

#[test]
fn only_servers_are_asked_that_this_machine_trusts() {
    let (known, stranger) = (Authority::new("known"), Authority::new("stranger"));
    let good = known.server(NAME, 4000);
    let unknown = stranger.server(NAME, 4000);
    let named = known.server("other.example", 4000);
    let expired = known.server(NAME, 2020);
    let servers = [&good, &unknown, &named, &expired];
    let urls = servers.map(|server| server.url("/echo"));
    let world = world(&servers, &urls);
    let hint = "whoever runs Sandbar can name a file with the certificates of further authorities in the variable `SSL_CERT_FILE`";
    let check = |authority: &Authority, expected: [&str; 4]| {
        let found = ends(&world, authority);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
            assert!(expected == "200" || found.contains(hint), "{found}");
        }
    };
    let nobody = "untrusted-server: the server isn't trusted: no authority that this machine knows has signed its certificate | ";
    let other = "untrusted-server: the server isn't trusted: its certificate is for another name | ";
    let late = "untrusted-server: the server isn't trusted: its certificate has expired | ";
    check(&known, ["200", nobody, other, late]);
    // Who isn't trusted was told nothing.
    let asked = servers.map(Web::asked);
    assert_eq!(asked.each_ref().map(Vec::len), [1, 0, 0, 0]);
    assert!(asked[0][0].contains(&format!("x-key: {VALUE}")), "{asked:?}");
    // It is the variable that makes the difference.
    check(&stranger, [nobody, "200", nobody, late]);
}

/// From `https` to `http` is a request of its own, which must be granted, and takes neither the secret along nor what a plugin wrote.
#[test]
fn a_way_back_to_plain_http_takes_no_secret_along() {
    let known = Authority::new("known");
    let (secure, plain, shut) = (known.server(NAME, 4000), Web::start(), Web::start());
    let to = |web: &Web| secure.url(&format!("/307?{}", web.url("/echo")));
    let world = world(&[&secure, &plain], &[to(&plain), to(&shut)]);
    let found = ends(&world, &known);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0], "200");
    assert!(found[1].starts_with("denied: "), "{found:#?}");
    let (first, then) = (secure.asked(), plain.asked());
    assert!(
        first.len() == 2 && first.iter().all(|asked| asked.contains(VALUE)),
        "{first:?}"
    );
    assert!(
        then.len() == 1 && !then[0].contains(VALUE) && !then[0].contains("x-key"),
        "{then:?}"
    );
    assert!(shut.asked().is_empty());
}
