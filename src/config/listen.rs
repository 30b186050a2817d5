//! Which addresses are bound, from `SERVER_*` or from the original's `REST_SERVER_*` and `GRPC_SERVER_*`.
//!
//! The original had two servers, here there is one: each of the addresses speaks everything. The strongest
//! layer in which any of the six names stands says which of the two ways counts; where `SERVER_*` stands in a
//! layer, the original's names in that layer do not.

use std::net::{IpAddr, SocketAddr};

use super::{
    layers::{Layer, Layers},
    reader::Reader,
    value,
};

const ONE: [&str; 2] = ["SERVER_ADDRESS", "SERVER_PORT"];
const REST: [&str; 2] = ["REST_SERVER_ADDRESS", "REST_SERVER_PORT"];
const GRPC: [&str; 2] = ["GRPC_SERVER_ADDRESS", "GRPC_SERVER_PORT"];

/// Returns each distinct address once, and tells of names that do not count.
pub(super) fn listen(reader: &mut Reader<'_>, notes: &mut Vec<String>) -> Vec<SocketAddr> {
    let layers = reader.layers;
    let one = SocketAddr::new(reader.required(ONE[0], value::address), reader.required(ONE[1], value::port));
    // Parsed wherever they stand: a mistake is told even where it does not count.
    let halves = [REST, GRPC].map(|[address, port]| {
        (reader.optional(address, value::address), reader.optional(port, value::port))
    });
    for layer in layers.iter().filter(|layer| stands(layer, &ONE)) {
        for name in [REST, GRPC].as_flattened().iter().filter(|name| layer.get(name).is_some()) {
            notes.push(format!(
                "{name} in {} does not count, since SERVER_ADDRESS or SERVER_PORT stands there",
                layer.origin
            ));
        }
    }
    if counts_one(layers) {
        return vec![one];
    }
    let mut listen = Vec::new();
    for (names, (address, port)) in [REST, GRPC].iter().zip(halves) {
        let [has_address, has_port] = names.map(|name| counting(layers, name));
        if !has_address && !has_port {
            continue;
        }
        let address = address.filter(|_| has_address).unwrap_or(one.ip());
        let port = port.filter(|_| has_port).unwrap_or(one.port());
        let address = SocketAddr::new(address, port);
        if !listen.contains(&address) {
            listen.push(address);
        }
    }
    listen
}

/// Returns the address of the figures alone, which is none of those where everything is served.
pub(super) fn metrics(reader: &mut Reader<'_>, listen: &[SocketAddr]) -> Option<SocketAddr> {
    reader.optional("METRICS_ADDRESS", |text| {
        let address = value::socket_address(text)?;
        match listen.iter().find(|served| overlap(**served, address)) {
            Some(served) => Err(format!(
                "`{text}` is taken by {served}, where everything else is served; write another port, or unset it to serve \
                 the figures there"
            )),
            None => Ok(address),
        }
    })
}

/// Says whether two addresses cannot both be bound. `::` takes IPv4 as well.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let takes = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || takes(one.ip(), other.ip()) || takes(other.ip(), one.ip()))
}

fn stands(layer: &Layer, names: &[&str]) -> bool {
    names.iter().any(|name| layer.get(name).is_some())
}

/// Says whether `SERVER_*` stands in a layer at least as strong as any of the original's names.
fn counts_one(layers: &Layers) -> bool {
    let strongest = layers.iter().find(|layer| [ONE, REST, GRPC].iter().any(|names| stands(layer, names)));
    strongest.is_none_or(|layer| stands(layer, &ONE))
}

/// Says whether one of the original's names stands in a layer where it counts.
fn counting(layers: &Layers, name: &str) -> bool {
    layers.iter().find(|layer| layer.get(name).is_some()).is_some_and(|layer| !stands(layer, &ONE))
}
