// hyper with the routes of ../bulk.h, and hello at every other path; with --echo an echo over tokio's sockets.
// One thread, as every contender has. Next: ../../bulk.js.

use std::convert::Infallible;
use std::env;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CHUNK_BYTES: usize = 65536;
const CHUNKS: usize = 16;
const ECHO_BUFFER_BYTES: usize = 65536;

type Answer = Response<BoxBody<Bytes, Infallible>>;

// The payload in chunks, of which hyper learns one by one.
struct Chunks {
    payload: Bytes,
    next: usize,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let at = self.next * CHUNK_BYTES;
        if self.next == CHUNKS {
            return Poll::Ready(None);
        }
        self.next += 1;
        Poll::Ready(Some(Ok(Frame::data(self.payload.slice(at..at + CHUNK_BYTES)))))
    }
}

fn hash(bytes: &[u8], state: u32) -> u32 {
    bytes.iter().fold(state, |value, byte| (value ^ u32::from(*byte)).wrapping_mul(16777619))
}

fn whole(bytes: Bytes) -> Answer {
    Response::new(Full::new(bytes).boxed())
}

fn say(text: String) -> Answer {
    whole(Bytes::from(text))
}

async fn streamed(request: Request<Incoming>, hashing: bool) -> Result<Answer, hyper::Error> {
    let mut body = request.into_body();
    let (mut count, mut sum) = (0, 2166136261);
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            count += data.len();
            if hashing {
                sum = hash(data, sum);
            }
        }
    }
    Ok(say(if hashing { sum.to_string() } else { count.to_string() }))
}

async fn answer(request: Request<Incoming>, payload: Bytes) -> Result<Answer, hyper::Error> {
    match request.uri().path() {
        "/64k" => Ok(whole(payload.slice(..CHUNK_BYTES))),
        "/1m" => Ok(whole(payload)),
        "/stream" => Ok(Response::new(Chunks { payload, next: 0 }.boxed())),
        "/read" => Ok(say(request.into_body().collect().await?.to_bytes().len().to_string())),
        "/sum" => Ok(say(hash(&request.into_body().collect().await?.to_bytes(), 2166136261).to_string())),
        "/read-stream" => streamed(request, false).await,
        "/sum-stream" => streamed(request, true).await,
        _ => {
            let mut hello = whole(Bytes::from_static(b"Hello, World!"));
            let plain = hyper::header::HeaderValue::from_static("text/plain;charset=UTF-8");
            hello.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
            Ok(hello)
        }
    }
}

async fn echo(mut socket: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; ECHO_BUFFER_BYTES];
    loop {
        let count = socket.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        socket.write_all(&buffer[..count]).await?;
    }
}

fn option(name: &str) -> Option<String> {
    let args: Vec<String> = env::args().collect();
    args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1).cloned())
}

async fn serve(port: u16, payload: Option<Bytes>) -> std::io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("ready");
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        match payload.clone() {
            None => {
                tokio::spawn(echo(socket)); // an error: the client has gone
            }
            Some(bytes) => {
                let service = service_fn(move |request| answer(request, bytes.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        }
    }
}

fn main() -> std::io::Result<()> {
    let port = option("--port").and_then(|text| text.parse().ok()).expect("--port N is needed");
    let read = |path| Bytes::from(std::fs::read(path).expect("the payload cannot be read"));
    let echoes = env::args().any(|arg| arg == "--echo");
    let payload = (!echoes).then(|| option("--payload").map_or(Bytes::new(), read));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve(port, payload))
}
