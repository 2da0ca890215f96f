//! The closed lists of the vocabulary.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in the body.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of a word.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Word;
                impl Visitor<'_> for Word {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("one of" $(, " ", $word)+))
                    }
                    fn visit_str<E: de::Error>(self, word: &str) -> Result<$name, E> {
                        $name::parse(word).ok_or_else(|| E::invalid_value(de::Unexpected::Str(word), &self))
                    }
                }
                deserializer.deserialize_str(Word)
            }
        }
    };
}

words! {
    /// What kind of event a record tells of.
    Kind {
        /// A model made something: text, an image, a vector.
        Generation = "generation",
        /// An agent chose.
        AgentDecision = "agent_decision",
        /// A tool was called.
        ToolCall = "tool_call",
        /// Something was looked up for a model.
        Retrieval = "retrieval",
        /// A policy or guardrail spoke.
        Policy = "policy",
        /// A human (or a system for one) approved or refused.
        Approval = "approval",
        /// Any other event that somebody wants on record.
        AuditEvent = "audit_event",
        /// Somebody read records.
        Access = "access",
        /// The recorder itself: started, stopped, recovered.
        Lifecycle = "lifecycle",
    }
}

words! {
    /// Who acted.
    ActorType {
        /// A human.
        User = "user",
        /// An AI agent.
        Agent = "agent",
        /// A service.
        Service = "service",
        /// The system itself, without a request.
        System = "system",
    }
}

words! {
    /// How the action ended.
    Outcome {
        /// As meant.
        Success = "success",
        /// With an error.
        Failure = "failure",
        /// Not yet.
        Pending = "pending",
        /// A policy stopped it.
        Blocked = "blocked",
        /// The caller gave up.
        Cancelled = "cancelled",
        /// Nobody said.
        Unknown = "unknown",
    }
}

words! {
    /// The status of a span, as OpenTelemetry has it.
    Status {
        /// Explicitly good.
        Ok = "ok",
        /// An error.
        Error = "error",
        /// Not set, which for most libraries means good.
        Unset = "unset",
    }
}
