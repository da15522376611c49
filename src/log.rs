//! Messages worth knowing, for the handler that the program installed; nothing is ever printed.

use crate::sys::fork::PerProcess;
use parking_lot::RwLock;
use std::fmt;

/// How serious a message is. The numbers are the C interface's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For whoever looks for the cause of something.
    Debug = 1,
    /// Something worth knowing happened.
    Info = 2,
    /// Confinement holds, but somebody should look.
    Warning = 3,
}

/// Gets a message. It may be called on any thread, and must not set a handler.
pub type Handler = Box<dyn Fn(Level, &str) + Send + Sync>;

/// A forked child begins without one: the parent's lock may be held there for ever.
static HANDLER: PerProcess<RwLock<Option<Handler>>> = PerProcess::new();

/// Installs the handler that gets every message from now on, or removes it.
pub fn set_handler(handler: Option<Handler>) {
    *HANDLER.get().write() = handler;
}

/// Hands a message to the handler; without one, nothing is even formatted.
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    if let Some(handler) = HANDLER.get().read().as_ref() {
        handler(level, &message.to_string());
    }
}

/// Logs at [`Level::Debug`].
macro_rules! debug { ($($arg:tt)*) => { $crate::log::log($crate::log::Level::Debug, format_args!($($arg)*)) } }
/// Logs at [`Level::Info`].
macro_rules! info { ($($arg:tt)*) => { $crate::log::log($crate::log::Level::Info, format_args!($($arg)*)) } }
/// Logs at [`Level::Warning`].
macro_rules! warning { ($($arg:tt)*) => { $crate::log::log($crate::log::Level::Warning, format_args!($($arg)*)) } }
pub(crate) use {debug, info, warning};
