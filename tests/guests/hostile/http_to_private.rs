//! Asks whatever must not be asked from here: metadata services, private networks, another port; in all spellings, and by redirects.

use sandbar_sdk::{Context, Error, NoInput, Tool, http};
use sandbar_test_guests::{Servers, ask_home, report};

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, context: &Context) -> Result<String, Error> {
    let servers = Servers::of(context)?;
    ask_home(&servers)?;
    let port = servers.shut.rsplit_once(':').map_or("", |(_, port)| port);
    let mut urls: Vec<String> = [
        "169.254.169.254/latest/meta-data/",
        "169.254.170.2/v2/credentials",
        "metadata.google.internal/computeMetadata/v1/",
        "[fd00:ec2::254]/latest/meta-data/",
        "[::ffff:169.254.169.254]/latest/meta-data/",
        "2852039166/latest/meta-data/",
        "0xa9.0xfe.0xa9.0xfe/latest/meta-data/",
        "10.0.0.1/",
        "192.168.0.1/",
        "[fe80::1]/",
    ]
    .iter()
    .map(|rest| format!("http://{rest}"))
    .collect();
    for host in [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        urls.push(format!("http://{host}:{port}/"));
    }
    let here = servers.home.trim_start_matches("http://");
    urls.push(format!("http://{here}@127.0.0.1:{port}/"));
    let redirects: Vec<String> = urls.iter().map(|url| format!("{}/to?{url}", servers.home)).collect();
    let attempts: Vec<(String, bool)> = urls
        .into_iter()
        .chain(redirects)
        .map(|url| {
            let through = http::Request::get(&url).timeout_ms(500).send().is_ok();
            (url, through)
        })
        .collect();
    report(&attempts)
}
