//! Errors over HTTP: RFC 9457, with the stable code and whether and when to try again.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use skep_protocol::{Code, Error, Outcome, Retry};

use super::status::status_of;

/// A refused or failed request.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: Error,
}

/// Its body.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: String,
    status: u16,
    detail: &'a str,
    code: Code,
    outcome: Outcome,
    retry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem of HTTP itself, whose status says more than that of the code.
    pub(crate) fn with_status(status: StatusCode, error: Error) -> Self {
        Problem { status, error }
    }

    /// An argument of the request that cannot be.
    pub(crate) fn argument(text: impl Into<String>) -> Self {
        Error::new(Code::InvalidArgument, text).into()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Problem { status: status_of(error.code), error }
    }
}

impl Problem {
    /// Its body, where the answer has begun and can have no status of its own.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.body()).expect("a body is JSON")
    }

    fn body(&self) -> Body<'_> {
        let error = &self.error;
        let (retry, retry_after_ms) = match error.retry {
            Retry::Never => ("never", None),
            Retry::After(ms) => ("after", Some(ms)),
            Retry::Unchanged => ("unchanged", None),
        };
        Body {
            r#type: format!("urn:skep:error:{}", error.code),
            title: error.code.as_str().replace('_', " "),
            status: self.status.as_u16(),
            detail: &error.text,
            code: error.code,
            outcome: error.outcome,
            retry,
            retry_after_ms,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (body, status) = (self.body(), self.status);
        let retry_after_ms = body.retry_after_ms;
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(ms) = retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_says_what_to_do_in_header_and_body() {
        let response = Problem::from(Error::new(Code::Busy, "too much at once")).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let expected = serde_json::json!({
            "type": "urn:skep:error:busy", "title": "busy", "status": 503, "detail": "too much at once",
            "code": "busy", "outcome": "refused", "retry": "after", "retry_after_ms": 50,
        });
        assert_eq!(body, expected);
    }
}
