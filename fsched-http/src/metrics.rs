//! Numbers for Prometheus: one recorder per service, so that many can live in one process.
//!
//! Handles are made once; recording through them formats nothing and takes no lock.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder as _, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

static METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Bucket bounds for times in seconds, from 1 µs (a prediction) to 300 s (a long function).
const SECONDS: [f64; 22] = [
    1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0, 30.0, 100.0, 300.0,
];
/// Bucket bounds for ratios: 1 is "as predicted".
const RATIOS: [f64; 13] = [0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0];

/// A service's numbers.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    routes: HashMap<&'static str, Vec<RouteMetrics>>,
    other: RouteMetrics,
}

/// The numbers of one method on one path.
struct RouteMetrics {
    method: &'static str,
    path: &'static str,
    seconds: OnceLock<Histogram>,
    statuses: [OnceLock<Counter>; STATUSES.len() + 1],
}

/// Statuses that are counted by themselves; any other counts as `other`.
const STATUSES: [(u16, &str); 17] = [
    (200, "200"),
    (204, "204"),
    (301, "301"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (422, "422"),
    (429, "429"),
    (500, "500"),
    (502, "502"),
    (503, "503"),
    (507, "507"),
];

impl Metrics {
    /// Numbers for a service with these routes, each a method and the path as it was registered and named.
    pub fn new(routes: &[(&'static str, &'static str)]) -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets(&SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_ratio".into()), &RATIOS))
            .expect("the bucket lists are not empty")
            .build_recorder();
        let handle = recorder.handle();
        let mut by_path: HashMap<&'static str, Vec<RouteMetrics>> = HashMap::new();
        for &(method, path) in routes {
            by_path.entry(path).or_default().push(RouteMetrics::new(method, path));
        }
        let metrics = Self { recorder, handle, routes: by_path, other: RouteMetrics::new("other", "other") };
        let requests = KeyName::from_const_str(REQUESTS);
        metrics.recorder.describe_counter(requests, None, "Requests by route and status.".into());
        let seconds = KeyName::from_const_str(REQUEST_SECONDS);
        let help = "Time from the head of a request to the head of its answer.";
        metrics.recorder.describe_histogram(seconds, Some(Unit::Seconds), help.into());
        metrics
    }

    /// A number that only grows. The same name and labels give the same number.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    /// A number that rises and falls.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.describe_gauge(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    /// A distribution: of seconds, or of ratios where the name ends in `_ratio`.
    pub fn histogram(&self, name: &'static str, help: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.describe_histogram(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }

    /// Counts a request; `path` is the route's, none where it matched no route.
    pub fn request(&self, method: &Method, path: Option<&str>, status: StatusCode, took: Duration) {
        let routes = path.and_then(|path| self.routes.get(path));
        let route = routes.and_then(|routes| routes.iter().find(|route| route.method == method.as_str()));
        let route = route.unwrap_or(&self.other);
        route.status(self, status).increment(1);
        route.seconds(self).record(took.as_secs_f64());
    }

    /// All numbers as Prometheus text.
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds what was recorded into the buckets. To be called every few seconds, or memory grows until
    /// somebody renders.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

const REQUESTS: &str = "fsched_http_requests_total";
const REQUEST_SECONDS: &str = "fsched_http_request_seconds";

impl RouteMetrics {
    fn new(method: &'static str, path: &'static str) -> Self {
        Self { method, path, seconds: OnceLock::new(), statuses: [const { OnceLock::new() }; _] }
    }

    fn labels(&self) -> Vec<Label> {
        vec![Label::from_static_parts("method", self.method), Label::from_static_parts("route", self.path)]
    }

    fn seconds(&self, metrics: &Metrics) -> &Histogram {
        self.seconds.get_or_init(|| {
            metrics.recorder.register_histogram(&Key::from_parts(REQUEST_SECONDS, self.labels()), &METADATA)
        })
    }

    fn status(&self, metrics: &Metrics, status: StatusCode) -> &Counter {
        let index = STATUSES.iter().position(|&(code, _)| code == status.as_u16()).unwrap_or(STATUSES.len());
        self.statuses[index].get_or_init(|| {
            let text = STATUSES.get(index).map_or("other", |&(_, text)| text);
            let mut labels = self.labels();
            labels.push(Label::from_static_parts("status", text));
            metrics.recorder.register_counter(&Key::from_parts(REQUESTS, labels), &METADATA)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_and_status() {
        let metrics = Metrics::new(&[("GET", "/a/{id}"), ("DELETE", "/a/{id}")]);
        let took = Duration::from_millis(2);
        metrics.request(&Method::DELETE, Some("/a/{id}"), StatusCode::OK, took);
        metrics.request(&Method::DELETE, Some("/a/{id}"), StatusCode::OK, took);
        metrics.request(&Method::GET, None, StatusCode::NOT_FOUND, took);
        metrics.request(&Method::GET, Some("/a/{id}"), StatusCode::IM_A_TEAPOT, took);
        let text = metrics.render();
        let line = |line: &str| assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        line(r#"fsched_http_requests_total{method="DELETE",route="/a/{id}",status="200"} 2"#);
        line(r#"fsched_http_requests_total{method="other",route="other",status="404"} 1"#);
        line(r#"fsched_http_requests_total{method="GET",route="/a/{id}",status="other"} 1"#);
        line(r#"fsched_http_request_seconds_count{method="DELETE",route="/a/{id}"} 2"#);
    }

    #[test]
    fn two_services_do_not_share_numbers() {
        let (one, two) = (Metrics::new(&[]), Metrics::new(&[]));
        one.counter("fsched_test_total", "Test.", Vec::new()).increment(3);
        assert!(one.render().contains("fsched_test_total 3"));
        assert!(!two.render().contains("fsched_test_total"));
    }
}
