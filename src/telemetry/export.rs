//! Exports spans of calls over OTLP: in a build with the feature `otlp`, if the environment names a collector.
//!
//! The variables are OpenTelemetry's: `OTEL_EXPORTER_OTLP_ENDPOINT` and the others of its specification.

use tracing_subscriber::{Layer, Registry};

/// The layer that exports spans to a collector.
pub(super) type Export = Box<dyn Layer<Registry> + Send + Sync>;

/// The target of the spans that are exported.
pub(super) const TARGET: &str = "otlp";

/// The variables that name a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// Returns the variable that names a collector, if one does.
fn endpoint_variable() -> Option<&'static str> {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ENDPOINTS.into_iter().find(is_set)
}

#[cfg(not(feature = "otlp"))]
mod absent {
    use super::{Export, endpoint_variable};

    /// An export, of which this build has none.
    #[derive(Debug)]
    pub enum Exporting {}

    /// Fails if the environment names a collector, since this build cannot export.
    pub(in crate::telemetry) fn start() -> Result<Option<(Export, Exporting)>, String> {
        match endpoint_variable() {
            Some(name) => {
                Err(format!("{name} is set, but this build has no OTLP: build it with --features otlp"))
            }
            None => Ok(None),
        }
    }
}

#[cfg(feature = "otlp")]
mod present {
    use std::time::Duration;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
    use tokio::runtime::{Builder, Runtime};
    use tracing_subscriber::{Layer as _, filter::FilterFn};

    use super::{Export, TARGET, endpoint_variable};

    /// Time to export the last spans at the end.
    const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

    /// A running export, which ends when this is dropped.
    #[derive(Debug)]
    pub struct Exporting {
        provider: SdkTracerProvider,
        /// Runs the connection to the collector. Dropped after the provider.
        _runtime: Runtime,
    }

    impl Drop for Exporting {
        fn drop(&mut self) {
            if let Err(error) = self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT) {
                tracing::warn!(%error, "the last spans could not be exported");
            }
        }
    }

    /// Starts the export if the environment names a collector.
    pub(in crate::telemetry) fn start() -> Result<Option<(Export, Exporting)>, String> {
        let Some(name) = endpoint_variable() else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| format!("{name} cannot be used: {error}");
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("otlp").enable_all().build();
        let runtime = runtime.map_err(|error| failed(&error))?;
        let exporter = {
            let _entered = runtime.enter();
            SpanExporter::builder().with_tonic().build().map_err(|error| failed(&error))?
        };
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("grpcchatter");
        }
        let provider = SdkTracerProvider::builder();
        let provider = provider.with_batch_exporter(exporter).with_resource(resource.build()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("grpcchatter"));
        let layer = layer.with_location(false).with_threads(false);
        let layer = layer.with_filter(FilterFn::new(|metadata| metadata.target() == TARGET));
        Ok(Some((Box::new(layer), Exporting { provider, _runtime: runtime })))
    }
}

#[cfg(not(feature = "otlp"))]
pub use absent::Exporting;
#[cfg(not(feature = "otlp"))]
pub(super) use absent::start;
#[cfg(feature = "otlp")]
pub use present::Exporting;
#[cfg(feature = "otlp")]
pub(super) use present::start;
