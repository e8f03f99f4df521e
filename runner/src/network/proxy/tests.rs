//! Here the "container" is the network of the tests themselves: what is proven is the traffic.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

use super::super::port::PublishedPorts;
use super::*;

fn publish(spec: &str) -> (Proxy, std::net::SocketAddr) {
    let listeners = Listeners::bind(&spec.parse::<PublishedPorts>().unwrap().0).unwrap();
    let address = listeners.ports()[0].host;
    let netns = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    (Proxy::start(listeners, netns.as_fd()).unwrap(), address)
}

#[test]
fn bytes_go_both_ways_and_each_end_is_passed_on() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (_proxy, address) = publish(&format!("127.0.0.1::{port}"));
    let serving = thread::spawn(move || {
        let (mut connection, _) = server.accept().unwrap();
        let mut all = Vec::new();
        // Only the client's half-close ends this.
        connection.read_to_end(&mut all).unwrap();
        connection.write_all(&all).unwrap();
    });
    let sent: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut client = TcpStream::connect(address).unwrap();
    let mut writer = client.try_clone().unwrap();
    let bytes = sent.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    serving.join().unwrap();
    assert!(got == sent);
}

#[test]
fn a_receiver_that_takes_nothing_stops_its_sender() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (_proxy, address) = publish(&format!("127.0.0.1::{port}"));
    let mut client = TcpStream::connect(address).unwrap();
    let (_idle, _) = server.accept().unwrap();
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let block = vec![0; 1 << 20];
    let taken: usize = (0..256).map_while(|_| client.write(&block).ok()).sum();
    assert!(taken < 64 << 20, "{taken} bytes were taken for nobody");
}

#[test]
fn no_server_is_a_reset_and_one_on_ipv6_is_found() {
    let server = TcpListener::bind("[::1]:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (_proxy, address) = publish(&format!("127.0.0.1::{port}"));
    let mut client = TcpStream::connect(address).unwrap();
    let (mut connection, _) = server.accept().unwrap();
    connection.write_all(b"six").unwrap();
    drop(connection);
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "six");

    drop(server);
    let mut client = TcpStream::connect(address).unwrap();
    let error = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn thousands_of_connections_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (_proxy, address) = publish(&format!("127.0.0.1::{port}"));
    const MANY: usize = 2000;
    let serving = thread::spawn(move || {
        let mut all: Vec<TcpStream> = (0..MANY).map(|_| server.accept().unwrap().0).collect();
        for connection in &mut all {
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            connection.write_all(&byte).unwrap();
        }
    });
    let mut clients: Vec<TcpStream> = (0..MANY)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&[n as u8]).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, [n as u8]);
    }
    serving.join().unwrap();
}

#[test]
fn what_was_said_before_the_end_still_arrives() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (proxy, address) = publish(&format!("127.0.0.1::{port}"));
    let mut client = TcpStream::connect(address).unwrap();
    let (mut connection, _) = server.accept().unwrap();
    connection.write_all(b"last words").unwrap();
    drop(connection);
    drop(proxy);
    let mut got = String::new();
    client.read_to_string(&mut got).unwrap();
    assert_eq!(got, "last words");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn datagrams_are_answered_to_whom_they_came_from() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (_proxy, address) = publish(&format!("127.0.0.1::{port}/udp"));
    let serving = thread::spawn(move || {
        let mut buffer = [0; 65_536];
        for _ in 0..6 {
            let (got, from) = server.recv_from(&mut buffer).unwrap();
            server.send_to(&buffer[..got], from).unwrap();
        }
    });
    let clients: Vec<UdpSocket> = (0..3)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for round in 0..2_u8 {
        for (n, client) in clients.iter().enumerate() {
            let datagram = vec![n as u8 + 10 * round; 9000];
            client.send_to(&datagram, address).unwrap();
        }
        for (n, client) in clients.iter().enumerate() {
            let mut buffer = [0; 65_536];
            let (got, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((got, from), (9000, address));
            assert_eq!(buffer[0], n as u8 + 10 * round);
        }
    }
    serving.join().unwrap();
}

#[test]
fn a_udp_server_on_ipv6_is_found_by_the_second_datagram() {
    let server = UdpSocket::bind("[::1]:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let (_proxy, address) = publish(&format!("127.0.0.1::{port}/udp"));
    server
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut buffer = [0; 16];
    let arrived = (0..50).any(|_| {
        client.send_to(b"x", address).unwrap();
        thread::sleep(Duration::from_millis(20));
        server.set_nonblocking(true).unwrap();
        server.recv_from(&mut buffer).is_ok()
    });
    assert!(arrived);
}
