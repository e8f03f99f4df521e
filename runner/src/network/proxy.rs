//! The proxy behind published ports: one thread for all connections.
//!
//! The listeners are sockets of the host and stay so wherever they are used. The thread enters the
//! container's network namespace, so that every socket it makes itself is one inside. So no packet
//! filter is touched, and a server that listens on the container's loopback only is reached too.
//!
//! Sockets are watched edge-triggered: each is watched once, and served until it would block.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::datagram::{Flows, loopback};
use super::listen::{Listener, Listeners, family_of, socket};
use super::port::Protocol;
use super::stream::{Progress, Stream};

/// What is read at once, in bytes; no datagram is longer.
const BUFFER: usize = 64 << 10;
/// How many connections one listener accepts before others have their turn.
const TURNS: usize = 64;
/// How often silent UDP clients are looked for.
const EXPIRY: Duration = Duration::from_secs(10);
/// How long after the container's end its last answers may still travel.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Why published ports cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The thread cannot be started.
    #[error("cannot start the thread that serves the published ports")]
    Thread(#[source] std::io::Error),
    /// A system call failed.
    #[error("cannot {action} for the published ports")]
    System {
        /// What was tried.
        action: &'static str,
        /// The kernel's answer.
        source: Errno,
    },
}

fn failed(action: &'static str) -> impl Fn(Errno) -> ProxyError {
    move |source| ProxyError::System { action, source }
}

