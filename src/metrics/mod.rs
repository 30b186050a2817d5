//! The metrics of the process, for /metrics. Counting costs an uncontended atomic addition and no allocation.
//!
//! Counters and histograms are statics, since Prometheus scrapes processes. Values that can be read when they are scraped,
//! such as the number of open streams, are not counted here: the caller supplies them as [`Gauges`].

mod exposition;
mod registry;
mod process;
mod gauges;
mod text;
mod labelled;
mod histogram;
mod counter;

pub use self::{
    counter::Counter,
    exposition::write,
    gauges::{Gauges, Pool},
    histogram::{Histogram, SharedHistogram, Unit},
    labelled::{Labelled, Labels},
    process::resident_bytes,
    registry::{
        BATCH_MESSAGES, BATCH_SECONDS, CATCH_UP_READS, CONNECTIONS_ACCEPTED, CONNECTIONS_REFUSED, DELIVERIES,
        DELIVERY_SECONDS, GRPC_HANDLED, GRPC_SECONDS, GRPC_STARTED, HANDSHAKES_FAILED, HTTP_REQUESTS,
        HTTP_SECONDS, LOG_INS, MESSAGES_STORED, PAGES_READ, PASSWORD_QUEUE_SECONDS, QUEUE_SECONDS, REFUSALS,
        REGISTRATIONS, STREAMS_PARKED,
    },
    text::Format,
};
