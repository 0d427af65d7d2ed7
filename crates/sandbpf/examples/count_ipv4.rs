//! Counts the IPv4 packets of a capture: `cargo run --example count_ipv4 -- tests/data/http.pcap`.

use sandbpf::{Packet, Program, SocketFilter};
use sandbpf_capture::Capture;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "tests/data/http.pcap".into());
    let file = std::fs::read(&path)?;
    // What `tcpdump -d ip` prints.
    let filter: Program<SocketFilter> = "
        (000) ldh      [12]
        (001) jeq      #0x800           jt 2	jf 3
        (002) ret      #262144
        (003) ret      #0
    "
    .parse()?;

    let mut runner = filter.runner();
    let mut capture = Capture::from_slice(&file)?;
    let (mut matched, mut total) = (0, 0);
    while let Some(packet) = capture.next_packet()? {
        total += 1;
        matched +=
            usize::from(runner.run(Packet::from(packet.data).with_wire_len(packet.wire_len))?.matched());
    }
    println!("{matched} of {total} packets are IPv4");
    Ok(())
}
