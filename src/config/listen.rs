//! Which addresses to bind, from `SERVER_*` or from the original's `REST_SERVER_*` and `GRPC_SERVER_*`.
//!
//! The original had two servers. Here there is one, and each address serves every protocol. The layer with the highest
//! precedence that sets any of the six names decides which of the two ways applies. If that layer sets `SERVER_*`, its
//! other names are ignored.

use std::net::{IpAddr, SocketAddr};

use super::{
    reader::Reader,
    sources::{Layer, Layers},
    value,
};

const SERVER: [&str; 2] = ["SERVER_ADDRESS", "SERVER_PORT"];
const REST: [&str; 2] = ["REST_SERVER_ADDRESS", "REST_SERVER_PORT"];
const GRPC: [&str; 2] = ["GRPC_SERVER_ADDRESS", "GRPC_SERVER_PORT"];

/// Returns each distinct address once. Adds a note for each name that is ignored.
pub(super) fn listen(reader: &mut Reader<'_>, notes: &mut Vec<String>) -> Vec<SocketAddr> {
    let layers = reader.layers;
    let server =
        SocketAddr::new(reader.required(SERVER[0], value::address), reader.required(SERVER[1], value::port));
    // Parsed even if they are ignored, so that errors in them are reported.
    let halves = [REST, GRPC].map(|[address, port]| {
        (reader.optional(address, value::address), reader.optional(port, value::port))
    });
    for layer in layers.iter().filter(|layer| sets(layer, &SERVER)) {
        for name in [REST, GRPC].as_flattened().iter().filter(|name| layer.get(name).is_some()) {
            notes.push(format!(
                "{name} in {} is ignored, since SERVER_ADDRESS or SERVER_PORT is set there",
                layer.origin
            ));
        }
    }
    if server_applies(layers) {
        return vec![server];
    }
    let mut listen = Vec::new();
    for (names, (address, port)) in [REST, GRPC].iter().zip(halves) {
        let [has_address, has_port] = names.map(|name| applies(layers, name));
        if !has_address && !has_port {
            continue;
        }
        let address = address.filter(|_| has_address).unwrap_or(server.ip());
        let port = port.filter(|_| has_port).unwrap_or(server.port());
        let address = SocketAddr::new(address, port);
        if !listen.contains(&address) {
            listen.push(address);
        }
    }
    listen
}

/// Returns the separate address of /metrics, which must not overlap with the others.
pub(super) fn metrics(reader: &mut Reader<'_>, listen: &[SocketAddr]) -> Option<SocketAddr> {
    reader.optional("METRICS_ADDRESS", |text| {
        let address = value::socket_address(text)?;
        match listen.iter().find(|served| overlap(**served, address)) {
            Some(served) => Err(format!(
                "`{text}` overlaps with {served}, where everything else is served; write another port, or unset it to \
                 serve the metrics there"
            )),
            None => Ok(address),
        }
    })
}

/// Returns whether two addresses cannot both be bound. `::` covers IPv4 as well.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |one: IpAddr, other: IpAddr| one.is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

fn sets(layer: &Layer, names: &[&str]) -> bool {
    names.iter().any(|name| layer.get(name).is_some())
}

/// Returns whether `SERVER_*` is set in a layer with at least the precedence of all the original's names.
fn server_applies(layers: &Layers) -> bool {
    let highest = layers.iter().find(|layer| [SERVER, REST, GRPC].iter().any(|names| sets(layer, names)));
    highest.is_none_or(|layer| sets(layer, &SERVER))
}

/// Returns whether one of the original's names is set in a layer where it applies.
fn applies(layers: &Layers, name: &str) -> bool {
    layers.iter().find(|layer| layer.get(name).is_some()).is_some_and(|layer| !sets(layer, &SERVER))
}