/// The proxy while it runs; dropped, it ends.
#[derive(Debug)]
pub struct Proxy {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Serves `listeners` out of the network namespace `netns`, which the calling process may enter.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the kernel has no resources left.
    pub fn start(listeners: Listeners, netns: BorrowedFd<'_>) -> Result<Self, ProxyError> {
        raise_descriptor_limit();
        let netns = netns.try_clone_to_owned().map_err(ProxyError::Thread)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(failed("make an event"))?;
        let theirs = stop.try_clone().map_err(ProxyError::Thread)?;
        let (ready, entered) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("ports".into())
            .spawn(move || {
                let made =
                    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
                        .map_err(failed("enter the container's network"))
                        .and_then(|()| Loop::new(listeners.0, theirs));
                drop(netns);
                match made {
                    Ok(mut event_loop) => {
                        // The other end waits for it.
                        let _ = ready.send(Ok(()));
                        event_loop.run();
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(ProxyError::Thread)?;
        let proxy = Self {
            stop,
            thread: Some(thread),
        };
        match entered.recv() {
            Ok(result) => result.map(|()| proxy),
            Err(_) => Err(failed("enter the container's network")(Errno::IO)),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It cannot fail: the counter is far from full.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Two descriptors a connection: thousands need more than the usual 1024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it stays as it is, fewer connections are served at a time.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Whom an event is for, as a number beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Stop,
    Listener(usize),
    Stream(usize),
    Flow(u64),
}

impl Token {
    fn pack(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Token::Stop => 0,
            Token::Listener(index) => (index as u64) << 2 | 1,
            Token::Stream(index) => (index as u64) << 2 | 2,
            Token::Flow(number) => number << 2 | 3,
        })
    }

    fn unpack(data: epoll::EventData) -> Self {
        let data = data.u64();
        let index = (data >> 2) as usize;
        match data & 3 {
            0 => Token::Stop,
            1 => Token::Listener(index),
            2 => Token::Stream(index),
            _ => Token::Flow(data >> 2),
        }
    }
}

struct Loop {
    epoll: OwnedFd,
    listeners: Vec<Listener>,
    streams: Vec<Option<Stream>>,
    /// Places in `streams` that are free, once no event of this round can be meant for them.
    free: Vec<usize>,
    freed: Vec<usize>,
    flows: Flows,
    /// What has more to do than its turn allowed.
    ready: VecDeque<Token>,
    /// Listeners that found no descriptor left.
    starved: Vec<usize>,
    buffer: Vec<u8>,
    ends: Option<Instant>,
    _stop: OwnedFd,
}

impl Loop {
    fn new(listeners: Vec<Listener>, stop: OwnedFd) -> Result<Self, ProxyError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed("make an epoll"))?;
        let watched = || -> rustix::io::Result<()> {
            watch(&epoll, stop.as_fd(), Token::Stop)?;
            for (index, listener) in listeners.iter().enumerate() {
                watch(&epoll, listener.socket.as_fd(), Token::Listener(index))?;
            }
            Ok(())
        };
        watched().map_err(failed("watch sockets"))?;
        Ok(Self {
            epoll,
            listeners,
            streams: Vec::new(),
            free: Vec::new(),
            freed: Vec::new(),
            flows: Flows::default(),
            ready: VecDeque::new(),
            starved: Vec::new(),
            buffer: vec![0; BUFFER],
            ends: None,
            _stop: stop,
        })
    }

    fn run(&mut self) {
        let mut expiry = Instant::now() + EXPIRY;
        loop {
            if let Some(ends) = self.ends
                && (Instant::now() >= ends || self.streams.iter().all(Option::is_none))
            {
                return;
            }
            let mut events = Vec::with_capacity(256);
            let timeout = self.timeout();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            for event in &events {
                self.serve(Token::unpack(event.data));
            }
            // Those that become ready again meanwhile have their turn in the next round.
            for _ in 0..self.ready.len() {
                if let Some(token) = self.ready.pop_front() {
                    self.serve(token);
                }
            }
            if !self.freed.is_empty() {
                self.free.append(&mut self.freed);
                self.ready
                    .extend(self.starved.drain(..).map(Token::Listener));
            }
            if Instant::now() >= expiry {
                self.flows.expire();
                expiry = Instant::now() + EXPIRY;
            }
        }
    }

    /// How long to wait for events: for ever where nothing is to be done without one.
    fn timeout(&self) -> Option<Timespec> {
        let duration = match self.ends {
            _ if !self.ready.is_empty() => Duration::ZERO,
            Some(ends) => ends.saturating_duration_since(Instant::now()),
            None if self.flows.is_empty() => return None,
            None => EXPIRY,
        };
        Timespec::try_from(duration).ok()
    }

    fn serve(&mut self, token: Token) {
        match token {
            Token::Stop => self.stop(),
            Token::Listener(index) => self.listener(index),
            Token::Stream(index) => self.stream(index),
            Token::Flow(number) => {
                let (epoll, listeners) = (&self.epoll, &self.listeners);
                let outside = |index: usize| listeners.get(index).map(|l| l.socket.as_fd());
                let mut watch_flow =
                    |fd: BorrowedFd<'_>, number| watch(epoll, fd, Token::Flow(number));
                if self
                    .flows
                    .answers(number, outside, &mut self.buffer, &mut watch_flow)
                {
                    self.ready.push_back(token);
                }
            }
        }
    }

    /// No new connections; those that stand may take what the container has said already.
    fn stop(&mut self) {
        if self.ends.is_some() {
            return;
        }
        self.listeners.clear();
        self.starved.clear();
        self.ends = Some(Instant::now() + LAST_ANSWERS);
        // Whoever still waits for a connection inside waits in vain now.
        (0..self.streams.len()).for_each(|index| self.stream(index));
    }

    fn listener(&mut self, index: usize) {
        let Some(listener) = self.listeners.get(index) else {
            return;
        };
        let port = listener.port.container;
        if listener.port.protocol == Protocol::Udp {
            let epoll = &self.epoll;
            let mut watch_flow = |fd: BorrowedFd<'_>, number| watch(epoll, fd, Token::Flow(number));
            let outside = (index, listener.socket.as_fd());
            if self
                .flows
                .requests(outside, port, &mut self.buffer, &mut watch_flow)
            {
                self.ready.push_back(Token::Listener(index));
            }
            return;
        }
        for _ in 0..TURNS {
            let Some(listener) = self.listeners.get(index) else {
                return;
            };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let client = match rustix::net::accept_with(&listener.socket, flags) {
                Ok(client) => client,
                Err(Errno::AGAIN) => return,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    self.starved.push(index);
                    return;
                }
                // The one that wanted in has gone again.
                Err(_) => continue,
            };
            if !self.open(client, port) {
                self.starved.push(index);
                return;
            }
        }
        self.ready.push_back(Token::Listener(index));
    }

    /// Opens the connection inside for a client; false where there are no descriptors left.
    fn open(&mut self, client: OwnedFd, port: u16) -> bool {
        let server = match connect(port, false) {
            Ok(server) => server,
            Err(Errno::MFILE | Errno::NFILE) => {
                reset(&client);
                return false;
            }
            Err(_) => match connect(port, true) {
                Ok(server) => server,
                Err(_) => {
                    reset(&client);
                    return true;
                }
            },
        };
        let index = self.free.pop().unwrap_or_else(|| {
            self.streams.push(None);
            self.streams.len() - 1
        });
        let stream = Stream::new(client, server, port);
        let token = Token::Stream(index);
        let watched = watch(&self.epoll, stream.client.as_fd(), token)
            .and_then(|()| watch(&self.epoll, stream.server.as_fd(), token));
        if watched.is_err() {
            stream.reset();
            self.free.push(index);
            return true;
        }
        self.streams[index] = Some(stream);
        true
    }

    fn stream(&mut self, index: usize) {
        let Some(stream) = self.streams.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        if stream.connecting {
            match connected(&stream.server) {
                Ok(false) => return,
                Ok(true) => stream.connecting = false,
                Err(_) => return self.other_family(index),
            }
        }
        match stream.pump(&mut self.buffer) {
            Progress::Waits => {}
            Progress::Ready => self.ready.push_back(Token::Stream(index)),
            Progress::Over => self.close(index),
        }
    }

    /// A server that does not listen on 127.0.0.1 may on ::1; where it does not either, the client
    /// is told as it would be without a proxy.
    fn other_family(&mut self, index: usize) {
        let Some(stream) = self.streams.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let tried = sockopt::socket_domain(&stream.server);
        if tried == Ok(rustix::net::AddressFamily::INET)
            && let Ok(server) = connect(stream.port, true)
            && watch(&self.epoll, server.as_fd(), Token::Stream(index)).is_ok()
        {
            stream.server = server;
            return;
        }
        stream.reset();
        self.close(index);
    }

    fn close(&mut self, index: usize) {
        self.streams[index] = None;
        self.freed.push(index);
    }
}

fn watch(epoll: &OwnedFd, fd: BorrowedFd<'_>, token: Token) -> rustix::io::Result<()> {
    let flags = match token {
        Token::Stop => epoll::EventFlags::IN | epoll::EventFlags::ET,
        _ => epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET,
    } | epoll::EventFlags::RDHUP;
    epoll::add(epoll, fd, token.pack(), flags)
}

fn connect(port: u16, v6: bool) -> rustix::io::Result<OwnedFd> {
    let address = loopback(port, v6);
    let socket = socket(family_of(&address), Protocol::Tcp)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// Whether the connection that is being made stands.
fn connected(server: &OwnedFd) -> rustix::io::Result<bool> {
    sockopt::socket_error(server)??;
    match rustix::net::getpeername(server) {
        Ok(_) => Ok(true),
        Err(Errno::NOTCONN) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn reset(client: &OwnedFd) {
    // One that refuses is closed in the ordinary way.
    let _ = sockopt::set_socket_linger(client, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
