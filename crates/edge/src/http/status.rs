//! The HTTP status of every code: one table.

use axum::http::StatusCode;
use skep_protocol::Code;

/// The status that an error of this code is answered with.
pub(crate) fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidFrame
        | Code::InvalidMessage
        | Code::InvalidTopic
        | Code::InvalidFilter
        | Code::InvalidName
        | Code::InvalidSequence
        | Code::InvalidArgument
        | Code::UnsupportedVersion
        | Code::NoDestination => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::UnknownAgent | Code::UnknownQueue | Code::UnknownSubscription | Code::NotFound => StatusCode::NOT_FOUND,
        Code::NoQueue | Code::HopsExceeded | Code::NameTaken | Code::InUse | Code::Conflict => StatusCode::CONFLICT,
        Code::LeaseLost | Code::Expired => StatusCode::GONE,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::QueueFull | Code::ConversationExhausted | Code::RateExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Code::ConnectionLost | Code::NoHub | Code::Streamed | Code::StreamBroken => StatusCode::BAD_GATEWAY,
        Code::NoResponders | Code::Busy | Code::ReadOnly | Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::Timeout | Code::DedupWindowPassed => StatusCode::GATEWAY_TIMEOUT,
        Code::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        // A code of a later protocol is a fault of this edge, which should know it.
        Code::StoreFailed | Code::Internal | _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use skep_protocol::{Outcome, Retry};

    use super::*;

    #[test]
    fn every_code_has_its_own_place_in_the_table() {
        for code in Code::ALL {
            let faults = matches!(code, Code::StoreFailed | Code::Internal);
            assert_eq!(status_of(*code) == StatusCode::INTERNAL_SERVER_ERROR, faults, "{code} is not in the table");
        }
    }

    #[test]
    fn what_may_have_happened_is_never_a_client_error_and_what_is_worth_a_retry_says_so() {
        for code in Code::ALL {
            let status = status_of(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{code}");
            if code.outcome() == Outcome::Unknown {
                assert!(status.is_server_error(), "{code} may have happened");
            }
            if matches!(code.retry(), Retry::After(_)) {
                let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                assert!(later, "{code}: clients retry {status} never");
            }
        }
    }
}
