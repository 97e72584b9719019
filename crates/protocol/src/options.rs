//! Delivery options: priority, guarantee, durability.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Code, Error};

macro_rules! ranked {
    ($(#[doc = $doc:literal])+ $name:ident $what:literal { $($(#[doc = $vdoc:literal])+ $variant:ident = $n:literal $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant = $n,)+ }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The name, as it stands on the wire in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// The number, as it stands in the compact form.
            #[must_use]
            pub const fn number(self) -> u8 { self as u8 }

            /// The one of that number.
            #[must_use]
            pub const fn from_number(n: u64) -> Option<Self> {
                match n { $($n => Some($name::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                match text {
                    $($text => Ok($name::$variant),)+
                    _ => {
                        let known = [$($text,)+].join(", ");
                        Err(Error::new(Code::InvalidArgument, format!("{} {text:?}: expected one of {known}", $what)))
                    }
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.serialize_str(self.as_str()) } else { s.serialize_u8(self.number()) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    let n = u64::deserialize(d)?;
                    $name::from_number(n).ok_or_else(|| serde::de::Error::custom(format!("no {} has number {n}", $what)))
                }
            }
        }
    };
}

ranked! {
    /// Which ready message a queue hands out first. Strict, but one take in 16 is the message
    /// that has waited longest, whatever its class, so that none starves.
    Priority "priority" {
        /// Before all others.
        Critical = 0 "critical",
        /// Before normal ones.
        High = 1 "high",
        /// The default.
        Normal = 2 "normal",
        /// After normal ones.
        Low = 3 "low",
        /// After all others.
        Bulk = 4 "bulk",
    }
}

ranked! {
    /// How hard the hub tries. Unsaid, a message is as strong as its receiver.
    Guarantee "guarantee" {
        /// Live queues get it at once; the publisher does not wait, and it may be dropped, counted.
        BestEffort = 0 "best_effort",
        /// Held by a durable queue until it is settled; refused if none matches.
        AtLeastOnce = 1 "at_least_once",
        /// At least once, and a resend is recognised by party, source and id in a stated window.
        ExactlyOnce = 2 "exactly_once",
    }
}

ranked! {
    /// What a receipt says was reached before it was given.
    Durability "durability" {
        /// In the hub's memory: lost when its process ends.
        Memory = 0 "memory",
        /// With the operating system: survives kill -9, not power loss.
        Os = 1 "os",
        /// Synced to disk within a stated number of milliseconds.
        Interval = 2 "interval",
        /// Synced to disk.
        Fsync = 3 "fsync",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_priority_is_refused_with_the_known_ones() {
        let error = "urgent".parse::<Priority>().unwrap_err();
        assert!(error.text.contains("critical, high, normal, low, bulk"), "{error}");
        for p in Priority::ALL {
            assert_eq!(Priority::from_number(u64::from(p.number())), Some(*p));
        }
    }
}
