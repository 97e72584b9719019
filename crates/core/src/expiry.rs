//! What the moments that a message names ask of those who take it.

use skep_protocol::limits::NOT_BEFORE_MS_MAX;
use skep_protocol::{Code, Error, MessageRef, Stored, format_time};

use crate::clock::Now;

/// Whether a message is still to be delivered. A backend asks where it does not know the message
/// from before: a resend of what it stored is answered as it was then.
///
/// # Errors
/// `expired` when its `expirytime` has passed.
pub fn check_expiry(message: &MessageRef<'_>, now: Now) -> Result<(), Error> {
    match message.expires_ms() {
        Ok(Some(at_ms)) if at_ms <= now.unix_ms => {
            let (at, now) = (format_time(at_ms), format_time(now.unix_ms));
            let text = format!("its expirytime {at} has passed; it is {now} here. Send it again with a later one");
            Err(Error::new(Code::Expired, text))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether a message that is held has passed its expiry.
pub(crate) fn has_expired(stored: &Stored, now: Now) -> bool {
    matches!(stored.message.view().deadline_ms(stored.time_ms), Ok(Some(at_ms)) if at_ms <= now.unix_ms)
}

/// Checks the form and the range of what a message says; answers whether it is to be kept until a moment.
pub(crate) fn check_moments(message: &MessageRef<'_>, now: Now) -> Result<bool, Error> {
    let (not_before, expiry) = (message.not_before_ms()?, message.deadline_ms(now.unix_ms)?);
    let Some(not_before) = not_before else { return Ok(false) };
    let days = NOT_BEFORE_MS_MAX / 86_400_000;
    if not_before > now.unix_ms.saturating_add(NOT_BEFORE_MS_MAX) {
        let text = format!("notbefore {} is more than {days} days ahead; send it later", format_time(not_before));
        return Err(Error::new(Code::InvalidMessage, text));
    }
    if expiry.is_some_and(|expiry| expiry <= not_before) {
        let text = "its expirytime, or the end of its timeout, is not after its notbefore: nobody would ever get it";
        return Err(Error::new(Code::InvalidMessage, text));
    }
    Ok(true)
}

/// Whether a message waits for its moment.
pub(crate) fn is_early(message: &MessageRef<'_>, now: Now) -> bool {
    matches!(message.not_before_ms(), Ok(Some(at_ms)) if at_ms > now.unix_ms)
}
