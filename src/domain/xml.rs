//! stub
use super::Definition; use crate::error::*;
/// x
pub fn from_xml(_: &str) -> Result<Definition> { Err(Error::invalid("")) }
/// x
pub fn to_xml(_: &Definition) -> Result<String> { Err(Error::invalid("")) }
