//! What handlers take from a request, each with its own words when it is not as expected.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use bytes::Bytes;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use skep_core::Party;
use skep_protocol::limits::FRAME_BYTES_MAX;
use skep_protocol::{Code, Error};
use tokio::time::timeout;

use super::problem::Problem;
use super::visit::Visit;
use crate::edge::Shared;
use crate::limits::{HTTP_BODY_MAX, NAMED_CHARS_MAX};

/// Who asks, and whom.
pub(crate) struct Caller {
    pub(crate) shared: Arc<Shared>,
    pub(crate) party: Party,
}

impl Caller {
    /// Attaches the caller to the hub for this request.
    pub(crate) fn visit(self) -> Result<Visit, Error> {
        Visit::begin(&self.shared.hub, self.party)
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        match parts.extensions.remove() {
            Some(party) => Ok(Caller { shared: shared.clone(), party }),
            // No way leads around the guard; should one, it ends here.
            None => Err(Error::new(Code::Unauthenticated, "expected a token: Authorization: Bearer <token>").into()),
        }
    }
}

/// The one variable of a path.
pub(crate) struct At<T>(pub(crate) T);

impl<T: FromStr<Err = Error>, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text: String = variables(parts, state).await?;
        Ok(At(text.parse()?))
    }
}

/// The two variables of a path.
pub(crate) struct AtTwo<A, B>(pub(crate) A, pub(crate) B);

impl<A: FromStr<Err = Error>, B: FromStr<Err = Error>, S: Send + Sync> FromRequestParts<S> for AtTwo<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let (a, b): (String, String) = variables(parts, state).await?;
        Ok(AtTwo(a.parse()?, b.parse()?))
    }
}

async fn variables<T: DeserializeOwned + Send, S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<T, Problem> {
    match Path::from_request_parts(parts, state).await {
        Ok(Path(variables)) => Ok(variables),
        Err(rejection) => Err(Problem::argument(format!("path: {}", rejection.body_text()))),
    }
}

/// How many are asked for: as many as one answer shows, or fewer. To show less than was asked for would look like the end.
pub(crate) fn at_most(limit: Option<u32>, unsaid: u32, most: u32) -> Result<u32, Problem> {
    match limit {
        Some(limit) if limit == 0 || limit > most => {
            Err(Problem::argument(format!("limit is {limit}; expected 1 to {most}")))
        }
        limit => Ok(limit.unwrap_or(unsaid)),
    }
}

/// The query.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Asked(asked)),
            Err(rejection) => Err(Problem::argument(format!("query: {}", in_words(&rejection.body_text())))),
        }
    }
}

/// What is wrong, without the words of who reads it.
fn in_words(text: &str) -> String {
    let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(text);
    text.replace("invalid digit found in string", "expected a whole number")
}

/// No parameters: what was said in the query would be ignored, and believed to be in force.
pub(crate) struct Bare;

impl<S: Send + Sync> FromRequestParts<S> for Bare {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let Some(parameter) = query.split('&').find(|said| !said.is_empty()) else { return Ok(Bare) };
        let name: String = parameter.split('=').next().unwrap_or_default().chars().take(NAMED_CHARS_MAX).collect();
        let path = parts.uri.path();
        let body = match path.split('/').nth(2).unwrap_or_default() {
            _ if parts.method == Method::GET => "nothing",
            "nack" => "after_ms and reason, in a JSON body",
            "reject" => "reason, in a JSON body",
            "extend" => "lease_ms and progress, in a JSON body",
            "settle" => "settles, publish and atomic, in a JSON body",
            "send" | "publish" => "the members of the message, such as data, type or durability, in a JSON body",
            "queues" => "the members of the queue, such as filters or lease_ms, in a JSON body",
            "agents" if !path.contains("/workspaces/") => "the agent's metadata, in a JSON body",
            _ => "nothing",
        };
        Err(Problem::argument(format!("query: no parameter {name:?}: {} {path} takes {body}", parts.method)))
    }
}

/// An object without members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// The members of a JSON object, in order, none twice: of two that are called alike one would be ignored, and believed to be in
/// force.
pub(crate) struct Members(pub(crate) Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let (mut members, mut names) = (Vec::new(), BTreeSet::new());
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if !names.insert(name.clone()) {
                        let shown: String = name.chars().take(NAMED_CHARS_MAX).collect();
                        return Err(serde::de::Error::custom(format!("{shown:?} stands twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

/// A body that is a JSON object, or none.
pub(crate) struct Object(Option<Bytes>);

impl Object {
    /// The object as it came.
    pub(crate) fn required(self) -> Result<Bytes, Problem> {
        self.0.ok_or_else(|| Problem::argument("no body came; expected a JSON object"))
    }

    /// The object as it came, `{}` when none did.
    pub(crate) fn or_empty(self) -> Bytes {
        self.0.unwrap_or_else(|| Bytes::from_static(b"{}"))
    }

    /// Nothing in it: what it says is said in the query here.
    pub(crate) fn nothing(self, parameters: &str) -> Result<(), Problem> {
        let read = serde_json::from_slice(&self.or_empty()).map(|Nothing {}| ());
        read.map_err(|error| {
            Problem::argument(format!("body: {error}; what this takes stands in the query: {parameters}"))
        })
    }

    /// Its members; when no body came, an empty object's.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, Problem> {
        serde_json::from_slice(&self.or_empty()).map_err(|error| Problem::argument(format!("body: {error}")))
    }
}

impl<S: Send + Sync> FromRequest<S> for Object {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Ok(read) = timeout(HTTP_BODY_MAX, Bytes::from_request(request, state)).await else {
            let text = format!("the body did not come within {} s; send it again", HTTP_BODY_MAX.as_secs());
            let error = Error::new(Code::InvalidArgument, text);
            return Err(Problem::with_status(StatusCode::REQUEST_TIMEOUT, error));
        };
        let bytes = read.map_err(not_read)?;
        match bytes.trim_ascii_start().first() {
            None => Ok(Object(None)),
            Some(b'{') => Ok(Object(Some(bytes))),
            Some(_) => Err(Problem::argument("body: expected a JSON object, such as {\"data\":{\"text\":\"hello\"}}")),
        }
    }
}

fn not_read(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            let text = format!("the body is larger than {FRAME_BYTES_MAX} bytes, the most that is taken");
            Error::new(Code::TooLarge, text).into()
        }
        other => Problem::argument(format!("the body cannot be read: {}", other.body_text())),
    }
}
