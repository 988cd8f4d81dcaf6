//! Connects, listens, and looks up names.

use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use sandbar_sdk::{Context, Error, NoInput, Tool};
use sandbar_test_guests::report;

sandbar_sdk::tool_plugin!(tools);

fn tools() -> Vec<Tool> {
    vec![Tool::new("attack", attack)]
}

fn attack(_: NoInput, _: &Context) -> Result<String, Error> {
    let attempts = [
        ("connect", TcpStream::connect("127.0.0.1:9").is_ok()),
        ("connect to metadata", TcpStream::connect("169.254.169.254:80").is_ok()),
        ("connect over IPv6", TcpStream::connect("[::1]:9").is_ok()),
        ("listen", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("send", UdpSocket::bind("127.0.0.1:0").is_ok()),
        (
            "look up",
            ("localhost", 80)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.next().is_some()),
        ),
    ];
    report(&attempts.map(|(name, well)| (name.to_owned(), well)))
}
