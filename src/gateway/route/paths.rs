//! The paths of the REST calls. The access table, the router and the OpenAPI document name them by these constants.

pub(in crate::gateway) const REGISTER: &str = "/register";
pub(in crate::gateway) const LOGIN: &str = "/login";
pub(in crate::gateway) const REFRESH: &str = "/refresh";
pub(in crate::gateway) const LOGOUT: &str = "/logout";
pub(in crate::gateway) const ACCOUNT: &str = "/account";
pub(in crate::gateway) const ACCOUNT_DELETE: &str = "/account/delete";
pub(in crate::gateway) const ACCOUNT_PASSWORD: &str = "/account/password";
pub(in crate::gateway) const LIVEZ: &str = "/livez";
pub(in crate::gateway) const READYZ: &str = "/readyz";
pub(in crate::gateway) const METRICS: &str = "/metrics";
pub(in crate::gateway) const OPENAPI: &str = "/openapi.json";
pub(in crate::gateway) const DOCS: &str = "/docs";
