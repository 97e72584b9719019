//! The policy of one machine: who knows the token may do everything, as any agent.

use skep_core::{Action, BoxFuture, Credentials, Party, Policy};
use skep_protocol::{Code, Error};

use crate::token::Token;

/// The name of a party that names no agent.
const LOCAL: &str = "local";

/// Lets in who brings the local token.
#[derive(Debug)]
pub struct TokenPolicy {
    token: Token,
}

impl TokenPolicy {
    /// A policy that asks for this token.
    #[must_use]
    pub fn new(token: Token) -> Self {
        TokenPolicy { token }
    }

    fn judge(&self, credentials: Credentials) -> Result<Party, Error> {
        match &credentials.token {
            Some(token) if self.token.is(token) => Ok(party(credentials)),
            Some(_) => Err(unauthenticated("the token is not this hub's")),
            None => Err(unauthenticated("no token was given")),
        }
    }
}

fn party(credentials: Credentials) -> Party {
    let name = credentials.agent.as_ref().map_or_else(|| LOCAL.into(), |agent| agent.source());
    Party { name, agent: credentials.agent }
}

fn unauthenticated(why: &str) -> Error {
    let rule = "expected the content of the file `token` in the hub's data folder (usually .skep/token)";
    let advice = "send it as `Authorization: Bearer`, in Connect, or set SKEP_TOKEN";
    Error::new(Code::Unauthenticated, format!("{why}; {rule}; {advice}"))
}

impl Policy for TokenPolicy {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Party, Error>> {
        Box::pin(std::future::ready(self.judge(credentials)))
    }

    /// The token's owner may do everything.
    fn authorize(&self, _: &Party, _: Action<'_>) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(token: Option<&str>, agent: Option<&str>) -> Result<Party, Error> {
        let policy = TokenPolicy::new(Token::new("s3cret-s3cret-s3cret").unwrap());
        let agent = agent.map(|id| id.parse().unwrap());
        policy.judge(Credentials { token: token.map(Into::into), agent })
    }

    #[test]
    fn the_local_token_may_act_as_any_agent_or_as_none() {
        let bob = judged(Some("s3cret-s3cret-s3cret"), Some("bob")).unwrap();
        assert_eq!((bob.name.as_str(), bob.agent.unwrap().as_str()), ("agent/bob", "bob"));
        let nobody = judged(Some("s3cret-s3cret-s3cret"), None).unwrap();
        assert_eq!((nobody.name.as_str(), nobody.agent), ("local", None));
    }

    #[test]
    fn a_missing_or_wrong_token_is_refused_and_not_repeated() {
        for token in [None, Some(""), Some("s3cret"), Some("s3cret-s3cret-s3creT"), Some("s3cret-s3cret-s3cret-")] {
            let error = judged(token, Some("bob")).unwrap_err();
            assert_eq!(error.code, Code::Unauthenticated);
            assert!(error.text.contains(".skep/token") && !error.text.contains("s3cret"), "{error}");
        }
    }
}
