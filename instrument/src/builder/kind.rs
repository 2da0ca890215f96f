//! The kinds of events that there are builders for.

use crate::event;

/// A kind of event. Nobody else can add one.
pub trait Kind: sealed::Sealed {
    #[doc(hidden)]
    const KIND: event::Kind;
    /// Room to begin with.
    #[doc(hidden)]
    const USUAL_ATTRIBUTES: usize = 8;
}

/// Kinds in which a model takes part.
pub trait WithModel: sealed::Sealed {}

/// Kinds in which an agent acts.
pub trait WithAgent: sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident: $($also:ident),*;)+) => { $(
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        $(impl $also for $name {})*
    )+ };
}
kinds! {
    /// A prompt becomes an output.
    Generation: WithModel;
    /// An agent chooses.
    Decision: WithModel, WithAgent;
    /// A tool is used.
    ToolCall: WithAgent;
    /// Something is looked up.
    Retrieval: WithModel, WithAgent;
    /// Somebody lets something go on, or does not.
    Approval: WithAgent;
    /// Somebody does something.
    AuditEvent: WithAgent;
}

/// An annotated function's, whatever it is: of a function that returns a stream.
#[doc(hidden)]
#[derive(Debug)]
pub enum Called {}

macro_rules! recorded_as {
    ($($name:ident: $kind:ident),+) => { $(
        impl Kind for $name {
            const KIND: event::Kind = event::Kind::$kind;
        }
    )+ };
}
recorded_as!(
    Generation: Generation,
    Decision: AgentDecision,
    ToolCall: ToolCall,
    Retrieval: Retrieval,
    Approval: Approval,
    AuditEvent: AuditEvent
);
